"""What a request to a model service says of the declared output, in each service's own dialect.

    completion = client.chat.completions.create(
        model="...", messages=messages, **output_request(Invoice, "openai")
    )

The same `output` given to `guard` reads the answer back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from guardrail.structure import WRAPPED, Shape, for_decoding, shape_of
from guardrail_integrations.strict import strict_schema

Service = Literal["openai", "openai-responses", "anthropic", "vllm", "ollama"]

_DESCRIPTION = "Give the answer as the arguments of this tool."


def output_request(output: Any, service: Service, *, strict: bool = True) -> dict[str, Any]:
    """Arguments that make a service answer in the form of `output`.

    openai: `response_format` of chat completions. openai-responses: `text` of the Responses API.
    Both in the strict dialect; without `strict` the schema is given as it is, as a wish.
    anthropic: a tool and the order to call it, whose arguments are the answer.
    vllm: `structured_outputs`, which the OpenAI client sends as `extra_body`; what stands in it is
    also what `StructuredOutputsParams` takes. ollama: `format`.

    `output` is a pydantic model, dataclass, TypedDict, other type, or a JSON Schema as a mapping.
    Raises SchemaError, naming keyword and place, for what the service cannot hold to.
    """
    if service not in get_args(Service):
        raise ValueError(f"there is no service {service!r}; there are: {', '.join(_REQUESTS)}")
    return _REQUESTS[service](shape_of(output), strict)


def _wrapped(shape: Shape) -> dict[str, Any]:
    """The schema of an object: services take no other at the top."""
    definitions = {"$defs": shape.schema["$defs"]} if "$defs" in shape.schema else {}
    if shape.is_object:
        return {**shape.root, **definitions}
    inner = {key: value for key, value in shape.schema.items() if key != "$defs"}
    return {
        "type": "object",
        "properties": {WRAPPED: inner},
        "required": [WRAPPED],
        "additionalProperties": False,
        **definitions,
    }


def _openai(shape: Shape, strict: bool) -> dict[str, Any]:
    schema = strict_schema(_wrapped(shape)) if strict else _wrapped(shape)
    form = {"name": shape.name, "strict": strict, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _responses(shape: Shape, strict: bool) -> dict[str, Any]:
    form = _openai(shape, strict)["response_format"]["json_schema"]
    return {"text": {"format": {"type": "json_schema", **form}}}


def _anthropic(shape: Shape, strict: bool) -> dict[str, Any]:
    tool = {"name": shape.name, "description": _DESCRIPTION, "input_schema": _wrapped(shape)}
    return {
        "tools": [tool],
        "tool_choice": {"type": "tool", "name": shape.name, "disable_parallel_tool_use": True},
    }


def _vllm(shape: Shape, strict: bool) -> dict[str, Any]:
    return {"extra_body": {"structured_outputs": {"json": _held(shape, strict)}}}


def _ollama(shape: Shape, strict: bool) -> dict[str, Any]:
    return {"format": _held(shape, strict)}


def _held(shape: Shape, strict: bool) -> dict[str, Any]:
    """For engines that decode under the schema: what they cannot hold to is refused."""
    return for_decoding(shape.schema) if strict else shape.schema


_REQUESTS: dict[str, Callable[[Shape, bool], dict[str, Any]]] = {
    "openai": _openai,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "vllm": _vllm,
    "ollama": _ollama,
}
