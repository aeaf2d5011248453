"""The arguments of tool calls in streamed answers, with the real clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail import Action
from guardrail.testing import fixed_detector, policy_of, rule
from tests.proxy import test_messages, test_responses
from tests.proxy.raw import ask, post
from tests.proxy.serving import chat_chunks, running, says
from tests.proxy.test_clients import called, chat, message, response

REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}, window=16), Action.REDACT))
BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9}, window=16)))
HARMLESS = ('{"to": "a\\u00e9", ', '"body": "nothing', ' to see"}')
SECRET = ('{"to": "a\\u00e9", ', '"body": "my sec', 'ret is out"}')
FORBIDDEN = ('{"to": "a\\u00e9", ', '"body": "for', 'bidden"}')


def by_chat(*pieces: str) -> list[bytes]:
    whole = chat_chunks("x")
    frame = json.loads(whole[1][6:])
    events = []
    for place, piece in enumerate(pieces):
        call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
        if not place:
            call |= {"id": "call_1", "type": "function"}
            call["function"]["name"] = "send"
        frame["choices"][0]["delta"] = {"tool_calls": [call]}
        events.append(b"data: " + json.dumps(frame).encode() + b"\n\n")
    return [whole[0], *events, *whole[2:]]


def named(*rows: dict[str, Any]) -> list[bytes]:
    return [f"event: {row['type']}\ndata: {json.dumps(row)}\n\n".encode() for row in rows]


def by_messages(*pieces: str) -> list[bytes]:
    whole = test_messages.events("x")
    block = {"type": "tool_use", "id": "toolu_1", "name": "send", "input": {}}
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    events = named(
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
    )
    return [whole[0], *events, *whole[-3:]]


def by_responses(*pieces: str) -> list[bytes]:
    whole = "".join(pieces)
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "send"}
    done = {**item, "arguments": whole, "status": "completed"}
    place = {"item_id": "fc_1", "output_index": 0}
    kind = "response.function_call_arguments"
    rows: list[dict[str, Any]] = [
        {"type": "response.created", "response": test_responses.answer("", "in_progress")},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "arguments": "", "status": "in_progress"},
        },
        *({"type": f"{kind}.delta", **place, "delta": piece} for piece in pieces),
        {"type": f"{kind}.done", **place, "arguments": whole},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {
            "type": "response.completed",
            "response": {**test_responses.answer(""), "output": [done]},
        },
    ]
    return named(*({**row, "sequence_number": number} for number, row in enumerate(rows)))


def told(got: Any) -> tuple[list[str], str]:
    """The arguments each time that a client is told them whole, and why the answer ended."""
    if isinstance(got, tuple):
        final = got[1]
        return [json.dumps(block.input) for block in final.content], str(final.stop_reason)
    if hasattr(got[-1], "choices"):
        calls = [chunk.choices[0].delta.tool_calls for chunk in got]
        said = "".join(call[0].function.arguments for call in calls if call)
        return [said], str(got[-1].choices[0].finish_reason)
    deltas = [one.delta for one in got if one.type.endswith("arguments.delta")]
    last = got[-1].response
    whole = [item.arguments for item in last.output]
    reason = last.incomplete_details.reason if last.incomplete_details else last.status
    return ["".join(deltas), *whole], str(reason)


APIS = [(chat, by_chat), (message, by_messages), (response, by_responses)]


@pytest.mark.parametrize(("call", "stream"), APIS)
async def test_arguments_pass(call: Any, stream: Any) -> None:
    got, _ = await called(BLOCKS, says(stream(*HARMLESS)), call("hi", stream=True))
    arguments, reason = told(got)
    for said in arguments:
        assert json.loads(said) == {"to": "aé", "body": "nothing to see"}
    assert reason in ("stop", "end_turn", "completed")


@pytest.mark.parametrize(("call", "stream"), APIS)
async def test_arguments_are_redacted_across_pieces(call: Any, stream: Any) -> None:
    got, proxy = await called(REDACTS, says(stream(*SECRET)), call("hi", stream=True))
    arguments, _ = told(got)
    for said in arguments:
        assert json.loads(said) == {"to": "aé", "body": "my [secret] is out"}
    assert proxy.records.last.action is Action.REDACT


@pytest.mark.parametrize("number", [{}, {"index": 0}])  # of Gemini, and of Ollama
@pytest.mark.parametrize("together", [True, False])
async def test_calls_that_are_not_told_apart_keep_their_arguments(
    number: Any, together: bool
) -> None:
    said = ('{"x": "my secret"}', '{"y": "nothing"}', '{"z": "secret", "n": 5}')
    calls = [
        {**number, "id": f"c{place}", "type": "function", "function": {"name": "f", "arguments": a}}
        for place, a in enumerate(said)
    ]
    whole = chat_chunks("x")
    frame = json.loads(whole[1][6:])
    events = []
    for some in [calls] if together else [[call] for call in calls]:
        frame["choices"][0]["delta"] = {"tool_calls": some}
        events.append(b"data: " + json.dumps(frame).encode() + b"\n\n")
    got, _ = await called(REDACTS, says([*events, *whole[2:]]), chat("hi", stream=True))
    deltas = [chunk.choices[0].delta.tool_calls for chunk in got]
    arguments = [call.function.arguments for calls in deltas if calls for call in calls]
    assert arguments == [piece.replace("secret", "[secret]") for piece in said]


async def test_long_numbers_in_arguments_are_text() -> None:
    card, policy = 4111111111111111, policy_of(rule(fixed_detector({"4111": 0.9}), Action.REDACT))
    use = {
        "type": "tool_use",
        "id": "t",
        "name": "pay",
        "input": {"to": [{"card": card, "n": 4111}]},
    }
    said = {"role": "assistant", "content": [use]}
    async with running(policy, says({**test_messages.answer(""), "content": [use]})) as proxy:
        asked = {"model": "m", "max_tokens": 9, "messages": [said]}
        got = await ask(proxy.url, post(asked, "/v1/messages"))
        _, sent = proxy.upstream.requests[0]
        for block in (got.json["content"][0], json.loads(sent)["messages"][0]["content"][0]):
            assert block["input"] == {"to": [{"card": "[4111]111111111111", "n": 4111}]}


@pytest.mark.parametrize(("call", "stream"), APIS)
async def test_arguments_that_are_blocked_never_become_a_call(call: Any, stream: Any) -> None:
    got, proxy = await called(BLOCKS, says(stream(*FORBIDDEN)), call("hi", stream=True))
    arguments, reason = told(got)
    assert "forbidden" not in str(arguments)
    assert all("body" not in said or "bidden" not in said for said in arguments)
    assert reason in ("content_filter", "refusal")
    assert proxy.records.last.action is Action.BLOCK
