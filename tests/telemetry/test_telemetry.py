"""Spans and metrics of guarded calls, as an OpenTelemetry SDK receives them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from guardrail import Action, Blocked, Context, Guard, Policy, Status
from guardrail.cli.drawing import receipt
from guardrail.harden import Trust
from guardrail.policy import Mode, Scope
from guardrail.testing import fixed_detector, policy_of, rule

POLICY = policy_of(
    rule(fixed_detector({"bad": 0.9}), Action.BLOCK),
    rule(fixed_detector({"odd": 0.7}, name="second"), Action.FLAG),
    rule(fixed_detector({"no such mark": 0.9}, name="pictures", reads="image"), Action.FLAG),
    version="7",
)
ANSWER = {
    "id": "c1",
    "model": "m-2",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}
    ],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 8},
    },
}


class Seen:
    """A guard with a real SDK behind it."""

    def __init__(self, policy: Policy = POLICY, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(**options)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.guard = Guard(
            policy,
            tracer_provider=self.tracers,
            meter_provider=MeterProvider(metric_readers=[self.reader]),
        )

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


def ask(seen: Seen, prompt: str = "hello", image: bytes | None = None) -> Any:
    @seen.guard(context=lambda *_, **__: Context(session="s-1", tenant="clinic"))
    def model(prompt: str, image: bytes | None, model: str, temperature: float) -> Any:
        with trace.get_tracer("inner", tracer_provider=seen.tracers).start_as_current_span("inner"):
            return ANSWER

    return model(prompt, image, "m-1", 0.5)


def test_a_call_is_a_span_with_the_names_of_the_conventions() -> None:
    seen = Seen()
    ask(seen, image=receipt())
    call = seen.spans["chat m-1"]
    attributes = dict(call.attributes or {})
    assert call.kind is trace.SpanKind.CLIENT
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.request.model"] == "m-1"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.response.model"] == "m-2"
    assert attributes["gen_ai.response.id"] == "c1"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes["gen_ai.usage.input_tokens"] == 10
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 8
    assert attributes["gen_ai.conversation.id"] == "s-1"
    assert attributes["gen_ai.guardrail.policy.id"] == "test"
    assert attributes["gen_ai.guardrail.policy.version"] == "7"
    assert attributes["guardrail.tenant"] == "clinic"
    assert attributes["guardrail.action"] == "allow"
    (digest,) = attributes["guardrail.image.sha256"]
    assert len(digest) == 64


def test_stages_and_checks_are_spans_below_it() -> None:
    seen = Seen()
    ask(seen, image=receipt())
    spans = seen.spans
    call, stage = spans["chat m-1"], spans["guardrail input"]
    assert stage.parent is not None
    assert stage.parent.span_id == call.context.span_id
    check = spans["apply_guardrail pictures"]
    assert check.parent is not None
    assert check.parent.span_id == stage.context.span_id
    assert (check.start_time or 0) <= (check.end_time or 0) <= (stage.end_time or 0)
    assert dict(check.attributes or {})["guardrail.cache.hit"] is False
    ask(seen, image=receipt())
    again = [s for s in seen.exporter.get_finished_spans() if s.name == "apply_guardrail pictures"]
    assert dict(again[-1].attributes or {})["guardrail.cache.hit"] is True


def test_what_the_model_call_traces_stands_below_the_call() -> None:
    seen = Seen()
    ask(seen)
    inner = seen.spans["inner"]
    assert inner.parent is not None
    assert inner.parent.span_id == seen.spans["chat m-1"].context.span_id


def test_hits_are_events_and_nothing_holds_content() -> None:
    seen = Seen()
    with pytest.raises(Blocked):
        ask(seen, "my private odd words are bad")
    (first, second) = seen.spans["guardrail input"].events
    assert dict(first.attributes or {})["gen_ai.guardrail.policy.rule.id"] == "fixed"
    assert dict(first.attributes or {})["gen_ai.guardrail.result.value"] == "block"
    assert dict(first.attributes or {})["gen_ai.guardrail.risk.category"] == "bad"
    assert dict(second.attributes or {})["gen_ai.guardrail.result.value"] == "flag"
    everything = "".join(span.to_json() for span in seen.exporter.get_finished_spans())
    assert "private" not in everything
    assert "words" not in everything


def test_metrics_count_calls_rules_lookups_and_tokens() -> None:
    seen = Seen()
    ask(seen)
    with pytest.raises(Blocked):
        ask(seen, "bad")
    calls = {p.attributes["guardrail.action"]: p.value for p in seen.points("guardrail.calls")}
    assert calls == {"allow": 1, "block": 1}
    hits = [
        p.value
        for p in seen.points("guardrail.rule.results")
        if p.attributes["guardrail.rule"] == "fixed" and p.attributes["guardrail.status"] == "hit"
    ]
    assert hits == [1]
    tokens = {
        p.attributes["gen_ai.token.type"]: p.sum for p in seen.points("gen_ai.client.token.usage")
    }
    assert tokens == {"input": 10, "output": 4}
    assert seen.points("guardrail.check.duration")
    assert seen.points("guardrail.stage.duration")
    assert seen.points("gen_ai.client.operation.duration")
    assert {p.attributes["guardrail.cache.hit"] for p in seen.points("guardrail.cache.lookups")}


def test_metrics_of_the_model_tell_what_was_asked_for_from_what_answered() -> None:
    seen = Seen()
    ask(seen)
    for name in ("gen_ai.client.operation.duration", "gen_ai.client.token.usage"):
        attributes = seen.points(name)[0].attributes
        assert attributes["gen_ai.request.model"] == "m-1"
        assert attributes["gen_ai.response.model"] == "m-2"
        assert "error.type" not in attributes

    @seen.guard
    def failing(prompt: str, model: str) -> str:
        raise OSError("no line")

    with pytest.raises(OSError, match="no line"):
        failing("hello", "m-3")
    durations = seen.points("gen_ai.client.operation.duration")
    (failed,) = [p.attributes for p in durations if p.attributes["gen_ai.request.model"] == "m-3"]
    assert failed["error.type"] == "OSError"
    assert "gen_ai.response.model" not in failed


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("guardrail.stage.duration", (0.002, 0.3)),
        ("guardrail.check.duration", (0.002, 0.3)),
        ("gen_ai.client.operation.duration", (0.3, 4)),
        ("gen_ai.client.token.usage", (20, 20_000)),
    ],
)
def test_usual_values_fall_into_different_buckets(name: str, usual: tuple[float, float]) -> None:
    seen = Seen()
    ask(seen)
    bounds = seen.points(name)[0].explicit_bounds
    low, high = (bisect_left(bounds, value) for value in usual)
    assert high - low >= 3


def test_a_stream_keeps_its_usage_and_its_parent() -> None:
    seen = Seen()

    @seen.guard
    def stream(prompt: str) -> Iterator[Any]:
        with trace.get_tracer("inner", tracer_provider=seen.tracers).start_as_current_span("inner"):
            yield {"choices": [{"index": 0, "delta": {"content": "fine"}}]}
        yield {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}

    assert len(list(stream("hi"))) == 2
    attributes = dict(seen.spans["chat"].attributes or {})
    assert attributes["gen_ai.usage.input_tokens"] == 3
    inner = seen.spans["inner"]
    assert inner.parent is not None
    assert inner.parent.span_id == seen.spans["chat"].context.span_id


def test_an_error_is_marked_by_type() -> None:
    seen = Seen()

    @seen.guard
    def model(prompt: str) -> str:
        raise ConnectionError("private host")

    with pytest.raises(ConnectionError):
        model("hi")
    call = seen.spans["chat"]
    assert dict(call.attributes or {})["error.type"] == "ConnectionError"
    assert call.status.status_code is trace.StatusCode.ERROR
    assert "private" not in call.to_json()


def test_what_is_not_sampled_costs_no_spans() -> None:
    seen = Seen(sampler=ALWAYS_OFF)
    ask(seen)
    assert seen.spans == {}
    assert seen.points("guardrail.calls")


def test_verdicts_on_their_own_are_traced_too() -> None:
    seen = Seen()
    seen.guard.screen("bad")
    assert dict(seen.spans["chat"].attributes or {})["guardrail.action"] == "block"


def test_every_answer_that_was_asked_for_is_in_the_trace() -> None:
    again = rule(fixed_detector({"bad": 0.9}), when=["output"], ask_again=2)
    seen = Seen(policy_of(again, trust=Trust(mark="datamark")))
    answers = iter(["bad", "fine"])
    messages = [{"role": "user", "content": "hi"}, {"role": "tool", "content": "so it is"}]
    assert seen.guard(lambda messages: next(answers))(messages) == "fine"
    spans = seen.exporter.get_finished_spans()
    assert [span.name for span in spans].count("guardrail ask") == 2
    outputs = [span for span in spans if span.name == "guardrail output"]
    assert [(s.attributes or {})["guardrail.ask_again"] for s in outputs] == [True, False]
    attributes = seen.spans["chat"].attributes or {}
    assert attributes["guardrail.asks"] == 2
    assert attributes["guardrail.hardened"] == "datamark"
    assert attributes["guardrail.action"] == "allow"
    (point,) = seen.points("guardrail.calls")
    assert (point.value, point.attributes["guardrail.action"]) == (1, "allow")


def test_counts_go_on_between_collections() -> None:
    seen = Seen()
    for text, total in (("fine", 1), ("good", 2)):
        seen.guard.screen(text)
        (point,) = seen.points("guardrail.calls")
        assert point.value == total


def test_a_rule_that_is_switched_off_is_told_from_an_absent_one() -> None:
    off = rule(fixed_detector({"bad": 0.9}), id="off", mode=Mode.OFF)
    for policy in (policy_of(off), policy_of(off, scope=Scope(tenants=("nobody",)))):
        seen = Seen(policy)
        ask(seen, prompt="bad")
        assert (seen.spans["guardrail input"].attributes or {})["guardrail.rules.off"] == ("off",)
        (result,) = [r for r in seen.guard.screen("bad").verdict.rules if r.rule == "off"]
        assert (result.status, result.reason) == (Status.SKIPPED, "switched off")
    seen = Seen()
    ask(seen)
    assert "guardrail.rules.off" not in (seen.spans["guardrail input"].attributes or {})
