"""However a stream is stopped, it ends as the API's own filters end one, for the real clients."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from guardrail import Action
from guardrail.policy import Policy, Unscreenable
from guardrail.testing import fixed_detector, policy_of, rule
from tests.proxy import test_messages, test_responses
from tests.proxy.raw import ask, post
from tests.proxy.raw import chat as asked
from tests.proxy.scripted import STREAM, Peer, chunk
from tests.proxy.serving import chat_chunks, data_url, pixel, running, says, shows, speaks
from tests.proxy.test_clients import called, chat, message, response

READS = rule(fixed_detector({"forbidden": 0.9}, window=16), when=["output"])
SEES = rule(fixed_detector({"IDAT": 0.9}, name="eye", reads="image"), when=["output"])
POLICY = policy_of(READS, SEES)
SAID = "quiet words " * 20


@dataclass
class Api:
    """A surface: how it is called, and its events before and in place of what is stopped."""

    call: Any
    begins: list[bytes]
    ends: list[bytes]
    text: bytes
    sound: bytes
    picture: bytes

    def sent(self, last: str) -> list[bytes]:
        """A stream that says something, and then this."""
        return [*self.begins, getattr(self, last), *self.ends]


def event(row: Any, name: str = "") -> bytes:
    data = f"data: {json.dumps(row)}\n\n"
    return (f"event: {name}\n{data}" if name else data).encode()


def block(**of: Any) -> bytes:
    kind = "content_block_start"
    return event({"type": kind, "index": 1, "content_block": of}, kind)


def made() -> dict[str, str]:
    return {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(pixel()).decode(),
    }


def preview() -> bytes:
    return test_responses.drawing(pixel(), pixel())[2]


def heard() -> bytes:
    kind = "response.audio.delta"
    return event({"type": kind, "sequence_number": 9, "delta": "AAAA"}, kind)


APIS = {
    "chat": Api(
        chat,
        chat_chunks(SAID)[:2],
        chat_chunks(SAID)[2:],
        chat_chunks("forbidden " * 20)[1],
        speaks(),
        shows(data_url())[-2],
    ),
    "responses": Api(
        response,
        test_responses.events(SAID)[:5],
        test_responses.events(SAID)[5:],
        test_responses.events("forbidden " * 20)[4],
        heard(),
        preview(),
    ),
    "messages": Api(
        message,
        test_messages.events(SAID)[:4],
        test_messages.events(SAID)[4:],
        test_messages.events("forbidden " * 20)[3],
        block(type="audio", source={"type": "base64", "media_type": "audio/wav", "data": "AAAA"}),
        block(type="image", source=made()),
    ),
}


def ending(name: str, got: Any) -> tuple[str, str]:
    """The text that a client got, and why it ended."""
    if name == "chat":
        choices = [chunk.choices[0] for chunk in got]
        text = "".join(choice.delta.content or "" for choice in choices)
        return text, str(choices[-1].finish_reason)
    if name == "responses":
        said = [one.delta for one in got if one.type == "response.output_text.delta"]
        return "".join(said), str(got[-1].response.incomplete_details.reason)
    text, final = got
    return text, str(final.stop_reason)


@pytest.mark.parametrize("last", ["text", "sound", "picture"])
@pytest.mark.parametrize("name", APIS)
async def test_what_is_blocked_in_mid_stream_ends_as_a_filter_does(name: str, last: str) -> None:
    api = APIS[name]
    got, proxy = await called(POLICY, says(api.sent(last)), api.call("hi", stream=True))
    text, reason = ending(name, got)
    assert SAID.startswith(text)
    if last == "sound":
        assert text == SAID
    assert reason == ("refusal" if name == "messages" else "content_filter")
    assert len(proxy.upstream.requests) == len(proxy.records) == 1
    record = proxy.records.last
    assert (record.action, record.error) == (Action.BLOCK, None)
    rules = {"text": "fixed", "sound": "unscreenable.audio", "picture": "eye"}
    assert record.stages[-1].verdict.reason.startswith(rules[last])


@pytest.mark.parametrize("name", APIS)
async def test_sound_that_comes_first_ends_a_stream_alike(name: str) -> None:
    api = APIS[name]
    got, proxy = await called(POLICY, says([api.sound]), api.call("hi", stream=True))
    assert ending(name, got)[1] == ("refusal" if name == "messages" else "content_filter")
    assert proxy.records.last.action is Action.BLOCK


@pytest.mark.parametrize("name", APIS)
async def test_a_stream_may_be_heard_where_the_policy_lets_it_pass(name: str) -> None:
    api = APIS[name]
    policy = policy_of(READS, unscreenable=Unscreenable(audio="pass"))
    sent = api.sent("sound")
    paths = {"chat": "chat/completions"}
    async with running(policy, says(sent)) as proxy:
        got = await ask(proxy.url, post(asked(stream=True), f"/v1/{paths.get(name, name)}"))
        assert got.body == b"".join(sent)
        assert proxy.records.last.action is Action.ALLOW


def completion(index: int, text: str, finish: str | None = None) -> bytes:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    frame = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m-1"}
    return event({**frame, "choices": [choice]})


async def test_of_several_choices_those_end_that_are_open() -> None:
    def call(url: str) -> Any:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
            return list(client.completions.create(model="m-1", prompt="hi", n=2, stream=True))

    sent = [
        completion(1, SAID, "stop"),
        completion(0, SAID),
        completion(0, "forbidden " * 20),
        b"data: [DONE]\n\n",
    ]
    chunks, _ = await called(POLICY, says(sent), call)
    ends = {chunk.choices[0].index: chunk.choices[0].finish_reason for chunk in chunks}
    assert ends == {0: "content_filter", 1: "stop"}
    texts = [chunk.choices[0].text for chunk in chunks if chunk.choices[0].index == 1]
    assert "".join(texts) == SAID


async def test_a_picture_that_messages_show_is_covered() -> None:
    eye = fixed_detector({"IDAT": 0.9}, name="eye", reads="image")
    api = APIS["messages"]
    policy = policy_of(rule(eye, Action.REDACT, when=["output"]))
    async with running(policy, says(api.sent("picture"))) as proxy:
        got = await ask(proxy.url, post(asked(stream=True), "/v1/messages"))
        assert b'"media_type": "image/png"' in got.body
        assert made()["data"].encode() not in got.body
    whole = {**test_messages.answer("quiet"), "content": [{"type": "image", "source": made()}]}
    async with running(policy, says(whole)) as proxy:
        got = await ask(proxy.url, post(asked(), "/v1/messages"))
        assert got.json["content"][0]["source"]["data"] != made()["data"]
    whole["content"] = [{"type": "audio", "source": {"type": "base64", "data": "AAAA"}}]
    async with running(policy, says(whole)) as proxy:
        got = await ask(proxy.url, post(asked(), "/v1/messages"))
        assert (got.status, got.code) == (400, "unscreenable")


async def test_what_is_blocked_in_mid_stream_stops_the_model() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(STREAM)
        for sent in (*APIS["chat"].begins, speaks()):
            await peer.say(chunk(sent))
        await peer.left()

    async with running(POLICY, play) as proxy:
        got = await ask(proxy.url, post(asked(stream=True)))
        assert b"content_filter" in got.body
        assert proxy.upstream.left.is_set()


@pytest.mark.parametrize("when", [["input"], ["input", "output"]])
@pytest.mark.parametrize("begins", [[], [b": processing\n\n"]])
async def test_with_overlap_a_blocked_prompt_is_a_bad_request_though_the_answer_streams(
    when: Any, begins: list[bytes]
) -> None:
    slow = fixed_detector({"forbidden": 0.9}, seconds=0.3)
    policy: Policy = policy_of(rule(slow, when=when), overlap=True)
    stream = [*begins, *chat_chunks("a")]
    got, proxy = await called(policy, says(stream), chat("hello", stream=True))
    assert got[-1].choices[0].finish_reason == "stop"
    error, proxy = await called(policy, says(stream), chat("forbidden", stream=True))
    assert (error.status_code, error.code) == (400, "policy_violation")
    assert len(proxy.upstream.requests) == 1
