"""Flows played by hand: what is asked of the driver, in which order, and how a call ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from guardrail import Action, Call, Content, Image, Status, Text
from guardrail.content import Box, Context, Limits, Region, Reply, Usage
from guardrail.detector import Stage
from guardrail.errors import PictureError
from guardrail.flow.order import Flow, Outcome, guarded, screened_only
from guardrail.flow.plan import Plan
from guardrail.flow.room import MANY, STOPPED
from guardrail.flow.screening import OUT_OF_SCOPE
from guardrail.flow.steps import Ask, Emit, Job, Next, Release, Result, Run, Step, Wait, failure_of
from guardrail.flow.stream import Delta
from guardrail.policy import Failure, Mode, OnError, Policy, Rule, Scope
from guardrail.testing import fixed_detector, fixed_extractor, policy_of, rule
from guardrail.verdict import Area, Span


def work(job: Job) -> Result:
    if job.kind == "picture":
        return Result({"visual_tokens": 100, "format": "PNG"})
    try:
        return Result(job.run())
    except Exception as error:
        return Result(failure=failure_of(error, job))


def play(
    flow: Flow, *answers: Any, broken: str | None = None, steps: list[Step] | None = None
) -> tuple[list[Step], Outcome]:
    """Play a flow: jobs are done, Ask and Next get the given answers (or errors) in turn."""
    steps = [] if steps is None else steps
    left = list(answers)
    answer: Any = None
    while True:
        try:
            failed = isinstance(answer, Exception)
            step = flow.throw(answer) if failed else flow.send(answer)
        except StopIteration as end:
            return steps, end.value
        steps.append(step)
        answer = None
        if isinstance(step, Run):
            answer = tuple(
                Result(failure=failure_of(PictureError(job.part, "truncated", "cut off"), job))
                if job.kind == "picture" and job.part == broken
                else work(job)
                for job in step.jobs
            )
        elif isinstance(step, (Ask, Wait, Next)):
            answer = left.pop(0)


def names(steps: Sequence[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def call(*parts: Text | Image, **context: str) -> Call:
    return Call(Content(parts), Context(**context))


def reply(text: str) -> Reply:
    part = Text(text, name="output", role="assistant", source="model")
    return Reply(Content((part,)), usage=Usage(7, 3), finish_reason="stop")


BAD = rule(fixed_detector({"bad": 0.9}))


def status_of(outcome: Outcome, stage: int = -1) -> dict[str, tuple[Status, Action]]:
    rules = outcome.record.stages[stage].verdict.rules
    return {result.rule: (result.status, result.action) for result in rules}


def test_a_clean_call_is_screened_asked_checked_and_recorded() -> None:
    plan = Plan(policy_of(BAD))
    steps, outcome = play(guarded(plan, call(Text("hello"))), reply("fine"))
    assert names(steps) == ["Run", "Ask", "Run", "Emit"]
    assert not outcome.stopped
    assert outcome.record.usage == Usage(7, 3)
    assert outcome.record.finish_reason == "stop"
    assert [str(stage.stage) for stage in outcome.record.stages] == ["input", "output"]


def test_a_blocked_input_never_reaches_the_model() -> None:
    steps, outcome = play(guarded(Plan(policy_of(BAD)), call(Text("so bad"))))
    assert names(steps) == ["Run", "Emit"]
    assert outcome.stopped
    assert outcome.verdict.reason.startswith("fixed: ")
    (finding,) = outcome.verdict.findings
    assert finding.where == Span("prompt", 3, 6)


def test_a_blocked_output_is_not_handed_on() -> None:
    steps, outcome = play(guarded(Plan(policy_of(BAD)), call(Text("hello"))), reply("so bad"))
    assert names(steps)[-2:] == ["Run", "Emit"]
    assert outcome.stopped


def test_a_typed_block_ends_the_screening_before_the_pictures() -> None:
    picture_rule = rule(fixed_detector({"x": 0.9}, name="seen", reads="image"))
    plan = Plan(policy_of(BAD, picture_rule))
    steps, outcome = play(guarded(plan, call(Text("bad"), Image(b"x"))))
    assert names(steps) == ["Run", "Emit"]
    assert status_of(outcome)["seen"] == (Status.SKIPPED, Action.ALLOW)
    reasons = {r.rule: r.reason for r in outcome.verdict.rules}
    assert reasons["seen"] == STOPPED


def test_a_thorough_screening_looks_at_everything() -> None:
    picture_rule = rule(fixed_detector({"x": 0.9}, name="seen", reads="image"))
    plan = Plan(policy_of(BAD, picture_rule))
    asked = call(Text("bad"), Image(b"x"))
    flow = screened_only(plan, asked, Stage.INPUT, asked.content, thorough=True)
    _, outcome = play(flow)
    assert status_of(outcome)["seen"] == (Status.HIT, Action.BLOCK)


def read_as(text: str, *regions: Region) -> Text:
    return Text(text, name="#fixed", source="image:fixed", regions=regions)


def test_text_in_a_picture_is_screened_and_placed_in_the_picture() -> None:
    line = Region(0, 10, Box(0, 0, 100, 10))
    policy = policy_of(BAD, extractors=(fixed_extractor({b"pic": read_as("so bad, it", line)}),))
    _, outcome = play(guarded(Plan(policy), call(Text("hi"), Image(b"pic"))))
    (finding,) = outcome.verdict.findings
    assert finding.where == Area("images/0", (Box(20, 0, 71, 10),))


def test_a_rule_for_typed_text_does_not_read_pictures() -> None:
    policy = policy_of(
        replace(BAD, when=frozenset({"input.text"})),
        extractors=(fixed_extractor({b"pic": read_as("bad")}),),
    )
    steps, outcome = play(guarded(Plan(policy), call(Image(b"pic"))), reply("ok"))
    kinds = [job.kind for step in steps if isinstance(step, Run) for job in step.jobs]
    assert kinds == ["picture"]
    assert not outcome.stopped


@pytest.mark.parametrize("action", [Action.ALLOW, Action.FLAG, Action.REVIEW, Action.BLOCK])
def test_a_broken_picture_counts_under_on_error(action: Action) -> None:
    seen = rule(fixed_detector({"x": 0.9}, name="seen", reads="image"))
    policy = policy_of(seen, on_error=OnError(action, action))
    flow = guarded(Plan(policy), call(Image(b"pic")))
    _, outcome = play(flow, reply("ok"), broken="images/0")
    first = status_of(outcome, 0)
    assert first["limits"] == (Status.ERROR, action)
    assert first["seen"] in {(Status.ERROR, action), (Status.SKIPPED, Action.ALLOW)}
    assert outcome.record.stages[0].verdict.action is action


def test_a_failed_extractor_is_not_run_for_every_rule_that_reads_it() -> None:
    policy = policy_of(BAD, extractors=(fixed_extractor({}, error=RuntimeError("secret text")),))
    _, outcome = play(guarded(Plan(policy), call(Text("hi"), Image(b"pic"))))
    assert status_of(outcome)["fixed"] == (Status.ERROR, Action.BLOCK)
    assert "secret text" not in str(outcome.record.to_dict())


def test_a_detector_that_fails_is_an_error_without_its_message() -> None:
    broken = rule(fixed_detector({}, name="broken", error=ValueError("private words")))
    _, outcome = play(guarded(Plan(policy_of(broken)), call(Text("private words"))))
    assert status_of(outcome)["broken"] == (Status.ERROR, Action.BLOCK)
    assert "private" not in str(outcome.record.to_dict())


def test_a_hit_that_is_stricter_than_on_error_stays_a_hit() -> None:
    found = rule(fixed_detector({"bad": 0.9}, name="both"))
    failing = Policy(
        id="p",
        rules=(found,),
        on_error=OnError(Action.FLAG, Action.FLAG),
        extractors=(fixed_extractor({}, error=OSError()),),
    )
    _, outcome = play(guarded(Plan(failing), call(Text("fine"), Image(b"p"))), reply("ok"))
    assert status_of(outcome, 0)["both"] == (Status.ERROR, Action.FLAG)
    _, outcome = play(guarded(Plan(failing), call(Text("bad"), Image(b"p"))))
    assert status_of(outcome, 0)["both"] == (Status.HIT, Action.BLOCK)


def redacting(action: Action = Action.REDACT, **options: Any) -> Rule:
    return rule(fixed_detector({"bad": 0.9}), action, **options)


def test_redacted_input_is_what_the_model_is_asked() -> None:
    steps, outcome = play(guarded(Plan(policy_of(redacting())), call(Text("a bad b"))), reply("x"))
    (ask,) = [step for step in steps if isinstance(step, Ask)]
    assert ask.changed == {"prompt": Text("a [bad] b")}
    assert outcome.record.stages[0].verdict.action is Action.REDACT


def test_redacted_output_is_what_the_caller_gets() -> None:
    plan = Plan(policy_of(redacting(replacement="***")))
    _, outcome = play(guarded(plan, call(Text("hi"))), reply("a bad b"))
    assert [part.text for part in outcome.content.texts] == ["a *** b"]
    assert set(outcome.changed) == {"output"}


def test_an_edit_that_cannot_be_made_blocks() -> None:
    seen = rule(fixed_detector({"x": 0.9}, name="seen", reads="image"), Action.REDACT)
    _, outcome = play(guarded(Plan(policy_of(seen)), call(Image(b"x is no picture"))))
    assert outcome.verdict.action is Action.BLOCK
    assert outcome.verdict.reason.startswith("edit: ")


def test_a_shadow_rule_only_says_what_it_would_do() -> None:
    shadow = redacting(Action.BLOCK, mode=Mode.SHADOW)
    _, outcome = play(guarded(Plan(policy_of(shadow)), call(Text("bad"))), reply("ok"))
    assert not outcome.stopped
    (result,) = [r for r in outcome.record.stages[0].verdict.rules if r.rule == "fixed"]
    assert (result.action, result.would) == (Action.ALLOW, Action.BLOCK)


def test_limits_hold_before_any_check_runs() -> None:
    policy = policy_of(BAD, limits=Limits(max_text_chars=3, max_images=0))
    steps, outcome = play(guarded(Plan(policy), call(Text("hello"), Image(b"x"))))
    assert names(steps) == ["Emit"]
    assert outcome.verdict.reason == (
        "limits: images: 1 pictures, over the limit of 0 (limits.max_images)"
    )
    assert status_of(outcome)["fixed"] == (Status.SKIPPED, Action.ALLOW)
    policy = policy_of(BAD, limits=Limits(max_texts=2))
    texts = [Text("hello", f"messages/{n}") for n in range(3)]
    _, outcome = play(guarded(Plan(policy), call(*texts[:2])), reply("ok"))
    assert not outcome.stopped
    steps, outcome = play(guarded(Plan(policy), call(*texts)))
    assert names(steps) == ["Emit"]
    assert outcome.verdict.reason == "limits: text: 3 texts, over the limit of 2 (limits.max_texts)"


def test_many_texts_are_looked_at_in_turns() -> None:
    texts = [Text(f"hello {n}", f"messages/{n}") for n in range(1_000)]
    steps, outcome = play(guarded(Plan(policy_of(BAD)), call(*texts)), reply("ok"))
    assert not outcome.stopped
    assert sum(len(step.jobs) for step in steps if isinstance(step, Run)) == 1_001
    assert max(len(step.jobs) for step in steps if isinstance(step, Run)) <= MANY
    assert names(steps).count("Pause") >= len(texts) // MANY
    stage = outcome.record.stages[0]
    assert [facts.name for facts in stage.parts] == [text.name for text in texts]
    bad = [*texts, Text("so bad", "messages/last")]
    _, outcome = play(guarded(Plan(policy_of(BAD)), call(*bad)))
    assert outcome.stopped


def test_the_visual_token_budget_is_over_all_pictures() -> None:
    policy = policy_of(limits=Limits(max_visual_tokens=150))
    _, outcome = play(guarded(Plan(policy), call(Image(b"a"), Image(b"b", name="images/1"))))
    assert outcome.stopped
    assert "200 visual tokens" in outcome.verdict.reason


def test_a_call_out_of_scope_is_skipped_not_passed() -> None:
    policy = policy_of(BAD, scope=Scope(models=("qwen*",)))
    _, outcome = play(guarded(Plan(policy), call(Text("bad"), model="llava")), reply("ok"))
    assert status_of(outcome) == {"fixed": (Status.SKIPPED, Action.ALLOW)}
    assert outcome.verdict.rules[0].reason == OUT_OF_SCOPE


def test_two_rules_on_one_detector_share_a_run() -> None:
    detector = fixed_detector({"bad": 0.6})
    plan = Plan(policy_of(rule(detector, id="one", at=0.5), rule(detector, id="two", at=0.8)))
    steps, outcome = play(guarded(plan, call(Text("bad"))))
    (first,) = [step for step in steps if isinstance(step, Run)]
    assert len(first.jobs) == 1
    assert status_of(outcome)["one"][0] is Status.HIT
    assert status_of(outcome)["two"][0] is Status.PASSED


def test_typed_and_read_text_never_share_a_finding() -> None:
    plan = Plan(policy_of(BAD))
    identity = plan.identity["fixed"]
    typed = Text("the same")
    read = Text("the same", source="image:ocr", origin="images/0")
    as_system = Text("the same", role="system")
    keys = {plan.key("detector", identity, Stage.INPUT, (p,)) for p in (typed, read, as_system)}
    assert len(keys) == 3
    renamed = replace(typed, name="messages/3")
    assert plan.key("detector", identity, Stage.INPUT, (renamed,)) in keys


def deltas(*texts: str) -> list[Delta | None]:
    return [*(Delta((("output", text),)) for text in texts), None]


def test_a_stream_is_held_until_it_is_checked() -> None:
    steps, outcome = play(
        guarded(Plan(policy_of(BAD)), call(Text("hi"))), None, *deltas("so b", "ad", " news")
    )
    assert outcome.stopped
    assert not [step for step in steps if isinstance(step, Release)]


def test_a_clean_stream_is_released_as_it_came() -> None:
    steps, _ = play(guarded(Plan(policy_of(BAD)), call(Text("hi"))), None, *deltas("a", "", "b"))
    assert [step for step in steps if isinstance(step, Release)] == [
        Release(0),
        Release(1),
        Release(2),
    ]


def test_a_stream_is_redacted_across_its_chunks() -> None:
    steps, _ = play(
        guarded(Plan(policy_of(redacting())), call(Text("hi"))), None, *deltas("so b", "a", "d.")
    )
    released = [dict(step.texts) for step in steps if isinstance(step, Release)]
    assert released == [{"output": "so [bad]"}, {"output": ""}, {"output": "."}]


def test_a_stream_that_no_rule_holds_flows_at_once() -> None:
    policy = policy_of(redacting(Action.BLOCK, mode=Mode.SHADOW))
    steps, outcome = play(guarded(Plan(policy), call(Text("hi"))), None, *deltas("bad", "x"))
    assert names(steps)[-5:] == ["Release", "Next", "Next", "Run", "Emit"] or names(steps)[-6:] == [
        "Release",
        "Next",
        "Release",
        "Next",
        "Run",
        "Emit",
    ]
    assert [r.would for r in outcome.verdict.rules if r.rule == "fixed"] == [Action.BLOCK]


def test_a_stream_over_the_limit_is_cut_off_and_blocked() -> None:
    policy = policy_of(BAD, limits=Limits(max_text_chars=5))
    steps, outcome = play(
        guarded(Plan(policy), call(Text("hi"))), None, *deltas("aaaa", "bbbb", "cccc")
    )
    assert outcome.stopped
    assert names(steps).count("Next") == 2


def test_what_the_model_call_raises_is_recorded_by_type_and_raised() -> None:
    flow = guarded(Plan(policy_of()), call(Text("hi")))
    step = next(flow)
    assert isinstance(step, Ask)
    emitted = flow.throw(ConnectionError("private host"))
    assert isinstance(emitted, Emit)
    assert emitted.record.error == "ConnectionError"
    assert "private" not in str(emitted.record.to_dict())
    with pytest.raises(ConnectionError):
        next(flow)


def test_failures_keep_only_our_own_words() -> None:
    job = Job("ocr", "1", "extractor", "images/0", lambda: None, None, 1.0)
    assert failure_of(ValueError("content"), job) == Failure(
        Status.ERROR, "ocr: ValueError in images/0"
    )
