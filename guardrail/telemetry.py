"""OpenTelemetry spans and metrics of a guarded call, written from its record.

Names follow the GenAI semantic conventions (development status, 2026) and the draft for
guardrails beside them; all of them stand in this file. Nothing here holds content: pictures
appear by their sha256, texts by length. Without an OpenTelemetry API in the process nothing is
done at all.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from guardrail.detector import Stage
from guardrail.policy.model import SWITCHED_OFF
from guardrail.verdict import Status

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from guardrail.content import Call
    from guardrail.rates import Rate
    from guardrail.record import CheckRun, Record, StageRecord
    from guardrail.verdict import RuleResult

SCOPE = "guardrail"
OPERATION = "chat"

_REQUEST = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "max_new_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "stream": "gen_ai.request.stream",
}
# Bounds of histograms, in seconds, scores and tokens; those of time and tokens as the conventions
# advise for a model's. The bounds that OpenTelemetry would take begin at five.
_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
_SCORES = tuple(tenth / 10 for tenth in range(1, 10))
_TOKENS = tuple(4**power for power in range(14))
_USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
REQUEST_PARAMETERS = frozenset(_REQUEST)


class Telemetry:
    """Where spans and metrics go: the given providers, or the process-wide ones."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._tracer_provider, self._meter_provider = tracer_provider, meter_provider

    @cached_property
    def _spans(self) -> _Spans:
        return _Spans(self._tracer_provider)

    def start(self, call: Call, parent: Any | None = None) -> Span | None:
        """Open the span of a call, or None where nobody listens. `parent` is the OpenTelemetry
        context that it belongs to, where that is not the current one."""
        return self._spans.start(call, parent) if self.listens else None

    @property
    def listens(self) -> bool:
        """Whether there may be anybody who wants spans."""
        return self._tracer_provider is not None or "opentelemetry.trace" in sys.modules

    def current(self, span: Span | None) -> AbstractContextManager[object]:
        """Make the span the parent of what the model call itself traces."""
        if span is None:
            return nullcontext()
        return _current(span)

    def takes(self, span: Span | None) -> bool:
        """Whether there may be anybody who wants to know of the record with this span."""
        return span is not None or self._measures

    @property
    def _measures(self) -> bool:
        return self._meter_provider is not None or "opentelemetry.metrics" in sys.modules

    def finish(self, span: Span | None, record: Record, rates: Sequence[Rate] = ()) -> None:
        """Write the stages and checks of the record below its span and end it."""
        if span is not None:
            if span.is_recording():
                self._spans.write(span, record, rates)
            span.end(record.ended_ns)
        if self._measures:
            _instruments(self._meter_provider).measure(record, rates)


class _Spans:
    """Writes spans, where there is an OpenTelemetry API."""

    def __init__(self, provider: TracerProvider | None) -> None:
        from opentelemetry.trace import SpanKind, StatusCode, get_tracer, set_span_in_context
        from opentelemetry.trace import Status as SpanStatus

        self._start = get_tracer(SCOPE, tracer_provider=provider).start_span
        self._client, self._failed = SpanKind.CLIENT, SpanStatus(StatusCode.ERROR)
        self._below = set_span_in_context

    def start(self, call: Call, parent: Any | None) -> Span:
        """Open the span of a call."""
        model = call.context.model
        attributes: dict[str, Any] = {"gen_ai.operation.name": OPERATION}
        if model:
            attributes["gen_ai.request.model"] = model
        if call.context.session:
            attributes["gen_ai.conversation.id"] = call.context.session
        for name, value in call.parameters.items():
            if name in _REQUEST:
                attributes[_REQUEST[name]] = value
        name = f"{OPERATION} {model}" if model else OPERATION
        return self._start(name, context=parent, kind=self._client, attributes=attributes)

    def write(self, span: Span, record: Record, rates: Sequence[Rate]) -> None:
        """Add what the record says to the span of its call, and the spans below it."""
        span.set_attributes(_call_attributes(record))
        if record.error:
            span.set_status(self._failed)
        parent = self._below(span)
        for began, ended in record.asks if len(record.asks) > 1 else ():
            self._start("guardrail ask", context=parent, start_time=began).end(ended)
        for stage in record.stages:
            self._stage(stage, parent, record)
        _evaluations(span, record)
        for rate in rates:
            if rate.alert:
                span.add_event("guardrail.alert", {**_policy(record), **_rate(rate)})

    def _stage(self, stage: StageRecord, parent: Any, record: Record) -> None:
        start = self._start
        span = start(
            f"guardrail {stage.stage}",
            context=parent,
            start_time=stage.started_ns,
            attributes=_stage_attributes(stage),
        )
        for result in stage.verdict.rules:
            if result.status not in (Status.PASSED, Status.SKIPPED):
                about = {**_policy(record), **_result_attributes(result)}
                span.add_event("gen_ai.guardrail.result", about, stage.ended_ns)
        below = self._below(span)
        for run in stage.checks:
            start(
                f"apply_guardrail {run.name}",
                context=below,
                start_time=run.started_ns,
                attributes=_check_attributes(run),
            ).end(run.ended_ns)
        span.end(stage.ended_ns)


