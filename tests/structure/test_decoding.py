"""Schemas made ready for decoding: whatever is written under them fits the original."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field

from guardrail import SchemaError
from guardrail.evaluate.schemas import SCHEMAS
from guardrail.structure import for_decoding, shape_of
from tests.structure.documents import pairs
from tests.structure.walks import written


def fits(output: Any, seed: int, **options: Any) -> None:
    try:
        text = written(output, seed, **options)
    except SchemaError as error:
        if "loses digits" in str(error):
            return
        raise
    if text is not None:
        reading = shape_of(output).read(text, mend=False)
        twice = "this key is given twice" in str(reading.problems)
        if not (twice and "additionalProperties" in str(shape_of(output).schema)):
            assert reading.label is None, (text, reading.problems)


def constant(value: Any) -> tuple[dict[str, Any], Any]:
    return {"const": value}, st.just(value)


@settings(max_examples=100, deadline=None)
@given(pairs(), st.integers(0, 10**6))
@example(constant(5.960464477539063e-08), 0)
@example(constant(999999999999999.9), 0)
def test_what_is_written_under_a_schema_fits_it(
    pair: tuple[dict[str, Any], Any], seed: int
) -> None:
    fits(pair[0], seed)


FEW_DIGITS = st.builds(lambda digits, power: digits / 10**power, st.integers(), st.integers(0, 9))


@settings(max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | FEW_DIGITS | st.integers())
@example(5.960464477539063e-08)
@example(0.1)
@example(-(2**63))
def test_a_constant_is_written_to_the_last_digit_or_refused(value: float) -> None:
    try:
        text = written({"const": value}, 0)
    except SchemaError:
        digits = Decimal(repr(value)).normalize().as_tuple().digits
        assert len(digits) > 15 or not 1e-9 <= abs(value) <= 1e15
    else:
        assert text is not None
        assert float(text) == value


@settings(max_examples=200, deadline=None)
@given(
    st.decimals(-1000, 1000, places=6),
    st.decimals(0, 2, places=6),
    st.tuples(st.booleans(), st.booleans()),
    st.none() | st.sampled_from([0.1, 0.25, 0.001, 3]),
    st.integers(0, 10**6),
)
@example(Decimal(51), Decimal("0.2"), (True, False), None, 8)
@example(Decimal(51), Decimal("0.2"), (True, True), 0.1, 0)
@example(Decimal("-52.3"), Decimal("0.3"), (False, True), None, 3)
@example(Decimal("-0.3"), Decimal("0.3"), (False, True), None, 1)
@example(Decimal("0.5"), Decimal(0), (False, False), 0.25, 0)
def test_numbers_are_written_within_their_bounds(
    low: Decimal, wide: Decimal, excluded: tuple[bool, bool], step: float | None, seed: int
) -> None:
    schema: dict[str, Any] = {
        "type": "number",
        "exclusiveMinimum" if excluded[0] else "minimum": float(low),
        "exclusiveMaximum" if excluded[1] else "maximum": float(low + wide),
    }
    if step is not None:
        schema["multipleOf"] = step
    try:
        fits(schema, seed)
    except SchemaError as error:
        assert "Unsatisfiable" in str(error)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_of_the_evaluation(name: str) -> None:
    texts = {written(SCHEMAS[name], seed) for seed in range(8)} - {None}
    assert len(texts) >= 3
    for seed in range(8):
        fits(SCHEMAS[name], seed)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Everything(BaseModel):
    day: date
    moment: datetime
    clock: time
    span: timedelta
    identity: UUID
    price: Decimal
    link: AnyUrl
    ratio: float
    count: int
    color: Color
    size: Literal["s", "m"] | None = None
    tags: dict[Annotated[str, Field(pattern="^[a-z]{1,3}$")], int] = Field({}, max_length=2)
    pair: tuple[int, bool]


@pytest.mark.parametrize("seed", range(12))
def test_types_take_what_is_written(seed: int) -> None:
    fits(Everything, seed)


@pytest.mark.parametrize(
    "name", ["email", "hostname", "ipv4", "uri", "date", "date-time", "time", "duration", "uuid"]
)
def test_formats_are_written_in_forms_that_are_valid(name: str) -> None:
    schema = {"type": "string", "format": name}
    texts = {
        written({"type": "array", "prefixItems": [schema], "minItems": 1, "maxItems": 1}, seed)
        for seed in range(30)
    }
    assert len(texts) > 10
    for text in texts - {None}:
        assert shape_of({"type": "array", "items": schema}).read(str(text)).label is None, text


class Node(BaseModel):
    name: str = Field(max_length=3)
    children: list[Node] = []
    parent: Node | None = None


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_recursion_is_bounded(levels: int) -> None:
    assert "$ref" not in str(for_decoding(shape_of(Node).schema, levels))
    deepest = 0
    for seed in range(20):
        text = written(Node, seed, levels=levels)
        if text is not None:
            fits(Node, seed, levels=levels)
            deepest = max(deepest, _depth(shape_of(Node).read(text).value))
    assert deepest <= levels + 1


def _depth(node: Node) -> int:
    inner = [*node.children, *([node.parent] if node.parent else [])]
    return 1 + max(map(_depth, inner), default=0)


def _nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


DEEP_NEED = {
    "$ref": "#/$defs/a",
    "$defs": {
        "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/a1"}}, "required": ["b"]},
        "a1": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]},
    },
}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"$ref": "https://example.com/s.json"}}}, "#/properties/a: $ref: only places in this document (#/...) can be referred to: no network"),
        ({"$ref": "other.json#/x"}, "#: $ref: only places in this document (#/...) can be referred to: no network"),
        ({"$ref": "#name"}, '#: $ref: named places are not supported: use $ref: "#/$defs/..."'),
        ({"items": {"$ref": "#/$defs/none"}}, "#/items: $ref: there is no #/$defs/none"),
        ({"$dynamicRef": "#x"}, "#: $dynamicRef: references that depend on the way here are not supported: use $ref"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "#: $schema: not supported; there are:"),
        ({"properties": {"a": {"pattern": "(?=x)y"}}}, "#/properties/a: pattern: this expression cannot be run in linear time"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "#/properties/a: pattern: this expression cannot be run in linear time"),
        ({"pattern": "(a{1,1000}){1,1000}"}, "#: pattern: this expression cannot be run in linear time"),
        ({"patternProperties": {"(": {}}}, "#: patternProperties: this expression cannot be run in linear time"),
        ({"pattern": "a" * 1001}, "#: pattern: longer than 1000 characters"),
        ({"pattern": 3}, "#: pattern: a text is expected"),
        ({"properties": {"a": {"maxLenght": 3}}}, "#/properties/a: maxLenght: not a keyword; did you mean maxLength?"),
        ({"properties": {"a": {"nullable": True}}}, '#/properties/a: nullable: this is OpenAPI: write type: ["...", "null"]'),
        ({"properties": {"a": {"minimum": "x"}}}, "#/properties/a: minimum: this is not what the keyword takes"),
        ({"type": "text"}, "#: type: this is not what the keyword takes"),
        ({"properties": {"a": 3}}, "#/properties/a: a schema is expected (an object, true or false)"),
        ({"anyOf": {}}, "#: anyOf: a list of schemas is expected"),
        ({"properties": []}, "#: properties: an object of schemas is expected"),
        ({"properties": {"a": {"$id": "x"}}}, "#/properties/a: $id: an address inside the schema is not supported"),
        (_nested(33), "items: more than 32 schemas deep"),
        ({"prefixItems": [True] * 5_001}, "more than 5000 schemas in one document"),
        ({"$ref": "#"}, "#/$defs/root: $ref: it contains itself without an end: nothing can fit it"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/a"}}, "required": ["b"]}}}, "#/$defs/a: $ref: it contains itself without an end"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_schemas_that_cannot_be_used(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        shape_of(schema)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"type": "array", "uniqueItems": True}}}, "#/properties/a: uniqueItems: items that differ cannot be held to token by token: use list instead of set"),
        ({"items": {"not": {"type": "string"}}}, "#/items: not: exclusions"),
        ({"if": {"type": "string"}, "then": {"maxLength": 3}}, "#: if: conditions"),
        ({"type": "string", "format": "ipv6"}, "#: format: ipv6 cannot be held to token by token"),
        ({"type": "string", "format": "date", "pattern": "^2"}, "#: format: beside pattern it cannot be held to"),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"contains": {"type": "string"}}}}, "#/$defs/x: contains:"),
        ({"type": "array", "minItems": 3, "maxItems": 1}, "#: it cannot be held to: Unsatisfiable schema"),
        ({"enum": [1.5e20]}, "#: enum: 1.5e+20 loses digits"),
        ({"const": 1.5e-20}, "#: const: 1.5e-20 loses digits"),
        ({"const": {"a": [5.960464477539063e-08]}}, "#: const: 5.960464477539063e-08 loses digits"),
        ({"enum": [1, 2**53 + 1]}, "#: enum: 9007199254740993 loses digits"),
        ({"const": -(2**63)}, "#: const: -9223372036854775808 loses digits"),
        ({"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 3}]}, "#: oneOf: forms that may overlap"),
        ({"pattern": r"a\b"}, "#: it cannot be held to: "),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_schemas_that_cannot_be_held_to_token_by_token(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        written(schema, 0)
    assert said in str(caught.value)


def test_what_is_required_but_not_declared_is_written() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]}
    for seed in range(5):
        fits(schema, seed)


def test_recursion_beyond_the_bound() -> None:
    schema = {
        "$ref": "#/$defs/a",
        "$defs": {
            "a": {
                "type": "object",
                "properties": {"left": {"$ref": "#/$defs/a"}, "right": {"$ref": "#/$defs/a"}},
            }
        },
    }
    with pytest.raises(SchemaError, match="too large once it is unrolled: lower the levels"):
        for_decoding(shape_of(schema).schema, 14)
    assert for_decoding(shape_of(DEEP_NEED).schema, 1)
