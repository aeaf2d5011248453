"""Typed objects of a document that has only begun, and so without the checks of their types.

An object of a model that is under way has every field: those still to come are None or have
their defaults. What is complete is typed as ever (a date is a date); a text under way is there
as far as it has come.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MISSING = object()
_LISTS = (list, tuple, set, frozenset)


class Plain:
    """Values of a JSON Schema: as they are."""

    def child(self, key: str | int) -> Plain:
        """The form of what stands under a key or as an item."""
        return self

    def whole(self, value: Any, held: Any) -> Any:
        """A complete value; `held` has its children already typed."""
        return value if held is None else held

    def begun(self, held: Any) -> Any:
        """An object, list or text under way; MISSING where it is nothing yet."""
        return held


PLAIN = Plain()


class Typed(Plain):
    """Values of one Python type."""

    def __init__(self, kind: Any) -> None:
        from pydantic import TypeAdapter

        self.kind = kind
        self._adapter: TypeAdapter[Any] | None
        try:
            self._adapter = TypeAdapter(kind)
        except Exception:
            self._adapter = None  # reads as plain values

    def whole(self, value: Any, held: Any) -> Any:
        """Typed as the type does it, where it can be."""
        if self._adapter is not None:
            try:
                return self._adapter.validate_python(value)
            except Exception:
                return value if held is None else self.begun(held)
        return value if held is None else held


class Texts(Typed):
    """Plain strings, which are there before they are complete."""


class Others(Typed):
    """Numbers, dates, choices: nothing before they are complete."""

    def begun(self, held: Any) -> Any:
        """See Plain."""
        return MISSING if isinstance(held, str) else held


class Lists(Typed):
    """Lists, sets and tuples; under way, all are lists."""

    def child(self, key: str | int) -> Plain:
        """See Plain."""
        inner = [one for one in typing.get_args(self.kind) if one is not Ellipsis]
        fixed = typing.get_origin(self.kind) is tuple and Ellipsis not in typing.get_args(self.kind)
        if fixed and isinstance(key, int):
            return lenient(inner[key]) if key < len(inner) else PLAIN
        return lenient(inner[0]) if inner else PLAIN


class Mappings(Typed):
    """dict[str, T] and the like."""

    def child(self, key: str | int) -> Plain:
        """See Plain."""
        inner = typing.get_args(self.kind)
        return lenient(inner[1]) if len(inner) == 2 else PLAIN


class Records(Typed):
    """Pydantic models, dataclasses and TypedDicts."""

    def __init__(self, kind: Any) -> None:
        super().__init__(kind)
        self.fields = dict(_fields(kind))

    def child(self, key: str | int) -> Plain:
        """See Plain."""
        known = self.fields.get(str(key))
        return lenient(known[1]) if known is not None else PLAIN

    def begun(self, held: Any) -> Any:
        """See Plain."""
        if not isinstance(held, dict):
            return MISSING
        known = {self.fields[k][0]: v for k, v in held.items() if k in self.fields}
        if hasattr(self.kind, "model_construct"):
            made = self.kind.model_construct()
            coming = {name: None for name, _ in self.fields.values() if name not in made.__dict__}
            made.__dict__.update({**coming, **known})
            made.__pydantic_fields_set__.update(known)
            return made
        if not dataclasses.is_dataclass(self.kind):
            return held
        blank: Any = object.__new__(self.kind)  # type: ignore[arg-type]
        for field in dataclasses.fields(self.kind):
            value = None if field.default is dataclasses.MISSING else field.default
            if field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            object.__setattr__(blank, field.name, known.get(field.name, value))
        return blank


class Unions(Typed):
    """One of several; an object under way is the one that has most of its keys."""

    def __init__(self, kind: Any) -> None:
        super().__init__(kind)
        arms = [one for one in typing.get_args(kind) if one is not type(None)]
        self.arms = [lenient(one) for one in arms]

    def child(self, key: str | int) -> Plain:
        """See Plain."""
        if isinstance(key, int):
            lists = (arm for arm in self.arms if isinstance(arm, Lists))
            return next((arm.child(key) for arm in lists), PLAIN)
        records = [arm for arm in self.arms if isinstance(arm, Records) and key in arm.fields]
        if len(records) == 1:
            return records[0].child(key)
        return PLAIN

    def begun(self, held: Any) -> Any:
        """See Plain."""
        if isinstance(held, str):
            return held if any(isinstance(arm, Texts) for arm in self.arms) else MISSING
        if isinstance(held, dict):
            records = [arm for arm in self.arms if isinstance(arm, Records)]
            if records:
                return max(records, key=lambda arm: len(arm.fields.keys() & held)).begun(held)
        return held


@lru_cache(maxsize=1024)
def _of(kind: Any) -> Plain:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _of(typing.get_args(kind)[0])
    if hasattr(kind, "__value__"):  # type aliases
        return lenient(kind.__value__)
    if kind is Any:
        return PLAIN
    if origin in (typing.Union, types.UnionType):
        return Unions(kind)
    if kind is str:
        return Texts(kind)
    if kind in _LISTS or origin in _LISTS or _is_a(origin, typing.Sequence):
        return Lists(kind)
    if kind is dict or _is_a(origin, Mapping):
        return Mappings(kind)
    if hasattr(kind, "model_fields") or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return Records(kind)
    return Others(kind)


def lenient(kind: Any) -> Plain:
    """The lenient form of a type; that of a JSON Schema mapping is its plain values."""
    if isinstance(kind, (Mapping, typing.ForwardRef, str)):
        return PLAIN
    try:
        return _of(kind)
    except TypeError:  # a type that cannot be a key
        return PLAIN


def _is_a(origin: Any, of: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, typing.get_origin(of) or of)


def _fields(kind: Any) -> typing.Iterator[tuple[str, tuple[str, Any]]]:
    """Each field under the key it has in JSON."""
    if hasattr(kind, "model_fields"):
        for name, field in kind.model_fields.items():
            alias = field.validation_alias or field.alias
            yield alias if isinstance(alias, str) else name, (name, field.annotation)
        return
    for name, hint in typing.get_type_hints(kind).items():
        yield name, (name, hint)