@contextmanager
def _current(span: Span) -> Iterator[None]:
    from opentelemetry.trace import use_span

    with use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
        yield


def _policy(record: Record) -> dict[str, Any]:
    return {
        "gen_ai.guardrail.policy.id": record.policy_id,
        "gen_ai.guardrail.policy.version": record.policy_version,
    }


def _evaluations(span: Span, record: Record) -> None:
    """The scores of the checks that hold an answer against its call, one event for each label."""
    answer = {"gen_ai.response.id": record.response_id} if record.response_id else {}
    for stage in record.stages:
        for run in stage.checks if stage.stage is Stage.OUTPUT else ():
            if run.kind != "detector" or run.part != "*":
                continue
            if run.reason:
                failed = {"gen_ai.evaluation.name": run.name, "error.type": str(run.status)}
                span.add_event("gen_ai.evaluation.result", {**answer, **failed}, run.ended_ns)
            for label, score in run.best:
                value: dict[str, Any] = {
                    "gen_ai.evaluation.name": f"{run.name}.{label}",
                    "gen_ai.evaluation.score.value": score,
                }
                span.add_event("gen_ai.evaluation.result", {**answer, **value}, run.ended_ns)


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "gen_ai.guardrail.policy.rule.id": rate.rule,
        "guardrail.rate": rate.share,
        "guardrail.rate.over": rate.over,
        "guardrail.rate.results": rate.count,
    }


def _result_attributes(result: RuleResult) -> dict[str, Any]:
    return {
        "gen_ai.guardrail.policy.rule.id": result.rule,
        "gen_ai.guardrail.result.type": str(result.status),
        "gen_ai.guardrail.result.value": str(result.action),
        "gen_ai.guardrail.result.reason": result.reason,
        "guardrail.result.would": str(result.would),
        **_scored(result.label, result.score),
    }


def _scored(label: str | None, score: float | None) -> dict[str, Any]:
    if label is None or score is None:
        return {}
    return {"gen_ai.guardrail.risk.category": label, "gen_ai.guardrail.risk.score": score}


def _call_attributes(record: Record) -> dict[str, Any]:
    attributes: dict[str, Any] = {"guardrail.record.id": record.id, **_policy(record)}
    usage = record.usage
    for name, key in _USAGE.items():
        count = getattr(usage, name)
        if count is not None:
            attributes[key] = count
    if record.finish_reason:
        attributes["gen_ai.response.finish_reasons"] = [record.finish_reason]
    if record.response_model:
        attributes["gen_ai.response.model"] = record.response_model
    if record.response_id:
        attributes["gen_ai.response.id"] = record.response_id
    if record.error:
        attributes["error.type"] = record.error
    images = [
        part.digest for stage in record.stages for part in stage.parts if part.kind == "image"
    ]
    if images:
        attributes["guardrail.image.sha256"] = list(dict.fromkeys(images))
    if record.stages:
        attributes["guardrail.action"] = str(record.action)
    if record.hardened is not None and record.hardened.applied:
        attributes["guardrail.hardened"] = record.hardened.mark
    if len(record.asks) > 1:
        attributes["guardrail.asks"] = len(record.asks)
    context = record.context
    if context.route:
        attributes["guardrail.route"] = context.route
    if context.tenant:
        attributes["guardrail.tenant"] = context.tenant
    if context.user:
        attributes["guardrail.user"] = context.user
    return attributes


def _stage_attributes(stage: StageRecord) -> dict[str, Any]:
    kinds = [part.kind for part in stage.parts]
    off = [result.rule for result in stage.verdict.rules if result.reason == SWITCHED_OFF]
    return {
        **({"guardrail.rules.off": off} if off else {}),
        "gen_ai.guardrail.source": str(stage.stage),
        "gen_ai.guardrail.result.value": str(stage.verdict.action),
        "guardrail.parts.text": kinds.count("text"),
        "guardrail.parts.image": kinds.count("image"),
        "guardrail.edits": len(stage.verdict.edits),
        "guardrail.ask_again": stage.verdict.ask_again,
    }


