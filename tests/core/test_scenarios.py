"""The same calls, sync and async, with overlap and without: all end alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from guardrail import Action, Guard, Limits, Record, Rule
from guardrail.policy import Mode, OnError, Scope
from guardrail.testing import CapturedRecords, fixed_detector, policy_of, rule


def words(*found: str, **options: Any) -> Any:
    return fixed_detector(dict.fromkeys(found, 0.9), window=4, **options)


def output(action: Action, word: str = "bad", **options: Any) -> Rule:
    return rule(words(word, name=f"out-{word}"), action, when=["output"], **options)


STOP_INPUT = rule(words("evil"), when=["input", "tool", "system"])
BROKEN = rule(fixed_detector({}, name="broken", error=OSError()), when=["input"])
LATE = rule(fixed_detector({}, name="late", seconds=2), when=["input"], timeout_ms=30)


@dataclass(frozen=True)
class Scenario:
    """A policy, what is asked, what the model answers in turn, and how the caller takes it."""

    name: str
    rules: tuple[Rule, ...] = (STOP_INPUT,)
    prompt: str = "hello"
    answers: tuple[Any, ...] = ("fine",)
    takes: int | None = None  # chunks after which the caller leaves
    options: dict[str, Any] = field(default_factory=dict)
    on_block: Any = "raise"


LONG = tuple(f"word {i:02d} " for i in range(20))
SCENARIOS = [
    Scenario("clean"),
    Scenario("input blocked", prompt="an evil plan"),
    Scenario("input for review", (rule(words("evil"), Action.REVIEW),), "an evil plan"),
    Scenario("input flagged", (rule(words("evil"), Action.FLAG),), "an evil plan"),
    Scenario("input refused", prompt="evil", on_block="return"),
    Scenario("input instead", prompt="evil", on_block="no"),
    Scenario("output blocked", (output(Action.BLOCK),), answers=("so bad",)),
    Scenario("output redacted", (output(Action.REDACT),), answers=("so bad it is",)),
    Scenario("asked again", (output(Action.BLOCK, ask_again=2),), answers=("bad", "bad", "fine")),
    Scenario("asked in vain", (output(Action.BLOCK, ask_again=1),), answers=("bad", "bad")),
    Scenario("in shadow", (output(Action.BLOCK, mode=Mode.SHADOW),), answers=("bad",)),
    Scenario("out of scope", prompt="evil", options={"scope": Scope(tenants=("x",))}),
    Scenario("a check broken", (BROKEN,)),
    Scenario("a check broken, open", (BROKEN,), options={"on_error": OnError(Action.FLAG)}),
    Scenario("a check late", (LATE,)),
    Scenario("too long", prompt="x" * 50, options={"limits": Limits(max_text_chars=20)}),
    Scenario("the model fails", answers=(ConnectionError(),)),
    Scenario("stream", (output(Action.BLOCK),), answers=(LONG,)),
    Scenario("stream blocked", (output(Action.BLOCK),), answers=((*LONG, "b", "ad", *LONG),)),
    Scenario("stream redacted", (output(Action.REDACT),), answers=((*LONG, "b", "ad", *LONG),)),
    Scenario("stream breaks", (output(Action.REDACT),), answers=((*LONG, "bad", OSError()),)),
    Scenario("stream left", (output(Action.REDACT),), answers=(LONG * 3,), takes=3),
    Scenario(
        "stream asked again",
        (output(Action.BLOCK, ask_again=1), output(Action.REDACT, "odd")),
        answers=(("b", "ad"), ("an o", "dd one")),
    ),
    Scenario("stream refused", (output(Action.BLOCK),), answers=((*LONG, "bad"),), on_block=None),
    Scenario(
        "stream too long",
        (output(Action.BLOCK),),
        answers=(LONG * 9,),
        options={"limits": Limits(max_text_chars=400)},
    ),
]


def ended(record: Record) -> dict[str, Any]:
    """What of a record does not depend on time."""
    row = record.to_dict()
    for name in ("id", "ms", "started_ns"):
        row.pop(name)
    for stage in row["stages"]:
        stage.pop("ms")
        for part in stage["parts"]:
            part.pop("digest")
        for check in stage["checks"]:
            for name in ("ms", "loading_ms"):
                check.pop(name, None)
    if row["model"] is not None:
        row["model"]["asks"] = len(row["model"]["asks"])
        row["model"].pop("ms")
    return row


def run(scenario: Scenario, *, way: str, overlap: bool) -> tuple[Any, dict[str, Any]]:
    """What the caller gets, and the record."""
    records, answers = CapturedRecords(), list(scenario.answers)
    policy = policy_of(*scenario.rules, overlap=overlap, **scenario.options)
    guard = Guard(policy, sinks=[records])(on_block=scenario.on_block)
    streams = isinstance(scenario.answers[0], tuple)

    def said(piece: Any) -> Any:
        if isinstance(piece, Exception):
            raise piece
        return piece

    def plain(prompt: str) -> Any:
        return said(answers.pop(0))

    def generator(prompt: str) -> Iterator[Any]:
        yield from map(said, answers.pop(0))

    async def coroutine(prompt: str) -> Any:
        return said(answers.pop(0))

    async def async_generator(prompt: str) -> AsyncIterator[Any]:
        for piece in answers.pop(0):
            yield said(piece)

    got: list[Any] = []

    def sync() -> None:
        if not streams:
            got.append(guard(plain)(scenario.prompt))
            return
        chunks = guard(generator)(scenario.prompt)
        for chunk in chunks:
            got.append(chunk)
            if len(got) == scenario.takes:
                break
        chunks.close()  # type: ignore[attr-defined]

    async def arun() -> None:
        if not streams:
            got.append(await guard(coroutine)(scenario.prompt))
            return
        chunks = guard(async_generator)(scenario.prompt)
        async for chunk in chunks:
            got.append(chunk)
            if len(got) == scenario.takes:
                break
        await chunks.aclose()  # type: ignore[attr-defined]

    try:
        if way == "sync":
            sync()
        else:
            asyncio.run(arun())
    except Exception as error:
        got.append(type(error))
    assert len(records) == 1
    row = ended(records.last)
    if got and type(got[-1]).__name__ == "Refusal":
        got[-1] = got[-1].message
    return got, row


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_calls_end_alike_sync_and_async(scenario: Scenario) -> None:
    assert run(scenario, way="sync", overlap=False) == run(scenario, way="async", overlap=False)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_calls_end_alike_with_overlap(scenario: Scenario) -> None:
    got, row = run(scenario, way="sync", overlap=False)
    for way in ("sync", "async"):
        overlapped, also = run(scenario, way=way, overlap=True)
        assert overlapped == got
        assert also["stages"] == row["stages"]
        if row["model"] is not None:
            assert also["model"] == row["model"]


def test_the_scenarios_tell_their_ends_apart() -> None:
    ends = {s.name: run(s, way="sync", overlap=False)[0] for s in SCENARIOS}
    assert ends["output redacted"] == ["so [bad] it is"]
    assert ends["asked again"] == ["fine"]
    assert ends["out of scope"] == ["fine"]
    assert ends["stream asked again"] == ["an [odd]", " one"]
    assert "".join(ends["stream redacted"]) == "".join([*LONG, "[bad]", *LONG])
    assert ends["stream breaks"] == [*LONG, "[bad]", OSError]
    assert ends["stream left"] == list(LONG[:3])
    assert ends["stream refused"][-1] is None
    assert {name for name, got in ends.items() if isinstance(got[-1], type)} == {
        "input blocked",
        "input for review",
        "output blocked",
        "asked in vain",
        "a check broken",
        "a check late",
        "too long",
        "the model fails",
        "stream blocked",
        "stream breaks",
        "stream too long",
    }
