"""The OpenTelemetry spans of a call.

It prints:

    apply_guardrail injection prompt
    apply_guardrail secrets prompt
    apply_guardrail pii prompt
    guardrail input redact
    apply_guardrail secrets output
    apply_guardrail pii output
    apply_guardrail system_prompt *
    apply_guardrail exfiltration *
    apply_guardrail obeyed *
    guardrail output allow
    chat local-vlm redact
"""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from guardrail import Context, Guard

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))

guard = Guard("default", tracer_provider=provider)


@guard(context=Context(model="local-vlm", route="support"))
def ask(prompt: str) -> str:
    """Stands where your model does."""
    return "Hello to you."


ask("Hello, my card is 4111 1111 1111 1111")
for span in spans.get_finished_spans():
    told = {**(span.attributes or {})}
    wanted = ("guardrail.action", "guardrail.check.part", "gen_ai.guardrail.result.value")
    print(span.name, *(told[key] for key in wanted if key in told))
