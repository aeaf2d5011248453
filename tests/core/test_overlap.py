"""The model is asked while the input is screened, and nothing leaves before the verdict."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail import Action, Blocked, Detector, Finding, Guard, Spec, Text, View
from guardrail.flow.order import guarded
from guardrail.flow.plan import Plan
from guardrail.testing import CapturedRecords, fixed_detector, policy_of, rule
from tests.core.test_order import call, deltas, names, play, reply

BAD = rule(fixed_detector({"bad": 0.9}))


def overlapping(*rules: Any) -> Plan:
    return Plan(policy_of(*(rules or (BAD,)), overlap=True))


def test_the_model_is_asked_first_and_answers_after_the_verdict() -> None:
    steps, outcome = play(guarded(overlapping(), call(Text("hello"))), reply("fine"))
    assert names(steps) == ["Start", "Run", "Wait", "Run", "Emit"]
    assert not outcome.stopped
    assert len(outcome.record.asks) == 1


def test_a_block_cancels_the_call() -> None:
    steps, outcome = play(guarded(overlapping(), call(Text("so bad"))))
    assert names(steps) == ["Start", "Run", "Cancel", "Emit"]
    assert outcome.stopped
    assert len(outcome.record.asks) == 1


def test_a_stream_starts_after_the_verdict() -> None:
    steps, _ = play(guarded(overlapping(), call(Text("hi"))), None, *deltas("a", "b"))
    kinds = names(steps)
    assert kinds.index("Wait") < kinds.index("Release")
    assert kinds.count("Release") == 2


def test_another_answer_is_asked_for_in_turn() -> None:
    again = rule(fixed_detector({"bad": 0.9}), when=["output"], ask_again=1)
    plan = overlapping(again)
    steps, outcome = play(guarded(plan, call(Text("hi"))), reply("bad"), reply("fine"))
    assert names(steps) == ["Start", "Wait", "Run", "Ask", "Run", "Emit"]
    assert not outcome.stopped


@pytest.mark.parametrize("when", ["input", "tool.text", "system"])
def test_a_rule_that_changes_what_is_asked_has_to_run_before(when: str) -> None:
    redact = rule(fixed_detector({"bad": 0.9}), Action.REDACT, when=[when])
    with pytest.raises(ValueError, match="overlap: the rule 'fixed' may change what is asked"):
        policy_of(redact, overlap=True)
    base = Guard(policy_of(overlap=True))
    with pytest.raises(ValueError, match="overlap"):
        base.with_rules(redact)


def test_sync_calls_are_asked_after_the_screening() -> None:
    asked: list[str] = []

    @Guard(policy_of(BAD, overlap=True))
    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "fine"

    assert ask("hello") == "fine"
    with pytest.raises(Blocked):
        ask("bad")
    assert asked == ["hello"]


class Gate:
    """A check that ends when it is let, and a model that says when it was asked."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked, self.cancelled = asyncio.Event(), False
        self.records = CapturedRecords()

        def run(view: View) -> list[Finding]:
            assert self.open.wait(10)
            return [Finding("gate", "bad", 1.0) for part in view.texts if "bad" in part.text]

        detector = Detector(Spec("gate", "1", ("bad",)), run)
        held = rule(detector, when=["input"])
        self.guard = Guard(policy_of(held, overlap=True), sinks=[self.records])


async def test_the_model_works_while_the_input_is_screened() -> None:
    gate = Gate()

    @gate.guard
    async def ask(prompt: str) -> str:
        gate.asked.set()
        return f"fine, {prompt}"

    task = asyncio.create_task(ask("sir"))
    await asyncio.wait_for(gate.asked.wait(), 10)
    await asyncio.sleep(0.02)
    assert not task.done()
    gate.open.set()
    assert await task == "fine, sir"


async def test_a_blocked_input_cancels_the_model_call() -> None:
    gate = Gate()
    ended: list[str] = []

    @gate.guard
    async def ask(prompt: str) -> str:
        gate.asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "late"

    task = asyncio.create_task(ask("bad"))
    await asyncio.wait_for(gate.asked.wait(), 10)
    gate.open.set()
    with pytest.raises(Blocked):
        await task
    assert ended == ["cancelled"]
    record = gate.records.last
    assert record.action is Action.BLOCK
    assert len(record.asks) == 1


@pytest.mark.parametrize("prompt", ["hello", "bad"])
async def test_an_async_generator_begins_too_and_gives_nothing_before(prompt: str) -> None:
    gate = Gate()
    closed: list[bool] = []

    @gate.guard
    async def ask(prompt: str) -> AsyncIterator[str]:
        gate.asked.set()
        try:
            for piece in ("one", "two"):
                yield piece
        finally:
            closed.append(True)

    got: list[str] = []

    async def drain() -> None:
        async for piece in ask(prompt):
            got.append(piece)

    task = asyncio.create_task(drain())
    await asyncio.wait_for(gate.asked.wait(), 10)
    await asyncio.sleep(0.02)
    assert got == []
    gate.open.set()
    if prompt == "bad":
        with pytest.raises(Blocked):
            await task
    else:
        await task
    assert got == ([] if prompt == "bad" else ["one", "two"])
    assert closed == [True]


async def test_what_the_model_raises_meanwhile_comes_after_the_verdict() -> None:
    gate = Gate()

    @gate.guard
    async def ask(prompt: str) -> str:
        gate.asked.set()
        raise ConnectionError

    for prompt, error in (("hello", ConnectionError), ("bad", Blocked)):
        gate.open.clear()
        gate.asked.clear()
        task = asyncio.create_task(ask(prompt))
        await asyncio.wait_for(gate.asked.wait(), 10)
        gate.open.set()
        with pytest.raises(error):
            await task


async def test_a_cancelled_caller_cancels_both() -> None:
    gate = Gate()
    ended: list[str] = []

    @gate.guard
    async def ask(prompt: str) -> str:
        gate.asked.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("model")
        return "late"

    task = asyncio.create_task(ask("hello"))
    await asyncio.wait_for(gate.asked.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open.set()
    assert ended == ["model"]
    assert gate.records.last.error == "Abandoned"
