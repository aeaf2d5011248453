"""Schemas and documents that fit them, drawn at random."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(codec="utf-8"), max_size=12)
keys = st.sampled_from(["name", "total", "items", "ä", "a b", "kind", "note"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(-1e15, 1e15).filter(lambda number: number == 0 or abs(number) >= 1e-9),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(keys, texts), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def pairs(draw: st.DrawFn, depth: int = 3) -> tuple[dict[str, Any], st.SearchStrategy[Any]]:
    """A schema, and a strategy for documents that fit it."""
    leaf = ["string", "integer", "number", "boolean", "null", "enum", "const", "pattern"]
    kind = draw(st.sampled_from(leaf + (["object", "array", "anyOf", "ref"] * 3 if depth else [])))
    match kind:
        case "string":
            low, more = draw(st.integers(0, 3)), draw(st.integers(0, 5))
            made = st.text(st.characters(codec="utf-8"), min_size=low, max_size=low + more)
            return {"type": "string", "minLength": low, "maxLength": low + more}, made
        case "integer":
            low, more = draw(st.integers(-50, 50)), draw(st.integers(0, 500))
            schema = {"type": "integer", "minimum": low, "maximum": low + more}
            return schema, st.integers(low, low + more)
        case "number":
            low = draw(st.integers(-50, 50))
            return {"type": "number", "minimum": low}, st.floats(low, 1e6)
        case "boolean":
            return {"type": "boolean"}, st.booleans()
        case "null":
            return {"type": "null"}, st.none()
        case "enum":
            options = draw(st.lists(scalars, min_size=1, max_size=4, unique_by=repr))
            return {"enum": options}, st.sampled_from(options)
        case "const":
            value = draw(scalars)
            return {"const": value}, st.just(value)
        case "pattern":
            return {"type": "string", "pattern": "^[a-c]{2,4}$"}, st.text(
                "abc", min_size=2, max_size=4
            )
        case "array":
            inner, made = draw(pairs(depth=depth - 1))
            most = draw(st.integers(1, 4))
            return {"type": "array", "items": inner, "maxItems": most}, st.lists(
                made, max_size=most
            )
        case "anyOf":
            both = draw(st.lists(pairs(depth=depth - 1), min_size=2, max_size=3))
            return {"anyOf": [one for one, _ in both]}, st.one_of([made for _, made in both])
        case "ref":
            inner, made = draw(pairs(depth=depth - 1))
            if "$defs" in inner or "$ref" in str(inner):
                return inner, made
            schema = {
                "type": "array",
                "prefixItems": [{"$ref": "#/$defs/inner"}, {"$ref": "#/$defs/inner"}],
                "$defs": {"inner": inner},
            }
            return (schema, st.lists(made, max_size=2)) if depth == 3 else (inner, made)
    names = draw(st.lists(keys, min_size=1, max_size=4, unique=True))
    fields = {name: draw(pairs(depth=depth - 1)) for name in names}
    needed = draw(st.lists(st.sampled_from(names), unique=True))
    schema = {
        "type": "object",
        "properties": {name: inner for name, (inner, _) in fields.items()},
        "required": needed,
        "additionalProperties": draw(st.booleans()),
    }
    made = st.fixed_dictionaries(
        {name: fields[name][1] for name in needed},
        optional={name: fields[name][1] for name in names if name not in needed},
    )
    return schema, made


@st.composite
def fitting(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """A schema and one document that fits it."""
    schema, made = draw(pairs())
    return schema, draw(made)


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """A text in chunks."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    bounds = [0, *places, len(text)]
    return [text[a:b] for a, b in pairwise(bounds)]
