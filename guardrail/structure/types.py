"""The JSON Schema of a Python type, and the reader of its values."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from guardrail.errors import SchemaError

if TYPE_CHECKING:
    from pydantic import TypeAdapter


_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"


def adapter_of(output: Any) -> TypeAdapter[Any]:
    """What reads values of a pydantic model, dataclass, TypedDict or any type pydantic knows.

    Raises SchemaError for types without a JSON form.
    """
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticUndefinedAnnotation

    try:
        adapter = TypeAdapter(_modern(output))
    except (PydanticUserError, PydanticUndefinedAnnotation, TypeError) as error:
        said = str(error).partition("\n")[0]
        raise SchemaError("#", "", f"{_name(output)} cannot be read from JSON: {said}") from None
    _no_backtracking(adapter)
    return adapter


def schema_of(adapter: TypeAdapter[Any], output: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the values an adapter takes."""
    from pydantic import PydanticUserError
    from pydantic.json_schema import GenerateJsonSchema

    class Exact(GenerateJsonSchema):
        """Says of texts that stand for decimals what pydantic takes."""

        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            form = super().decimal_schema(schema)
            for branch in form.get("anyOf", [form]):
                if branch.get("type") == "string":
                    branch.setdefault("pattern", _DECIMAL)
            return form

    try:
        return adapter.json_schema(schema_generator=Exact)
    except PydanticUserError as error:
        said = str(error).partition("\n")[0]
        raise SchemaError("#", "", f"{_name(output)} has no JSON Schema: {said}") from None


def name_of(output: Any) -> str:
    """A name for requests: letters, digits, `_` and `-`, at most 64."""
    name = output.get("title") if isinstance(output, Mapping) else _name(output)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(name or "answer")).strip("_")[:64] or "answer"


def _name(output: Any) -> str:
    if isinstance(output, type) and not typing.get_args(output):
        return output.__name__
    return re.sub(r"\b\w+\.", "", str(output))


def _modern(output: Any) -> Any:
    """TypedDicts of `typing` as those of `typing_extensions`: pydantic asks for it before 3.12."""
    import typing_extensions

    if typing.is_typeddict(output) and type(output).__module__ == "typing":
        hints = typing_extensions.get_type_hints(output, include_extras=True)
        optional = typing_extensions.NotRequired
        fields = {
            key: _modern(hint) if key in output.__required_keys__ else optional[_modern(hint)]
            for key, hint in hints.items()
        }
        return typing_extensions.TypedDict(output.__name__, fields)  # type: ignore[operator]
    arguments = typing.get_args(output)
    changed = tuple(map(_modern, arguments))
    if changed == arguments:
        return output
    if isinstance(output, types.UnionType):
        return typing.Union[changed]  # noqa: UP007
    origin: Any = typing.get_origin(output)
    return output.copy_with(changed) if hasattr(output, "copy_with") else origin[changed]


def _no_backtracking(adapter: TypeAdapter[Any]) -> None:
    """Refuse fields whose patterns would run on Python's engine, which can take forever."""
    for schema in _dicts(adapter.core_schema):
        config = schema.get("config")
        if isinstance(config, Mapping) and config.get("regex_engine") == "python-re":
            raise SchemaError("#", "pattern", "regex_engine='python-re' can take forever")
        if isinstance(schema.get("pattern"), re.Pattern):
            raise SchemaError("#", "pattern", "give it as a string: compiled ones can take forever")


def _dicts(value: Any) -> Iterator[Mapping[str, Any]]:
    waiting, seen = [value], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, (list, tuple)):
            waiting += one
