"""Rates of hits, alerts and evaluation events; what checks of an answer are given beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from guardrail import Action, Box, Detector, Finding, Guard, Spec, Text, View
from guardrail.policy import Alert, Policy
from guardrail.policy.load import load_policy
from guardrail.registry import Registry
from guardrail.testing import CapturedRecords, fixed_detector, fixed_extractor, policy_of, rule
from tests.bench import pictures


def judge(scores: dict[str, float], **options: object) -> Detector:
    """Holds an answer to its call: scores the words of its text, "*" whatever the text is."""
    seen: list[View] = []

    def run(view: View) -> Sequence[Finding]:
        seen.append(view)
        text = view.texts[0].text
        return [
            Finding("judge", label, score, heat=((Box(0, 0, 2, 2), 0.5),))
            for label, score in scores.items()
            if label == "drift" or label in text
        ]

    spec = Spec("judge", "1", labels=tuple(scores), scope="call", **options)  # type: ignore[arg-type]
    detector = Detector(spec, run)
    detector.run.views = seen  # type: ignore[attr-defined]
    return detector


def watched(window: int = 10, over: float = 0.2) -> Policy:
    detector = judge({"bad": 0.9})
    return policy_of(rule(detector, Action.FLAG, when=["output"], alert=Alert(over, window)))


def test_an_alert_comes_once_when_a_rate_goes_over_and_again_after_it_came_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = Guard(watched())
    alerts = []
    for answer in ["good"] * 8 + ["bad"] * 4 + ["good"] * 10 + ["bad"] * 3:
        caplog.clear()
        guard.check(answer)
        alerts.append(sum("alert" in record.message for record in caplog.records))
    assert [number for number, alert in enumerate(alerts) if alert] == [10, 24]
    assert "judge hit 30.0% of its last 10 results, over 20.0%" in caplog.text


def test_a_window_has_to_be_half_full(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(watched(window=10))
    for _ in range(4):
        guard.check("bad")
    assert not caplog.records
    guard.check("bad")
    assert len(caplog.records) == 1


def test_a_check_that_did_not_run_is_no_result() -> None:
    policy = policy_of(
        rule(fixed_detector({"bad": 1.0}, error=OSError()), when=["output"], alert=Alert(0.0, 10))
    )
    records = CapturedRecords()
    guard = Guard(policy, sinks=[records])
    guard.check("bad")
    assert guard.rates.observe(policy, records.last.stages) == []


def test_scores_and_alerts_are_in_the_trace() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    guard = Guard(watched(window=10, over=0.0), tracer_provider=provider)
    for _ in range(5):
        guard.check("bad")
    (span,) = [span for span in exporter.get_finished_spans() if span.parent is None][-1:]
    events = {event.name: dict(event.attributes or {}) for event in span.events}
    assert events["gen_ai.evaluation.result"] == {
        "gen_ai.evaluation.name": "judge.bad",
        "gen_ai.evaluation.score.value": 0.9,
    }
    assert events["guardrail.alert"]["guardrail.rate"] == 1.0


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, Alert(0.05, 200)),
        ({"alert": {"rate_over": 0.2}}, Alert(0.2, 200)),
        ({"alert": False}, None),
        ({"when": "input"}, None),
    ],
)
def test_rules_that_judge_answers_are_watched(
    entry: dict[str, object], expected: Alert | None
) -> None:
    def judging() -> Detector:
        return judge({"bad": 0.9})

    policy = {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "x"},
        "rules": [{"id": "j", "when": "output", "check": "judging", "action": "flag"} | entry],
    }
    (made,) = load_policy(policy, registry=Registry(detectors={"judging": judging})).rules
    assert made.alert == expected


def test_labels_that_act_only_by_name() -> None:
    detector = judge({"bad": 0.9, "drift": 0.9}, by_name=frozenset({"drift"}))
    guard = Guard(policy_of(rule(detector, Action.BLOCK, when=["output"])))
    assert guard.check("good").action is Action.ALLOW
    assert guard.check("bad").action is Action.BLOCK
    levels = {"drift": ((Action.FLAG, 0.5),)}
    named = policy_of(rule(detector, when=["output"], id="named"))
    (made,) = named.rules
    object.__setattr__(made, "levels", levels)
    assert Guard(named).check("good").action is Action.FLAG


def test_what_was_read_in_the_pictures_stands_beside_an_answer() -> None:
    mark = pictures.screenshot()
    read = Text("TOTAL 12.50", name="images/0#fixed", source="image:fixed", origin="images/0")
    detector = judge({"bad": 0.9}, reads_beside=True)
    policy = policy_of(rule(detector, when=["output"]), extractors=(fixed_extractor({mark: read}),))
    guard = Guard(policy)
    done = guard.check("good", images=[mark])
    (view,) = detector.run.views  # type: ignore[attr-defined]
    assert [t.text for t in view.call.content.texts if t.source == "image:fixed"] == ["TOTAL 12.50"]
    assert [run.name for run in done.record.stages[0].checks] == ["fixed", "judge"]


def test_a_picture_that_cannot_be_read_beside_an_answer_is_no_pass() -> None:
    detector = judge({"bad": 0.9}, reads_beside=True)
    extractor = fixed_extractor({}, error=OSError())
    guard = Guard(policy_of(rule(detector, when=["output"]), extractors=(extractor,)))
    assert guard.check("good", images=[pictures.screenshot()]).action is Action.BLOCK


def test_where_a_thing_was_looked_for_is_kept_with_the_record() -> None:
    guard = Guard(policy_of(rule(judge({"bad": 0.9}), Action.FLAG, when=["output"])))
    row = json.dumps(guard.check("bad").record.to_dict())
    assert '"heat": [[0, 0, 2, 2, 0.5]]' in row
