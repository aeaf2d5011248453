"""Traces across the proxy: W3C Trace Context in and out, and an exporter where one is asked for.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from guardrail import MissingExtra
from guardrail_integrations.proxy.http.headers import without
from guardrail_integrations.proxy.interfaces import Headers

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

FLUSH_S = 5.0  # how long the process waits in the end for a collector to take what is left

_PARENT = re.compile(rb"[0-9a-e][0-9a-f]-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


def parent_of(index: Mapping[bytes, bytes]) -> Any | None:
    """The context that a request's traceparent and tracestate name, or None."""
    found = _PARENT.fullmatch(index.get(b"traceparent", b""))
    if found is None:
        return None
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        TraceState,
        set_span_in_context,
    )

    trace, span, flags = (int(part, 16) for part in found.groups())
    if not trace or not span:
        return None
    state = TraceState.from_header([index.get(b"tracestate", b"").decode("latin-1")])
    context = SpanContext(trace, span, True, TraceFlags(flags & 1), state)
    return set_span_in_context(NonRecordingSpan(context))


def hand_on(headers: Headers, span: Span | None) -> Headers:
    """The headers with our span as the parent of what the upstream does. Without a tracer they
    stay as they came."""
    context = span.get_span_context() if span is not None else None
    if context is None or not context.is_valid:
        return headers
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"
    return [*without(headers, b"traceparent"), (b"traceparent", parent.encode())]


def export_traces() -> bool:
    """Send traces where OTEL_EXPORTER_OTLP_ENDPOINT says, sampled as OTEL_TRACES_SAMPLER says;
    whether there is such an address. Spans wait in a bounded queue (OTEL_BSP_MAX_QUEUE_SIZE) for a
    thread of the exporter. Raises MissingExtra without the exporter."""
    if not any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_")):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise MissingExtra("opentelemetry-exporter-otlp-proto-http", "otlp") from error
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import set_tracer_provider

    provider = TracerProvider(shutdown_on_exit=False)
    atexit.register(_flush, provider)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_tracer_provider(provider)
    return True


def _flush(provider: TracerProvider) -> None:
    """Send what is left; a collector that hangs does not hold up the end of the process."""
    sending = threading.Thread(target=provider.shutdown, daemon=True)
    sending.start()
    sending.join(FLUSH_S)