def _check_attributes(run: CheckRun) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "openinference.span.kind": "GUARDRAIL",
        "guardrail.check.kind": run.kind,
        "guardrail.check.version": run.version,
        "guardrail.check.part": run.part,
        "guardrail.check.status": str(run.status),
        "guardrail.cache.hit": run.cached,
    }
    if run.model:
        attributes["guardrail.check.model"] = run.model
    if run.reason:
        attributes["guardrail.check.reason"] = run.reason
    if run.best:
        label, score = max(run.best, key=lambda scored: scored[1])
        attributes |= _scored(label, score)
    return attributes


@lru_cache(maxsize=8)
def _instruments(provider: MeterProvider | None) -> _Instruments:
    return _Instruments(provider)


class _Tally:
    """A counter by attributes that is only read when metrics are collected: counting up costs a
    fraction of what an instrument of OpenTelemetry takes."""

    def __init__(
        self, meter: Meter, name: str, unit: str, description: str, keys: Sequence[str]
    ) -> None:
        self._keys = [f"guardrail.{key}" for key in keys]
        self._counts: dict[tuple[str | bool, ...], int] = {}
        self._lock = threading.Lock()
        meter.create_observable_counter(name, [self._observe], unit, description)

    def add(self, *values: str | bool) -> None:
        with self._lock:
            self._counts[values] = self._counts.get(values, 0) + 1

    def _observe(self, _: object) -> Iterator[Observation]:
        from opentelemetry.metrics import Observation

        with self._lock:
            counts = list(self._counts.items())
        for values, count in counts:
            yield Observation(count, dict(zip(self._keys, values, strict=True)))


class _Instruments:
    def __init__(self, provider: MeterProvider | None) -> None:
        from opentelemetry.metrics import get_meter

        meter = get_meter(SCOPE, meter_provider=provider)
        self.calls = _Tally(
            meter, "guardrail.calls", "{call}", "Guarded calls by action", ("policy.id", "action")
        )
        self.rules = _Tally(
            meter,
            "guardrail.rule.results",
            "{result}",
            "Results of rules by status and action",
            ("policy.id", "stage", "rule", "status", "action", "would"),
        )
        self.rates = meter.create_gauge(
            "guardrail.rule.rate", "1", "Share of hits among the last results of a watched rule"
        )
        self.alerts = meter.create_counter(
            "guardrail.alerts", "{alert}", "Times that a rule's rate of hits went over its bound"
        )
        self.scores = meter.create_histogram(
            "guardrail.evaluation.score",
            "1",
            "Scores of checks that hold an answer to its call",
            explicit_bucket_boundaries_advisory=_SCORES,
        )
        self.lookups = _Tally(
            meter,
            "guardrail.cache.lookups",
            "{lookup}",
            "Checks by whether the cache answered",
            ("check", "cache.hit"),
        )
        self.stage_time = meter.create_histogram(
            "guardrail.stage.duration",
            "s",
            "Time a stage of screening took",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.check_time = meter.create_histogram(
            "guardrail.check.duration",
            "s",
            "Time a check took that was not cached",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens that the model reports",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.model_time = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Time the model took",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def measure(self, record: Record, rates: Sequence[Rate] = ()) -> None:
        policy = {"guardrail.policy.id": record.policy_id}
        for rate in rates:
            rule = policy | {"guardrail.rule": rate.rule}
            self.rates.set(rate.share, rule)
            self.alerts.add(int(rate.alert), rule)
        self.calls.add(record.policy_id, str(record.action))
        for stage in record.stages:
            where = policy | {"guardrail.stage": str(stage.stage)}
            self.stage_time.record((stage.ended_ns - stage.started_ns) / 1e9, where)
            for result in stage.verdict.rules:
                self.rules.add(
                    record.policy_id,
                    str(stage.stage),
                    result.rule,
                    str(result.status),
                    str(result.action),
                    str(result.would),
                )
            for run in stage.checks:
                check = {"guardrail.check": run.name}
                self.lookups.add(run.name, run.cached)
                if run.part == "*" and stage.stage is Stage.OUTPUT:
                    for label, score in run.best:
                        self.scores.record(score, check | {"guardrail.label": label})
                if not run.cached:
                    self.check_time.record(run.ms / 1000, check)
        self._model(record)

    def _model(self, record: Record) -> None:
        if record.model_ns is None:
            return
        about = {"gen_ai.operation.name": OPERATION}
        if record.context.model:
            about["gen_ai.request.model"] = record.context.model
        if record.response_model:
            about["gen_ai.response.model"] = record.response_model
        failed = {"error.type": record.error} if record.error else {}
        began, ended = record.model_ns
        self.model_time.record((ended - began) / 1e9, about | failed)
        counts = {"input": record.usage.input_tokens, "output": record.usage.output_tokens}
        for kind, count in counts.items():
            if count is not None:
                self.tokens.record(count, about | {"gen_ai.token.type": kind})
