"""The decorator with a declared output: every kind of callable, every form of answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from guardrail import Action, Blocked, ContentError, Guard, SchemaError
from guardrail.policy import Mode
from guardrail.testing import CapturedRecords, ScriptedModel, fixed_detector, policy_of, rule
from tests.structure.test_reading import TEXT, Invoice, Item

WRONG = TEXT.replace("2.5", '"2.5"')
EMPTY = policy_of()
INVOICE = Invoice.model_validate_json(TEXT)

kinds = pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async generator"])


class Kinds:
    """A scripted model as each kind of callable; `calls[kind](prompt)` gives all that it yields."""

    def __init__(self, guard: Guard, answers: list[str], **options: Any) -> None:
        options = {"output": Invoice, **options}
        self.model = model = ScriptedModel(answers)
        self.sent: list[str] = []
        self.closed = 0

        def chunks(prompt: str) -> Iterator[str]:
            text = model(prompt)
            try:
                for start in range(0, len(text), 7):
                    self.sent.append(text[start : start + 7])
                    yield text[start : start + 7]
            finally:
                self.closed += 1

        @guard(**options)
        def plain(prompt: str) -> Any:
            return model(prompt)

        @guard(**options)
        async def coroutine(prompt: str) -> Any:
            return model(prompt)

        @guard(**options)
        def generator(prompt: str) -> Iterator[Any]:
            yield from chunks(prompt)

        @guard(**options)
        async def async_generator(prompt: str) -> AsyncIterator[Any]:
            source = chunks(prompt)
            try:
                for chunk in source:
                    yield chunk
            finally:
                source.close()

        async def collect(prompt: str) -> list[Any]:
            return [chunk async for chunk in async_generator(prompt)]

        self.calls = {
            "function": lambda prompt: [plain(prompt)],
            "coroutine": lambda prompt: [asyncio.run(coroutine(prompt))],
            "generator": lambda prompt: list(generator(prompt)),
            "async generator": lambda prompt: asyncio.run(collect(prompt)),
        }


@kinds
def test_the_typed_value_comes_back(kind: str) -> None:
    records = CapturedRecords()
    seen = Kinds(Guard(EMPTY, sinks=[records]), [f"```json\n{TEXT}\n```"]).calls[kind]("read it")
    assert seen[-1] == INVOICE
    assert all(isinstance(one, Invoice) for one in seen)
    assert seen.count(INVOICE) <= 2
    (result,) = [r for r in records.last.stages[-1].verdict.rules if r.rule == "output-schema"]
    assert [finding.note for finding in result.below] == ["only dressed up: fence"]


@kinds
def test_a_wrong_answer_is_asked_for_again_with_the_place_and_the_reason(kind: str) -> None:
    records = CapturedRecords()
    calls = Kinds(Guard(EMPTY, sinks=[records]), [WRONG, TEXT])
    assert calls.calls[kind]("read it")[-1] == INVOICE
    first, second = [asked["prompt"] for asked in calls.model.asked]
    assert first == "read it"
    assert second.startswith("read it\n")
    assert second.endswith("- $.items[0].price: a number is expected")
    assert len(records.last.asks) == 2
    assert "tea" not in json.dumps(records.last.to_dict())


@kinds
def test_after_the_last_time_it_is_blocked_with_the_reason(kind: str) -> None:
    calls = Kinds(Guard(EMPTY), [WRONG, WRONG, WRONG], ask_again=2)
    with pytest.raises(Blocked) as caught:
        calls.calls[kind]("read it")
    assert len(calls.model.asked) == 3
    (finding,) = caught.value.verdict.findings
    assert (finding.label, finding.note) == (
        "invalid_value",
        "$.items[0].price: a number is expected",
    )
    refusals = Kinds(Guard(EMPTY), [WRONG], ask_again=0, on_block="return").calls[kind]("read it")
    assert not refusals[-1]


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_a_stream_is_stopped_as_soon_as_it_cannot_fit(kind: str) -> None:
    calls = Kinds(Guard(EMPTY), [WRONG + " " * 700], ask_again=0)
    with pytest.raises(Blocked) as caught:
        calls.calls[kind]("read it")
    place = WRONG.index('"2.5')
    assert len("".join(calls.sent)) <= place + 8
    assert calls.closed == 1
    assert [f.note for f in caught.value.verdict.findings] == [
        "$.items[0].price: a number is expected"
    ]


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_partial_values_come_as_the_chunks_do(kind: str) -> None:
    calls = Kinds(Guard(EMPTY), [TEXT])
    seen = calls.calls[kind]("read it")
    assert len(seen) > 8
    assert [one.vendor for one in seen][:4] == [None, "Ho", "Hof Caf", "Hof Café"]
    assert seen[3].items is None


@kinds
def test_other_rules_see_the_answer_and_their_edits_are_in_the_value(kind: str) -> None:
    redact = policy_of(rule(fixed_detector({"Hof": 0.9}), Action.REDACT, replacement="***"))
    calls = Kinds(Guard(redact), [TEXT])
    assert calls.calls[kind]("read it")[-1].vendor == "*** Café"
    block = policy_of(rule(fixed_detector({"Hof": 0.9}), Action.BLOCK))
    with pytest.raises(Blocked):
        Kinds(Guard(block), [TEXT]).calls[kind]("read it")


@kinds
def test_an_edit_that_breaks_the_form_is_an_error(kind: str) -> None:
    redact = policy_of(rule(fixed_detector({"bill": 0.9}), Action.REDACT, replacement="***"))
    with pytest.raises(ContentError, match=r'\$\.kind: one of "bill", "receipt" is expected'):
        Kinds(Guard(redact), [TEXT]).calls[kind]("read it")


@kinds
def test_a_policy_in_shadow_mode_gives_values_or_errors(kind: str) -> None:
    shadow = Guard(policy_of(mode=Mode.SHADOW))
    assert Kinds(shadow, [TEXT]).calls[kind]("read it")[-1] == INVOICE
    with pytest.raises(ContentError, match="a number is expected"):
        Kinds(shadow, [WRONG]).calls[kind]("read it")


def chat(message: dict[str, Any], finish_reason: str = "stop", count: int = 1) -> ChatCompletion:
    return ChatCompletion.model_validate(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": None, **message},
                    "finish_reason": finish_reason,
                }
                for index in range(count)
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        }
    )


def called(*names: str) -> dict[str, Any]:
    return {
        "tool_calls": [
            {"id": name, "type": "function", "function": {"name": name, "arguments": TEXT}}
            for name in names
        ]
    }


def anthropic(content: list[dict[str, Any]], stop_reason: str = "tool_use") -> Message:
    return Message.model_validate(
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }
    )


TOOL_USE = {"type": "tool_use", "id": "t", "name": "Invoice", "input": json.loads(TEXT)}
RESPONSE = Response.model_validate(
    {
        "id": "r",
        "object": "response",
        "created_at": 0,
        "model": "m",
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "status": "completed",
        "output": [
            {"type": "reasoning", "id": "x", "summary": [{"type": "summary_text", "text": "{"}]},
            {
                "type": "message",
                "id": "y",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
            },
        ],
    }
)


class VllmOutput:
    def __init__(self, text: str, finish_reason: str = "stop") -> None:
        self.outputs = [type("Completion", (), {"text": text, "finish_reason": finish_reason})()]


def named(answer: Any) -> str:
    """The kind of an answer, as the name of its test."""
    return answer if isinstance(answer, str) else type(answer).__name__


@pytest.mark.parametrize(
    "answer",
    [
        TEXT,
        chat({"content": TEXT}),
        chat({"content": TEXT, "reasoning_content": "a {thought}"}),
        chat(called("Invoice")),
        chat(called("other", "Invoice")),
        chat({"content": TEXT}).model_dump(),
        anthropic([TOOL_USE]),
        anthropic([{"type": "text", "text": "I use the {tool}."}, TOOL_USE]),
        anthropic([{"type": "text", "text": TEXT}], "end_turn"),
        anthropic([TOOL_USE]).model_dump(),
        RESPONSE,
        RESPONSE.model_dump(),
        {"role": "assistant", "content": TEXT},
        [{"generated_text": TEXT}],
        [
            {
                "generated_text": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": TEXT},
                ]
            }
        ],
        VllmOutput(TEXT),
        INVOICE,
        json.loads(TEXT),
    ],
    ids=named,
)
def test_answers_in_every_form(answer: Any) -> None:
    assert Guard(EMPTY)(lambda prompt: answer, output=Invoice)("read it") == INVOICE


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        (chat({"content": TEXT[:60]}, "length"), "cut_off"),
        (chat({"content": TEXT[:60]}), "invalid_json"),
        (chat({"content": ""}, "content_filter"), "refused"),
        (chat({"refusal": "I cannot."}), "refused"),
        (chat({}), "invalid_json"),
        (anthropic([{"type": "text", "text": TEXT[:60]}], "max_tokens"), "cut_off"),
        (anthropic([{**TOOL_USE, "input": {"vendor": "x"}}], "max_tokens"), "cut_off"),
        (anthropic([], "refusal"), "refused"),
        (VllmOutput(TEXT[:60], "length"), "cut_off"),
        ({"vendor": "x"}, "invalid_value"),
    ],
    ids=named,
)
def test_what_is_no_whole_answer_is_told_apart(answer: Any, label: str) -> None:
    asked = []

    def model(prompt: str) -> Any:
        asked.append(prompt)
        return answer

    with pytest.raises(Blocked) as caught:
        Guard(EMPTY)(model, output=Invoice)("read it")
    assert {finding.label for finding in caught.value.verdict.findings} == {label}
    assert len(asked) == (1 if label in ("cut_off", "refused") else 2)


def test_several_answers_are_refused() -> None:
    for answer in (
        chat({"content": TEXT}, count=2),
        chat(called("a", "b")),
        [{"generated_text": TEXT}] * 2,
    ):
        with pytest.raises(ContentError, match="one answer is expected, not 2"):
            Guard(EMPTY)(lambda prompt, answer=answer: answer, output=Invoice)("read it")
    with pytest.raises(ContentError, match="a object cannot be read"):
        Guard(EMPTY)(lambda prompt: object(), output=Invoice)("read it")


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return ChatCompletionChunk.model_validate(
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "m",
            "choices": [choice],
        }
    )


def pieces(text: str) -> list[str]:
    return [text[start : start + 9] for start in range(0, len(text), 9)]


CHAT = [
    chunk({"role": "assistant", "content": ""}),
    *(chunk({"content": p}) for p in pieces(TEXT)),
    chunk({}, "stop"),
]
TOOL = [
    chunk({"content": "I use {the tool}."}),
    *(
        chunk({"tool_calls": [{"index": 0, "function": {"name": "Invoice", "arguments": p}}]})
        for p in pieces(TEXT)
    ),
    chunk({}, "tool_calls"),
]
ANTHROPIC = [
    {
        "type": "message_start",
        "message": {"id": "m", "role": "assistant", "content": [], "model": "m"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "{"},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "So {"}},
    *(
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": p},
        }
        for p in pieces(TEXT)
    ),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
RESPONSES = [
    *(
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": p}
        for p in pieces(TEXT)
    ),
    {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": TEXT},
]


@pytest.mark.parametrize(
    "events", [CHAT, TOOL, ANTHROPIC, RESPONSES], ids=["chat", "tool", "anthropic", "responses"]
)
def test_streams_of_every_client(events: list[Any]) -> None:
    guard = Guard(EMPTY)

    @guard(output=Invoice)
    def stream(prompt: str) -> Iterator[Any]:
        yield from events

    seen = list(stream("read it"))
    assert seen[-1] == INVOICE
    assert len(seen) > 5
    assert all(isinstance(one, Invoice) for one in seen)


@pytest.mark.parametrize(
    ("events", "label"),
    [
        ([*CHAT[:5], chunk({}, "length")], "cut_off"),
        (CHAT[:5], "invalid_json"),
        ([chunk({"refusal": "I cannot."}), chunk({}, "stop")], "refused"),
        ([chunk({}, "content_filter")], "refused"),
        (
            [*ANTHROPIC[:6], {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}],
            "cut_off",
        ),
        ([], "invalid_json"),
    ],
)
def test_streams_that_end_badly(events: list[Any], label: str) -> None:
    guard = Guard(EMPTY)

    stream = guard(lambda prompt: iter(events), output=Invoice, ask_again=0)("read it")
    with pytest.raises((Blocked, ContentError)) as caught:
        list(stream)
    error: Any = caught.value
    labels = {f.label for f in error.verdict.findings} if events else {error.code}
    assert labels == {label}


def test_an_output_that_cannot_be_used_is_told_at_once() -> None:
    with pytest.raises(SchemaError, match=r"#/properties/a: \$ref: only places in this document"):
        Guard(EMPTY)(lambda prompt: "", output={"properties": {"a": {"$ref": "https://x.y/z"}}})
    clash = Guard(policy_of(rule(fixed_detector({}), id="output-schema")))
    with pytest.raises(ValueError, match="two rules have one id"):
        clash(lambda prompt: "", output=Invoice)


def test_labels_and_lists_as_outputs() -> None:
    guard = Guard(EMPTY)
    assert guard(lambda prompt: "cat", output=Literal["cat", "dog"])("which?") == "cat"
    assert guard(lambda prompt: [1, 2], output=list[int])("which?") == [1, 2]
    assert guard(lambda prompt: '{"value": [1]}', output=list[int])("which?") == [1]
    assert guard(lambda prompt: [Item(name="a", price=1)], output=list[Item])("which?") == [
        Item(name="a", price=1)
    ]


CARDS = Guard(
    {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "cards"},
        "rules": [
            {
                "id": "cards",
                "when": "output",
                "check": {"use": "pii", "entities": ["CARD"]},
                "action": "redact",
            }
        ],
    }
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 40])
@pytest.mark.parametrize("space", [" ", "\\u0020"])
def test_what_is_redacted_is_in_no_partial_value(size: int, space: str) -> None:
    card = space.join(["4111", "1111", "1111", "1111"])
    text = TEXT.replace("tea", f"paid by {card} ok")

    @CARDS(output=Invoice)
    def stream(prompt: str) -> Iterator[str]:
        yield from (text[start : start + size] for start in range(0, len(text), size))

    names = [item.name or "" for value in stream("read it") for item in value.items or ()]
    assert names[-1] == "paid by [CARD] ok"
    assert not any("4111" in name for name in names)


@pytest.mark.parametrize("ask_again", [0, 1])
def test_a_stream_that_breaks_off_ends_the_call(ask_again: int) -> None:
    asked, guard = [], Guard(EMPTY)

    @guard(output=Invoice, ask_again=ask_again)
    def stream(prompt: str) -> Iterator[str]:
        asked.append(prompt)
        yield TEXT[:40]
        raise ConnectionError("gone")

    seen = stream("read it")
    assert next(seen).vendor == "Hof Café"
    with pytest.raises((ConnectionError, Blocked)):
        list(seen)
    assert len(asked) == 1
