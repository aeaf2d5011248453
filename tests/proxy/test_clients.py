"""The sync client packages: the right exception with its fields, and nothing is tried again.

The async ones are used all over the other tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from guardrail import Action
from guardrail.errors import NotRun
from guardrail.hosting import Stage
from guardrail.policy import Mode, Policy
from guardrail.testing import fixed_detector, policy_of, rule
from tests.proxy import test_messages, test_responses
from tests.proxy.scripted import Play
from tests.proxy.serving import Running, chat_answer, chat_chunks, running, says

FORBIDDEN = fixed_detector({"forbidden": 0.9})
BLOCKS = policy_of(rule(FORBIDDEN, message="Not here."))
REVIEWS = policy_of(rule(FORBIDDEN, Action.REVIEW, message="Let somebody look."))
REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}), Action.REDACT))
BROKEN = policy_of(rule(fixed_detector({"x": 1.0}, error=NotRun("weights are missing"))))


async def called(policy: Policy, play: Play, call: Callable[[str], Any]) -> tuple[Any, Running]:
    """What a sync call gives or raises, made in a thread beside the proxy."""

    def made(url: str) -> Any:
        try:
            return call(url)
        except (openai.OpenAIError, anthropic.AnthropicError) as error:
            return error

    async with running(policy, play) as proxy:
        return await asyncio.to_thread(made, proxy.url), proxy


def chat(text: str, *, stream: bool = False) -> Callable[[str], Any]:
    def call(url: str) -> Any:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=2) as client:
            messages: Any = [{"role": "user", "content": text}]
            made: Any = client.chat.completions.create(
                model="m-1", messages=messages, stream=stream
            )
            return list(made) if stream else made

    return call


def response(text: str, *, stream: bool = False) -> Callable[[str], Any]:
    def call(url: str) -> Any:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=2) as client:
            made: Any = client.responses.create(model="m-1", input=text, stream=stream)
            return list(made) if stream else made

    return call


def message(text: str, *, stream: bool = False) -> Callable[[str], Any]:
    def call(url: str) -> Any:
        with anthropic.Anthropic(base_url=url, api_key="k", max_retries=2) as client:
            asked = test_messages.asks(text)
            if not stream:
                return client.messages.create(**asked)
            with client.messages.stream(**asked) as stream_:
                said = "".join(stream_.text_stream)
                return said, stream_.get_final_message()

    return call


QUIET = {
    chat: says(chat_answer("quiet")),
    response: says(test_responses.answer("quiet")),
    message: says(test_messages.answer("quiet")),
}
CALLS = [(call, stream) for call in QUIET for stream in (False, True)]


@pytest.mark.parametrize(("call", "stream"), CALLS)
@pytest.mark.parametrize(
    ("policy", "code", "said"),
    [
        (BLOCKS, "policy_violation", "Not here."),
        (REVIEWS, "review_required", "Let somebody look."),
    ],
)
async def test_a_blocked_prompt(
    call: Any, stream: bool, policy: Policy, code: str, said: str
) -> None:
    error, proxy = await called(policy, QUIET[call], call("forbidden", stream=stream))
    assert isinstance(error, (openai.BadRequestError, anthropic.BadRequestError))
    assert error.status_code == 400
    assert error.request_id == proxy.records.last.id
    assert "forbidden" not in str(error)
    if isinstance(error, openai.BadRequestError):
        assert (error.code, error.type, error.param) == (code, "invalid_request_error", None)
        assert error.body["message"] == said  # type: ignore[index]
    else:
        about = error.body["error"]  # type: ignore[index]
        assert (about["type"], about["code"]) == ("invalid_request_error", code)
        assert about["message"] == said
    assert len(proxy.records) == 1
    assert not proxy.upstream.requests


@pytest.mark.parametrize(("call", "stream"), CALLS)
async def test_a_check_that_could_not_run_is_not_tried_again(call: Any, stream: bool) -> None:
    error, proxy = await called(BROKEN, QUIET[call], call("hello", stream=stream))
    assert isinstance(error, (openai.InternalServerError, anthropic.InternalServerError))
    assert error.status_code == 503
    assert len(proxy.records) == 1
    assert not proxy.upstream.requests


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (chat, chat_answer("forbidden")),
        (response, test_responses.answer("forbidden")),
        (message, test_messages.answer("forbidden")),
    ],
)
async def test_a_blocked_answer(call: Any, answer: Any) -> None:
    error, proxy = await called(BLOCKS, says(answer), call("hello"))
    assert isinstance(error, (openai.BadRequestError, anthropic.BadRequestError))
    assert "forbidden" not in str(error)
    assert len(proxy.upstream.requests) == len(proxy.records) == 1


async def test_streams_that_are_blocked() -> None:
    chunks, _ = await called(BLOCKS, says(chat_chunks("for", "bidden")), chat("hi", stream=True))
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert not any(chunk.choices[0].delta.content for chunk in chunks)
    sent = says(test_responses.events("for", "bidden"))
    events, _ = await called(BLOCKS, sent, response("hi", stream=True))
    assert events[-1].response.incomplete_details.reason == "content_filter"
    sent = says(test_messages.events("for", "bidden"))
    (said, final), _ = await called(BLOCKS, sent, message("hi", stream=True))
    assert (said, final.stop_reason) == ("", "refusal")


async def test_streams_that_are_redacted() -> None:
    sent = says(chat_chunks("my sec", "ret"))
    chunks, proxy = await called(REDACTS, sent, chat("a secret", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "my [secret]"
    assert b"a [secret]" in proxy.upstream.requests[0][1]
    sent = says(test_responses.events("my sec", "ret"))
    events, _ = await called(REDACTS, sent, response("hi", stream=True))
    assert events[-1].response.output_text == "my [secret]"
    sent = says(test_messages.events("my sec", "ret"))
    (said, final), _ = await called(REDACTS, sent, message("hi", stream=True))
    assert (said, final.stop_reason) == ("my [secret]", "end_turn")


SLOW = fixed_detector({"secret": 0.9}, window=16, seconds=0.05)


@pytest.mark.parametrize(
    "policy",
    [
        policy_of(rule(SLOW, Action.FLAG), mode=Mode.SHADOW),
        policy_of(rule(SLOW, Action.FLAG)),
        policy_of(rule(SLOW, Action.REDACT)),
        policy_of(rule(SLOW)),
    ],
    ids=["shadow", "flag", "redact", "block"],
)
async def test_clients_leave_at_the_mark_of_the_end_and_the_record_is_whole(policy: Policy) -> None:
    def call(url: str) -> Any:
        return chat("hi", stream=True)(url), chat("hi", stream=True)(url)

    _, proxy = await called(policy, says(chat_chunks("a", "quiet", usage=True)), call)
    assert len(proxy.records) == 2
    for record in proxy.records:
        assert record.error is None
        assert [stage.stage for stage in record.stages] == [Stage.INPUT, Stage.OUTPUT]
        assert record.usage.output_tokens == 12
        assert not record.cut_off


async def test_an_error_in_the_middle_of_a_stream_is_raised() -> None:
    broken = [*chat_chunks("a")[:2], b"data: {broken\n\n"]
    error, _ = await called(BLOCKS, says(broken), chat("hi", stream=True))
    assert isinstance(error, openai.APIError)
    assert error.code == "upstream_garbage"
    broken = [*test_messages.events("a")[:4], b"event: x\ndata: {broken\n\n"]
    error, _ = await called(BLOCKS, says(broken), message("hi", stream=True))
    assert isinstance(error, anthropic.APIStatusError)
    assert error.body["error"]["code"] == "upstream_garbage"  # type: ignore[index]
