"""Anthropic's Messages through the proxy, with the real anthropic client."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from guardrail.testing import fixed_detector, policy_of, rule
from guardrail.verdict import Action
from tests.proxy.raw import ask, post
from tests.proxy.serving import running, says

BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9}), message="Not here."))
REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}), Action.REDACT))


def client(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=2)


def answer(text: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 12},
    }


def events(*texts: str) -> list[bytes]:
    message = {**answer(""), "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    rows: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text},
            }
            for text in texts
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 12},
        },
        {"type": "message_stop"},
    ]
    return [f"event: {row['type']}\ndata: {json.dumps(row)}\n\n".encode() for row in rows]


def asks(text: Any) -> dict[str, Any]:
    return {
        "model": "claude-x",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": text}],
    }


async def test_an_answer_passes() -> None:
    async with running(BLOCKS, says(answer("quiet"))) as proxy:
        message = await client(proxy.url).messages.create(**asks("hello"))
        assert message.content[0].text == "quiet"
        assert proxy.records.last.usage.input_tokens == 9
        assert proxy.records.last.finish_reason == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_prompt_is_a_bad_request_that_is_not_tried_again(stream: bool) -> None:
    async with running(BLOCKS, says(answer("quiet"))) as proxy:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client(proxy.url).messages.create(**asks("something forbidden"), stream=stream)
        error = caught.value
        assert error.request_id == proxy.records.last.id
        body: Any = error.body
        assert body["error"]["type"] == "invalid_request_error"
        assert body["error"]["code"] == "policy_violation"
        assert body["error"]["message"] == "Not here."
        assert len(proxy.records) == 1
        assert not proxy.upstream.requests


def test_the_sync_client_gets_the_same() -> None:
    import asyncio

    async def serve() -> None:
        async with running(BLOCKS, says(answer("quiet"))) as proxy:

            def call() -> None:
                with anthropic.Anthropic(base_url=proxy.url, api_key="k") as sync:
                    assert sync.messages.create(**asks("hello")).content[0].text == "quiet"
                    with pytest.raises(anthropic.BadRequestError):
                        sync.messages.create(**asks("forbidden"))

            await asyncio.to_thread(call)

    asyncio.run(serve())


async def test_a_stream_is_redacted_across_events() -> None:
    async with running(REDACTS, says(events("my sec", "ret is", " out"))) as proxy:
        async with client(proxy.url).messages.stream(**asks("hello")) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        assert text == "my [secret] is out"
        assert final.stop_reason == "end_turn"
        assert proxy.records.last.usage.output_tokens == 12


async def test_a_blocked_stream_ends_with_a_refusal() -> None:
    async with running(BLOCKS, says(events("so for", "bidden"))) as proxy:
        async with client(proxy.url).messages.stream(**asks("hello")) as stream:
            final = await stream.get_final_message()
        assert final.stop_reason == "refusal"
        assert not any(block.text for block in final.content)
        assert final.model == "claude-x"


async def test_a_conversation_that_claude_has_compacted_goes_on() -> None:
    def after(summary: str | None) -> dict[str, Any]:
        turn = {"role": "assistant", "content": [{"type": "compaction", "content": summary}]}
        return {**asks("go on"), "messages": [turn, *asks("go on")["messages"]]}

    async with running(BLOCKS, says(answer("quiet"))) as proxy:
        for summary in ("what was said", None):
            request = post(after(summary), "/v1/messages")
            assert (await ask(proxy.url, request)).status == 200
            assert request.endswith(proxy.upstream.requests[-1][1])
        assert (await ask(proxy.url, post(after("forbidden"), "/v1/messages"))).status == 400


async def test_tokens_are_counted_only_of_what_may_be_asked() -> None:
    async with running(BLOCKS, says({"input_tokens": 7})) as proxy:
        counted = await client(proxy.url).messages.count_tokens(
            model="claude-x", messages=[{"role": "user", "content": "hello"}]
        )
        assert counted.input_tokens == 7
        with pytest.raises(anthropic.BadRequestError):
            await client(proxy.url).messages.count_tokens(
                model="claude-x", messages=[{"role": "user", "content": "forbidden"}]
            )
