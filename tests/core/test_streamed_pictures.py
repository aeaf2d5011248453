"""Pictures in streamed answers: they wait for the rules that look at them, and change with them."""

from __future__ import annotations

import io

import pytest
from PIL import Image as Pillow

from guardrail import Action, Box, Region, Status, Text
from guardrail.content import Limits
from guardrail.flow.order import Outcome, guarded
from guardrail.flow.plan import Plan
from guardrail.flow.steps import Next, Release, Step
from guardrail.flow.stream import Delta
from guardrail.policy import Mode, Policy
from guardrail.testing import fixed_detector, fixed_extractor, policy_of, rule
from tests.core.test_order import call, play


def drawn(mark: str, width: int = 32) -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", (width, width), "white").save(out, "PNG")
    return out.getvalue() + mark.encode()


def played(policy: Policy, *chunks: Delta, broken: str | None = None) -> tuple[list[Step], Outcome]:
    flow = guarded(Plan(policy), call(Text("hi")))
    return play(flow, None, *chunks, None, broken=broken)


def released(steps: list[Step]) -> list[Release]:
    return [step for step in steps if isinstance(step, Release)]


def before_the_end(steps: list[Step]) -> int:
    last = max(i for i, step in enumerate(steps) if isinstance(step, Next))
    return len(released(steps[:last]))


def eye(action: Action = Action.BLOCK, **options: object) -> Policy:
    detector = fixed_detector({"bad": 0.9}, name="eye", reads="image")
    return policy_of(rule(detector, action, when=["output"], **options))


def shown(*marks: str) -> list[Delta]:
    return [Delta(pictures=((f"partial/{n}", drawn(mark)),)) for n, mark in enumerate(marks)]


def test_a_picture_waits_for_its_rules() -> None:
    steps, outcome = played(eye(), Delta((("output", "a"),)), *shown("one", "two"))
    assert [release.index for release in released(steps)] == [0, 1, 2]
    assert before_the_end(steps) == 1
    (stage,) = outcome.record.stages[1:]
    assert [part.kind for part in stage.parts] == ["text", "image", "image"]


def test_a_bad_picture_stops_the_stream_and_never_leaves() -> None:
    steps, outcome = played(eye(), Delta((("output", "a"),)), *shown("fine", "bad"))
    assert outcome.stopped
    assert [release.index for release in released(steps)] == [0]


@pytest.mark.parametrize("policy", [eye(Action.FLAG), eye(mode=Mode.SHADOW), policy_of()])
def test_rules_that_cannot_stop_a_picture_hold_none(policy: Policy) -> None:
    steps, _ = played(policy, *shown("bad", "bad"))
    assert before_the_end(steps) == 2


def test_a_picture_that_cannot_be_opened_is_not_passed_on() -> None:
    steps, outcome = played(eye(), *shown("broken"), broken="partial/0/0")
    assert outcome.stopped
    assert not released(steps)
    assert outcome.verdict.rules[0].status is Status.ERROR


def test_what_is_read_in_a_picture_of_the_answer_falls_under_rules_on_output() -> None:
    text = Text("my secret", source="image:ocr", regions=(Region(0, 9, Box(4, 4, 20, 12)),))
    reads = fixed_extractor({b"marked": text})
    found = fixed_detector({"secret": 0.9}, name="words")
    for when in ("output", "output.image"):
        policy = policy_of(rule(found, Action.REDACT, when=[when]), extractors=(reads,))
        steps, outcome = played(policy, *shown("plain", "marked"))
        assert not outcome.stopped
        plain, marked = released(steps)
        assert not plain.pictures
        covered = Pillow.open(io.BytesIO(marked.pictures["partial/1"])).convert("RGB")
        assert covered.getpixel((16, 8)) == (0, 0, 0)
    policy = policy_of(rule(found, Action.BLOCK, when=["input"]), extractors=(reads,))
    _, outcome = played(policy, *shown("marked"))
    assert not outcome.stopped


def test_the_same_picture_said_again_is_one() -> None:
    policy = policy_of(*eye().rules, limits=Limits(max_images=2))
    steps, outcome = played(policy, *shown("one", "two", "two", "one"))
    assert not outcome.stopped
    assert len(released(steps)) == 4
    steps, outcome = played(policy, *shown("one", "two", "three", "four"))
    assert outcome.stopped
    assert "pictures, over the limit of 2 (limits.max_images)" in outcome.verdict.reason
