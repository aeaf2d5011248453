"""The JSON Schema of policy files, with what every installed check takes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from guardrail.policy.format import PolicyFile
from guardrail.registry import Registry


def policy_schema(registry: Registry | None = None) -> dict[str, Any]:
    """The JSON Schema (2020-12) of policy files, with the arguments and labels of every check."""
    registry = registry or Registry()
    schema = PolicyFile.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    names = registry.names("detector")
    schema["$defs"]["RuleEntry"]["properties"]["check"] = {
        "anyOf": [
            {"enum": names},
            *(_check_schema(name, registry.arguments("detector", name), schema) for name in names),
        ]
    }
    schema["$defs"].pop("CheckEntry", None)
    extract = schema["properties"]["extract"]
    extract.pop("additionalProperties", None)
    extract["properties"] = {
        name: {"anyOf": [_inlined(registry.arguments("extractor", name), schema), {"type": "null"}]}
        for name in registry.names("extractor")
    }
    extract["additionalProperties"] = False
    return schema


def _check_schema(name: str, model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    form = _inlined(model, schema)
    form["properties"] = {"use": {"const": name}, **form.get("properties", {})}
    form["required"] = ["use", *form.get("required", [])]
    return form


def _inlined(model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    form = model.model_json_schema()
    schema["$defs"] |= form.pop("$defs", {})
    return form
