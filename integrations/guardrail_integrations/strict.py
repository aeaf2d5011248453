"""The strict dialect of OpenAI's structured outputs: every property given, nothing beside them.

Keywords, depth and counts as documented in OpenAI's guide to structured outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardrail import SchemaError
from guardrail.structure.schema import pointer

MAX_DEPTH = 10  # objects and lists inside each other
MAX_PROPERTIES = 5_000
MAX_CHOICES = 1_000  # values of all enums together

_TAKEN = frozenset(
    """type enum const properties required additionalProperties items prefixItems anyOf $ref $defs
    description title pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
    minItems maxItems""".split()
)
_LEFT_OUT = frozenset(  # of no effect on a value, or checked when the answer is read
    """default examples example deprecated readOnly writeOnly discriminator $comment $schema $id
    contentEncoding contentMediaType contentSchema minLength maxLength uniqueItems minProperties
    maxProperties""".split()
)
_FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())

Path = tuple[str | int, ...]


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema in normal form in the strict dialect. Properties that may be left out are asked for
    with null instead; reading the answer undoes that. Raises SchemaError for what it cannot say."""
    return _Strict().form(schema, (), 0)


class _Strict:
    def __init__(self) -> None:
        self.properties = self.choices = 0

    def form(self, schema: Any, path: Path, depth: int) -> dict[str, Any]:
        if not isinstance(schema, Mapping):
            raise _no(path, "", "true and false are no schemas of the strict dialect")
        made: dict[str, Any] = {}
        for keyword, value in schema.items():
            place = (*path, keyword)
            if keyword in _LEFT_OUT or (keyword == "format" and value not in _FORMATS):
                continue
            if keyword == "oneOf":
                keyword = "anyOf"
            if keyword not in _TAKEN:
                raise _no(path, keyword, "the strict dialect does not have this keyword")
            made[keyword] = value
            if keyword == "anyOf":
                made[keyword] = [self.form(one, (*place, i), depth) for i, one in enumerate(value)]
            elif keyword == "prefixItems":
                raise _no(path, keyword, "the strict dialect has no lists of fixed forms")
            elif keyword == "$defs":
                made[keyword] = {
                    name: self.form(one, (*place, name), 0) for name, one in value.items()
                }
            elif keyword == "items":
                made[keyword] = self.form(value, place, depth + 1)
            elif keyword == "enum":
                self.choices += len(value)
        kinds = made.get("type")
        if kinds == "object" or "properties" in made:
            self._object(schema, made, path, depth)
        if depth > MAX_DEPTH:
            raise _no(path, "", f"more than {MAX_DEPTH} objects and lists inside each other")
        if self.choices > MAX_CHOICES:
            raise _no(path, "enum", f"more than {MAX_CHOICES} values in one schema")
        if "$ref" in made:
            return {"$ref": made["$ref"]}  # nothing may stand beside it
        return made

    def _object(
        self, schema: Mapping[str, Any], made: dict[str, Any], path: Path, depth: int
    ) -> None:
        if schema.get("additionalProperties") not in (None, False, True):
            raise _no(path, "additionalProperties", "the strict dialect names every key")
        properties = schema.get("properties", {})
        if not properties and schema.get("additionalProperties") is not False:
            raise _no(path, "properties", "the strict dialect has no objects of any keys")
        self.properties += len(properties)
        if self.properties > MAX_PROPERTIES:
            raise _no(path, "properties", f"more than {MAX_PROPERTIES} in one schema")
        needed = set(schema.get("required", ()))
        made["properties"] = {}
        for name, inner in properties.items():
            form = self.form(inner, (*path, "properties", name), depth + 1)
            made["properties"][name] = form if name in needed else _or_null(form)
        made["required"] = list(properties)
        made["additionalProperties"] = False


def _or_null(form: dict[str, Any]) -> dict[str, Any]:
    kinds = form.get("type")
    if kinds == "null" or (isinstance(kinds, list) and "null" in kinds):
        return form
    branches = form.get("anyOf")
    if branches is not None and set(form) <= {"anyOf", "title", "description"}:
        if {"type": "null"} in branches:
            return form
        return {**form, "anyOf": [*branches, {"type": "null"}]}
    return {"anyOf": [form, {"type": "null"}]}


def _no(path: Path, keyword: str, reason: str) -> SchemaError:
    return SchemaError(pointer(path), keyword, f"{reason}; pass strict=False to ask without it")
