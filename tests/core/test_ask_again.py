"""Answers that a rule does not accept are asked for again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from guardrail import Action, Blocked, Guard, Rule, Text
from guardrail.content import Usage
from guardrail.flow.order import Outcome, guarded
from guardrail.flow.plan import Plan
from guardrail.flow.steps import Ask, Release, Step
from guardrail.policy import Mode
from guardrail.record import Record
from guardrail.testing import CapturedRecords, ScriptedModel, fixed_detector, policy_of, rule
from tests.core.test_order import call, deltas, names, play, reply


def again(times: int = 2, action: Action = Action.BLOCK, **options: Any) -> Rule:
    return rule(fixed_detector({"bad": 0.9}), action, when=["output"], ask_again=times, **options)


def asked(steps: list[Step]) -> list[str]:
    return [step.changed["prompt"].text for step in steps if isinstance(step, Ask) and step.changed]


def played(rules: list[Rule], *answers: str) -> tuple[list[Step], Outcome]:
    return play(guarded(Plan(policy_of(*rules)), call(Text("hi"))), *map(reply, answers))


def test_the_model_is_asked_again_with_a_note() -> None:
    steps, outcome = played([again()], "so bad", "fine")
    assert names(steps) == ["Ask", "Run", "Ask", "Run", "Emit"]
    assert not outcome.stopped
    (second,) = asked(steps)
    assert second == (
        "hi\n\nYour previous answer was not accepted. Answer again, so that this no longer holds "
        "of it:\n- bad: “bad”"
    )
    assert outcome.content.texts[0].text == "fine"


def test_after_the_last_time_the_rules_own_action_counts() -> None:
    steps, outcome = played([again(2)], "bad 1", "bad 2", "bad 3")
    assert names(steps).count("Ask") == 3
    assert outcome.stopped
    assert outcome.record.action is Action.BLOCK
    _, outcome = played([again(1, Action.REDACT)], "bad 1", "bad 2")
    assert outcome.content.texts[0].text == "[bad] 2"


def test_every_attempt_is_in_the_record_without_its_words() -> None:
    _, outcome = played([again()], "so bad", "fine")
    record = outcome.record
    assert [stage.verdict.ask_again for stage in record.stages] == [False, True, False]
    assert len(record.asks) == 2
    assert record.usage == Usage(14, 6)
    assert record.action is Action.ALLOW
    row = record.to_dict()
    assert len(row["model"]["asks"]) == 2
    assert row["stages"][1]["rules"][1]["ask_again"] is True
    assert "so bad" not in json.dumps(row)


def test_a_rule_that_stops_for_good_leaves_no_second_try() -> None:
    final = rule(fixed_detector({"worse": 0.9}, name="final"), when=["output"])
    steps, outcome = played([again(), final], "bad and worse")
    assert names(steps).count("Ask") == 1
    assert outcome.stopped
    assert not outcome.verdict.ask_again


def test_edits_of_the_input_stay_in_what_is_asked_again() -> None:
    hide = rule(fixed_detector({"secret": 0.9}, name="hide"), Action.REDACT, when=["input"])
    plan = Plan(policy_of(again(), hide))
    steps, _ = play(guarded(plan, call(Text("a secret"))), reply("bad"), reply("fine"))
    first, second = asked(steps)
    assert first == "a [secret]"
    assert second.startswith("a [secret]\n\nYour previous")


@pytest.mark.parametrize("part", [Text("x", role="system"), Text("x", source="tool", role="tool")])
def test_without_a_typed_text_there_is_nothing_to_put_the_note_under(part: Text) -> None:
    plan = Plan(policy_of(again()))
    steps, outcome = play(guarded(plan, call(part)), reply("bad"))
    assert names(steps).count("Ask") == 1
    assert outcome.stopped


def test_a_stream_is_asked_again_before_anything_of_it_has_left() -> None:
    plan = Plan(policy_of(again()))
    answers = [None, *deltas("b", "ad"), None, *deltas("fi", "ne")]
    steps, outcome = play(guarded(plan, call(Text("hi"))), *answers)
    assert names(steps).count("Ask") == 2
    assert [step for step in steps if isinstance(step, Release)] == [Release(0), Release(1)]
    assert not outcome.stopped


def test_a_screening_alone_has_no_model_to_ask() -> None:
    screening = Guard(policy_of(again())).check("so bad")
    assert screening.action is Action.BLOCK
    assert not screening.verdict.ask_again


def test_a_rule_in_shadow_asks_for_nothing() -> None:
    steps, _ = played([again(mode=Mode.SHADOW)], "bad")
    assert names(steps).count("Ask") == 1


def test_asking_again_is_for_output_alone() -> None:
    with pytest.raises(ValueError, match="ask_again is for rules on output alone"):
        rule(fixed_detector({"bad": 0.9}), ask_again=1)


class Model:
    """Each kind of callable over a list of answers, called to its end."""

    def __init__(self, guard: Guard, answers: list[str]) -> None:
        self.model = ScriptedModel(answers)

        @guard
        def plain(messages: list[dict[str, Any]]) -> str:
            return self.model(messages)

        @guard
        async def coroutine(messages: list[dict[str, Any]]) -> str:
            return self.model(messages)

        @guard
        def generator(messages: list[dict[str, Any]]) -> Iterator[str]:
            yield from self.model(messages)

        @guard
        async def async_generator(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
            for char in self.model(messages):
                yield char

        async def collect(messages: list[dict[str, Any]]) -> str:
            return "".join([chunk async for chunk in async_generator(messages)])

        self.kinds: dict[str, Any] = {
            "function": plain,
            "coroutine": lambda messages: asyncio.run(coroutine(messages)),
            "generator": lambda messages: "".join(generator(messages)),
            "async generator": lambda messages: asyncio.run(collect(messages)),
        }


MESSAGES = [
    {"role": "system", "content": "be good"},
    {"role": "user", "content": [{"type": "text", "text": "first"}]},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": [{"type": "text", "text": "last"}]},
]


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async generator"])
def test_every_kind_of_call_is_asked_again_in_its_own_shape(kind: str) -> None:
    records = CapturedRecords()
    model = Model(Guard(policy_of(again()), sinks=[records]), ["bad", "bad", "fine"])
    assert model.kinds[kind](MESSAGES) == "fine"
    first, second, third = (ask["prompt"] for ask in model.model.asked)
    assert first == MESSAGES
    assert second == third
    assert second[:3] == MESSAGES[:3]
    assert second[3]["content"][0]["text"].startswith("last\n\nYour previous answer")
    assert len(records.last.asks) == 3


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async generator"])
def test_every_kind_of_call_ends_blocked(kind: str) -> None:
    model = Model(Guard(policy_of(again(1))), ["bad", "bad"])
    with pytest.raises(Blocked):
        model.kinds[kind](MESSAGES)


def test_a_second_answer_at_once_after_a_stream() -> None:
    answers = iter([iter(["b", "ad"]), "fine"])

    @Guard(policy_of(again()))
    def ask(prompt: str) -> Any:
        return next(answers)

    assert list(ask("hi")) == ["fine"]


def test_rules_made_in_python_join_a_guard() -> None:
    base = Guard(policy_of(rule(fixed_detector({"bad": 0.9}))))
    more = base.with_rules(rule(fixed_detector({"odd": 0.9}, name="odd")))
    assert more.screen("odd").action is Action.BLOCK
    assert base.screen("odd").action is Action.ALLOW
    assert more.runner is base.runner
    with pytest.raises(ValueError, match="one id"):
        more.with_rules(rule(fixed_detector({"x": 0.9}, name="odd")))


def template(text: str) -> str:
    found = rule(fixed_detector({"b{a}d": 0.9}), Action.REDACT, replacement=text)
    return Guard(policy_of(found)).check("so b{a}d.").content.texts[0].text


def test_a_replacement_may_quote_what_was_found() -> None:
    assert template("[unverified: {found}]") == "so [unverified: b{a}d]."
    assert template("{found}{found} {label} {{}}") == "so b{a}db{a}d b{a}d {}."
    assert template("gone") == "so gone."
    with pytest.raises(ValueError, match=r"fixed: replacement: there is no field \{fuond\}"):
        template("{fuond}")


def test_a_quote_is_one_line_of_bounded_length() -> None:
    text = "x\n\n\x1b[31m" + "y" * 500
    found = rule(fixed_detector({text: 0.9}), Action.REDACT, replacement="<{found}>")
    new = Guard(policy_of(found)).check(text).content.texts[0].text
    assert new.startswith("<x [31myyy")
    assert new.endswith("y…>")
    assert len(new) == 202


def test_an_attempt_counts_in_the_record_of_a_failing_call() -> None:
    kept: list[Record] = []
    model = ScriptedModel(["bad", OSError()])
    guard = Guard(policy_of(again()), sinks=[kept.append])
    with pytest.raises(OSError):
        guard(model.__call__)("hi")
    assert kept[0].error == "OSError"
    assert len(kept[0].asks) == 2
