"""Why a document does not fit its schema: the place and the reason, without anything it holds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError
    from pydantic import ValidationError as TypeMismatch

MAX_PROBLEMS = 10
_MAX_CHOICES = 20

Path = tuple[str | int, ...]

KINDS = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where ("$.items[2].price") and why. Names only what is declared:
    a key that the schema does not have is shown as `*`."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def shown(path: Sequence[str | int], names: Collection[str]) -> str:
    """A place in a document, with `*` for keys that are not among the declared `names`."""
    steps = []
    for step in path:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif step not in names:
            steps.append(".*")
        else:
            steps.append(f".{step}" if step.isidentifier() else f"[{json.dumps(step)}]")
    return "$" + "".join(steps)


def expected(kinds: Iterable[str]) -> str:
    """The kinds of values in words."""
    words = [KINDS.get(kind, kind) for kind in dict.fromkeys(kinds)]
    return f"{' or '.join(words) or 'nothing'} is expected"


def of_schema(errors: Iterable[ValidationError], names: Collection[str]) -> tuple[Problem, ...]:
    """The problems behind the errors of a validator, at most MAX_PROBLEMS."""
    found: dict[Problem, None] = {}
    for error in errors:
        for one in _leaves(error):
            found[Problem(shown(one.instance_path, names), _words(one, names))] = None
        if len(found) >= MAX_PROBLEMS:
            break
    return tuple(found)[:MAX_PROBLEMS]


def of_type(error: TypeMismatch, names: Collection[str]) -> tuple[Problem, ...]:
    """The problems that a type's own reading found. What a validator of the user's says is left
    out, as it may repeat the value."""
    found: dict[Problem, None] = {}
    for one in error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]:
        kind = one["type"]
        own = kind in ("value_error", "assertion_error") or "error" in one.get("ctx", {})
        reason = f"the type's own check refuses it ({kind})" if own else one["msg"]
        if kind in _REPEATING or (own is False and not _built_in(kind)):
            reason = f"the type refuses it ({kind})"
        path = [step for step in one["loc"] if isinstance(step, int) or step in names]
        found[Problem(shown(path, names), reason)] = None
    return tuple(found)


# Kinds whose message repeats a part of the value.
_REPEATING = frozenset(
    """int_parsing_size json_invalid date_from_datetime_parsing datetime_parsing date_parsing
    time_parsing time_delta_parsing url_parsing url_syntax_violation uuid_parsing
    union_tag_invalid""".split()
)


def _built_in(kind: str) -> bool:
    from typing import get_args

    from pydantic_core.core_schema import ErrorType

    return kind in get_args(ErrorType)


def _leaves(error: ValidationError) -> list[ValidationError]:
    """The errors of the form that the value comes nearest to, where there are several."""
    kind: Any = error.kind
    if kind.name not in ("anyOf", "oneOf") or not getattr(kind, "context", None):
        return [error]
    here = len(error.instance_path)
    ranked = sorted((list(branch) for branch in kind.context), key=lambda b: _distance(b, here))
    best = ranked[0] if ranked else []
    if not best or all(len(one.instance_path) == here for one in best if one.kind.name == "type"):
        deep = [one for one in best if len(one.instance_path) > here or one.kind.name != "type"]
        if not deep:
            return [error]
    return [leaf for one in best for leaf in _leaves(one)]


def _distance(branch: Sequence[ValidationError], here: int) -> tuple[int, int]:
    """How far a value is from a form: wrong in kind, in its tag, or only inside."""
    wrong_kind = any(e.kind.name == "type" and len(e.instance_path) == here for e in branch)
    wrong_tag = any(
        e.kind.name in ("const", "enum") and len(e.instance_path) == here + 1 for e in branch
    )
    return (2 * wrong_kind + wrong_tag, len(branch))


def _words(error: ValidationError, names: Collection[str]) -> str:
    kind: Any = error.kind
    said = kind.as_dict()
    limit = said.get("limit")
    match kind.name:
        case "type":
            return expected(said["types"])
        case "required":
            return f"{json.dumps(said['property'], ensure_ascii=False)} is missing"
        case "enum":
            return _choices(said["options"])
        case "const":
            return f"{json.dumps(said['expected_value'], ensure_ascii=False)} is expected"
        case "anyOf" | "oneOf":
            if getattr(kind, "context", None) and kind.name == "anyOf":
                kinds = [
                    name
                    for branch in kind.context
                    for one in branch
                    if one.kind.name == "type"
                    for name in one.kind.as_dict()["types"]
                ]
                if kinds:
                    return expected(kinds)
            return "it fits none, or more than one, of the forms that are allowed"
        case "additionalProperties" | "unevaluatedProperties" | "false":
            unexpected = [key for key in said.get("unexpected", ()) if key in names]
            named = f": {', '.join(map(json.dumps, unexpected))}" if unexpected else ""
            return f"there is a key too many{named}"
    simple = {
        "minimum": f"must be at least {limit}",
        "maximum": f"must be at most {limit}",
        "exclusiveMinimum": f"must be more than {limit}",
        "exclusiveMaximum": f"must be less than {limit}",
        "multipleOf": f"must be a multiple of {said.get('multiple_of')}",
        "minLength": f"must have at least {limit} characters",
        "maxLength": f"must have at most {limit} characters",
        "minItems": f"must have at least {limit} items",
        "maxItems": f"must have at most {limit} items",
        "minProperties": f"must have at least {limit} keys",
        "maxProperties": f"must have at most {limit} keys",
        "uniqueItems": "no item may come twice",
        "pattern": f"must match {said.get('pattern')}",
        "format": f"must be a valid {said.get('format')}",
        "propertyNames": "a key is not as keys must be",
        "contains": "an item that must be there is missing",
        "not": "this very value is not allowed",
    }
    return simple.get(kind.name, f"breaks the rule {kind.name}")


def _choices(options: Sequence[Any]) -> str:
    listed = [json.dumps(option, ensure_ascii=False) for option in options[:_MAX_CHOICES]]
    more = ", ..." if len(options) > _MAX_CHOICES else ""
    return f"one of {', '.join(listed)}{more} is expected"
