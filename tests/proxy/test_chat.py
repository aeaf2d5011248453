"""Chat completions through the proxy, with the real openai client and byte by byte."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from guardrail.policy import Proxying, Unscreenable
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail.verdict import Action
from tests.proxy.raw import ask, chat, post, wire
from tests.proxy.scripted import STREAM, Peer, chunk
from tests.proxy.serving import chat_answer, chat_chunks, data_url, running, says, shows, speaks

BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9}), message="Not here."))
REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}), Action.REDACT))
ALLOWS = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=["input"]))


def client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=2)


def user(text: Any) -> Any:
    return [{"role": "user", "content": text}]


async def test_an_answer_passes() -> None:
    async with running(BLOCKS, says(chat_answer("quiet"))) as proxy, client(proxy.url) as openai_:
        answer = await openai_.chat.completions.create(model="m-1", messages=user("hello"))
        assert answer.choices[0].message.content == "quiet"
        assert proxy.records.last.usage.output_tokens == 12
        head, body = proxy.upstream.requests[0]
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
        assert json.loads(body)["messages"][0]["content"] == "hello"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_prompt_is_a_bad_request_that_is_not_tried_again(stream: bool) -> None:
    async with running(BLOCKS, says(chat_answer("quiet"))) as proxy, client(proxy.url) as openai_:
        with pytest.raises(openai.BadRequestError) as caught:
            await openai_.chat.completions.create(
                model="m-1", messages=user("something forbidden"), stream=stream
            )
        error = caught.value
        assert error.code == "policy_violation"
        assert error.type == "invalid_request_error"
        assert error.request_id == proxy.records.last.id
        assert "Not here." in str(error)
        assert "forbidden" not in str(error)
        assert not proxy.upstream.requests
        assert len(proxy.records) == 1


async def test_a_blocked_answer_is_a_bad_request() -> None:
    async with running(BLOCKS, says(chat_answer("forbidden"))) as proxy:
        with pytest.raises(openai.BadRequestError):
            await client(proxy.url).chat.completions.create(model="m-1", messages=user("hello"))


async def test_redaction_changes_the_prompt_and_the_answer() -> None:
    async with running(REDACTS, says(chat_answer("my secret is out"))) as proxy:
        answer = await client(proxy.url).chat.completions.create(
            model="m-1", messages=user("the secret word")
        )
        assert answer.choices[0].message.content == "my [secret] is out"
        sent = json.loads(proxy.upstream.requests[0][1])
        assert sent["messages"][0]["content"] == "the [secret] word"


async def test_a_stream_passes_chunk_by_chunk() -> None:
    chunks = chat_chunks("a ", "quiet ", "answer", usage=True)
    async with running(ALLOWS, says(chunks)) as proxy:
        stream = await client(proxy.url).chat.completions.create(
            model="m-1", messages=user("hello"), stream=True
        )
        texts = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
        assert texts == ["", "a ", "quiet ", "answer", None]
        assert proxy.records.last.usage.output_tokens == 12


async def test_a_stream_is_redacted_across_chunks() -> None:
    async with running(REDACTS, says(chat_chunks("my sec", "ret is", " out"))) as proxy:
        stream = await client(proxy.url).chat.completions.create(
            model="m-1", messages=user("hello"), stream=True
        )
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(texts) == "my [secret] is out"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_an_event_of_several_lines_stays_one(end: str) -> None:
    chunk = json.dumps(json.loads(chat_chunks("my secret is out")[1][6:]), indent=1)
    event = "".join(f"data: {line}{end}" for line in chunk.split("\n"))
    async with running(REDACTS, says([(event + end).encode(), chat_chunks()[-1]])) as proxy:
        stream = await client(proxy.url).chat.completions.create(
            model="m-1", messages=user("hello"), stream=True
        )
        texts = [chunk.choices[0].delta.content async for chunk in stream]
        assert texts == ["my [secret] is out"]


async def test_a_blocked_stream_ends_with_content_filter() -> None:
    async with running(BLOCKS, says(chat_chunks("so for", "bidden"))) as proxy:
        stream = await client(proxy.url).chat.completions.create(
            model="m-1", messages=user("hello"), stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices[0].finish_reason == "content_filter"
        assert not any(chunk.choices[0].delta.content for chunk in chunks)


@pytest.mark.parametrize("when", [["input"], ["input", "output"]])
async def test_token_counts_of_a_stream_are_asked_for_and_taken_out_again(when: Any) -> None:
    detector = fixed_detector({"forbidden": 0.9})
    policy = policy_of(rule(detector, when=when), proxy=Proxying(stream_usage=True))
    chunks = chat_chunks("a ", "quiet ", "answer", usage=True)
    async with running(policy, says(chunks)) as proxy:
        stream = await client(proxy.url).chat.completions.create(
            model="m-1", messages=user("hello"), stream=True
        )
        seen = [chunk async for chunk in stream]
        assert all(chunk.choices for chunk in seen)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in seen) == "a quiet answer"
        sent = json.loads(proxy.upstream.requests[0][1])
        assert sent["stream_options"] == {"include_usage": True}
        assert proxy.records.last.usage.output_tokens == 12


@pytest.mark.parametrize(
    "beside", [{"search_results": [{"title": "a secret"}]}, {"choices": [{"matched": "a secret"}]}]
)
async def test_what_a_chunk_says_beside_the_answer_is_looked_at(beside: dict[str, Any]) -> None:
    frame = json.loads(chat_chunks("quiet")[1][6:])
    for key, value in beside.items():
        frame[key] = [{**frame[key][0], **value[0]}] if key in frame else value
    said = b"data: " + json.dumps(frame).encode() + b"\n\n"
    sent = [*chat_chunks("quiet")[:1], said, said, *chat_chunks("quiet")[2:]]
    async with running(REDACTS, says(sent)) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert got.body == b"".join(sent).replace(b"secret", b"[secret]")
    async with running(
        BLOCKS, says([one.replace(b"secret", b"forbidden") for one in sent])
    ) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert b"forbidden" not in got.body
        assert b"content_filter" in got.body


def by_tool(text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": text}}]}


ANSWER = "a mark, and an answer that goes on for a while behind it"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"reasoning_content": "so it is"}, {"content": ANSWER}),
        ({"reasoning": "so it is", "content": None}, {"content": ANSWER}),
        ({"content": "now I call"}, by_tool(ANSWER)),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}]},
            {"content": [{"type": "text", "text": ANSWER}]},
        ),
    ],
)
async def test_what_is_said_next_does_not_wait_for_more_of_what_is_over(
    first: dict[str, Any], then: dict[str, Any]
) -> None:
    seen = asyncio.Event()
    frame = json.loads(chat_chunks("x")[1][6:])

    def event(delta: dict[str, Any]) -> bytes:
        frame["choices"][0]["delta"] = delta
        return b"data: " + json.dumps(frame).encode() + b"\n\n"

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(STREAM, *map(chunk, (event(first), event(then), event(then))))
        await asyncio.wait_for(seen.wait(), 10)
        await peer.say(*map(chunk, chat_chunks()[-2:]), b"0\r\n\r\n")

    policy = policy_of(rule(fixed_detector({"secret": 0.9}, window=12), Action.REDACT))
    async with running(policy, play) as proxy, wire(proxy.url) as one:
        one.send(post(chat(stream=True)))
        await asyncio.wait_for(one.reader.readuntil(b"a mark"), 5)
        seen.set()
        await asyncio.wait_for(one.reader.readuntil(b"[DONE]"), 5)


async def test_a_choice_with_an_odd_number_is_checked_as_any_other() -> None:
    sent = [event.replace(b'"index": 0', b'"index": [0]') for event in chat_chunks("quiet")]
    async with running(BLOCKS, says(sent)) as proxy:
        assert (await ask(proxy.url, post(chat(stream=True)))).body == b"".join(sent)


async def test_an_event_that_nothing_ends_is_checked_all_the_same() -> None:
    chunks = [*chat_chunks("a")[:2], chat_chunks("forbidden")[1].rstrip()]
    async with running(BLOCKS, says(chunks)) as proxy:
        stream = await client(proxy.url).chat.completions.create(
            model="m-1", messages=user("hello"), stream=True
        )
        seen = [chunk async for chunk in stream]
        assert seen[-1].choices[0].finish_reason == "content_filter"
        assert "forbidden" not in str(seen)


async def test_a_compressed_stream_is_not_passed_on_unread() -> None:
    import gzip

    packed = gzip.compress(b"".join(chat_chunks("forbidden")))
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    async with running(BLOCKS, says(packed, headers=headers)) as proxy:
        with pytest.raises(openai.InternalServerError):
            await openai.AsyncOpenAI(
                base_url=f"{proxy.url}/v1", api_key="k", max_retries=0
            ).chat.completions.create(model="m-1", messages=user("hello"), stream=True)


END = b"data: [DONE]\n\n"


async def test_a_picture_in_a_stream_is_screened_and_covered() -> None:
    url = data_url(64)
    eye = fixed_detector({"IDAT": 0.9}, name="eye", reads="image")
    async with running(policy_of(rule(eye, when=["output"])), says(shows(url))) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert b"image_url" not in got.body
        assert b"content_filter" in got.body
    async with running(policy_of(rule(eye, Action.REDACT)), says(shows(url))) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert b'"url": "data:image/png;base64,' in got.body
        assert url.encode() not in got.body


async def test_long_base64_in_the_text_of_a_stream_is_text() -> None:
    text = "see data:text/plain;base64," + "A" * 3_000 + "forbidden" + "A" * 3_000
    async with running(BLOCKS, says(chat_chunks(text))) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert b"content_filter" in got.body
        assert b"AAAA" not in got.body
    async with running(REDACTS, says(chat_chunks(text + "secret"))) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert f"{text}[secret]".encode() in got.body


async def test_sound_in_a_stream_follows_the_policy() -> None:
    sent = [*chat_chunks("a")[:-2], speaks(), END]
    flags = policy_of(*BLOCKS.rules, unscreenable=Unscreenable(audio="flag"))
    async with running(flags, says(sent)) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert got.body == b"".join(sent)
        assert proxy.records.last.action is Action.FLAG
    async with running(ALLOWS, says(sent)) as proxy:
        assert (await ask(proxy.url, post(chat(stream=True)))).body == b"".join(sent)
