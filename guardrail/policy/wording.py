"""What is wrong in a policy file, and what would be right, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from guardrail.policy.document import Path


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the known name that a word is meant for, or at all of them."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    listed = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return f"did you mean {close[0]!r}?" if close else f"there are: {listed or 'none'}"


def place_in(data: Any, loc: Sequence[str | int]) -> Path:
    """The part of a pydantic location that is in the data: branches of unions are left out."""
    place: list[str | int] = []
    for step in loc:
        inside = isinstance(data, dict) and step in data
        listed = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if inside or listed:
            data = data[step]
            place.append(step)
    return tuple(place)


def in_words(problem: Any, model: type[BaseModel]) -> tuple[str, str]:
    """A pydantic problem in plain words, and what would be right."""
    kind, loc = problem["type"], problem["loc"]
    if kind == "extra_forbidden":
        known = _keys_at(model, loc[:-1])
        return f"unknown key {str(loc[-1])!r}", did_you_mean(str(loc[-1]), known)
    if kind == "missing":
        return f"the key {str(loc[-1])!r} is missing", ""
    if kind == "literal_error":
        expected = problem["ctx"]["expected"]
        return f"{_shown(problem['input'])} is not one of the choices", f"there are: {expected}"
    context = problem.get("ctx", {})
    said = {
        "string_type": "a text is expected",
        "int_type": "a whole number is expected",
        "float_type": "a number is expected",
        "bool_type": "true or false is expected",
        "list_type": "a list is expected",
        "dict_type": "a mapping (key: value) is expected",
        "model_type": "a mapping (key: value) is expected",
        "greater_than": f"must be more than {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "too_short": "must not be empty",
        "string_too_long": f"must have at most {context.get('max_length')} characters",
        "string_pattern_mismatch": "has characters that are not allowed here",
    }.get(kind, problem["msg"])
    return f"{said}, not {_shown(problem['input'])}", _FORMS.get(loc[-1] if loc else "", "")


_FORMS: Mapping[str | int, str] = {
    "id": "use letters, digits, dots, dashes and underscores, at most 80 of them",
    "message": "one line of at most 300 characters",
}


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that a model knows at a location."""
    for step in loc:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
