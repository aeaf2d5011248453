"""Foreign objects as trees: dicts, lists, dataclasses and client objects under one pair of verbs.

Nothing is imported to tell what an object is: types are known by their shape, or by the name of
the module they come from.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from functools import cached_property
from typing import Any

from guardrail.content import says
from guardrail.errors import ContentError

Path = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Key:
    """The last step of a path that leads to a dict's key rather than to what stands under it."""

    key: Any


def first_values(path: Path) -> tuple[bool, int]:
    """The order in which paths are put: a key changes after all that stands below it."""
    is_key = isinstance(path[-1], Key) if path else False
    return is_key, -len(path) if is_key else 0


_LABEL = re.compile(r"[^\s@]{0,200}")

TOO_DEEP = "nested too deeply, or inside itself"


def field(value: Any, key: str) -> Any:
    """A dict's item or an object's attribute, None where there is none."""
    if type(value) is dict:
        return value.get(key)
    if value is None:
        return None
    if isinstance(value, Mapping):
        return value.get(key)
    return getattr(value, key, None) if is_record(value) else None


def is_record(value: Any) -> bool:
    """Whether an object is plain data with named fields: a client's model, a dataclass."""
    if isinstance(value, type):
        return False
    return hasattr(value, "model_fields_set") or dataclasses.is_dataclass(value)


def is_list(value: Any) -> bool:
    """Whether a value is a list of items rather than text or bytes."""
    return type(value) in (list, tuple) or (
        isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))
    )


def items(value: Any) -> Iterator[tuple[Any, Any]]:
    """The fields of a dict or record with their keys, which may be anything in a dict."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif dataclasses.is_dataclass(value):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    else:
        yield from ((key, item) for key, item in iter(value))


def is_label(value: Any) -> bool:
    """Whether a value is no more than a label: one word, or a dict of such."""
    if isinstance(value, Mapping):
        return all(map(is_label, value.values()))
    return isinstance(value, str) and _LABEL.fullmatch(value) is not None


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy of `value` with what is at `path` exchanged; all beside the path is shared.

    Raises ContentError for a key that cannot be changed: one of no dict, or no string.
    """
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(key, Key):
        return _renamed(value, key.key, new)
    if isinstance(value, Mapping) or is_list(value):
        changed: Any = _open_copy(value)
        changed[key] = put(value[key], rest, new)
        if hasattr(value, "_make"):
            return type(value)._make(changed)
        return tuple(changed) if isinstance(value, tuple) else changed
    inner = put(getattr(value, key), rest, new)
    if hasattr(value, "model_copy"):
        return _forgetful(value.model_copy(update={key: inner}))
    try:
        return dataclasses.replace(value, **{key: inner})
    except (TypeError, ValueError):  # a field that is not given, or one that is not kept
        changed = copy.copy(value)
        object.__setattr__(changed, key, inner)
        return _forgetful(changed)


def _forgetful(record: Any) -> Any:
    """A copied record without the properties that were worked out of what has changed."""
    for name in [*getattr(record, "__dict__", ())]:
        if isinstance(getattr(type(record), name, None), cached_property):
            del record.__dict__[name]
    return record


def _renamed(value: Any, key: Any, new: str) -> Any:
    """A copy of a dict with a key exchanged, in its place and unlike all others."""
    if not (isinstance(value, Mapping) and isinstance(key, str)):
        said = "a rule would change a key, which only a dict's string can be"
        raise ContentError("arguments", "unchangeable", said)
    free, count = new, 2
    while free in value and free != key:
        free, count = f"{new} {count}", count + 1
    pairs = [(free if one == key else one, item) for one, item in value.items()]
    changed = _open_copy(value)
    changed.clear()
    changed.update(pairs)
    return changed


def keys_said(value: Any) -> Iterator[tuple[Key, str]]:
    """The keys of a dict or record that may say something, and what they say."""
    for key, _ in items(value):
        said = key if isinstance(key, str) else " ".join(_strings(key))
        if said and says(said):
            yield Key(key), said


def _strings(key: Any) -> Iterator[str]:
    """The strings in a key that is none, such as a tuple."""
    if isinstance(key, bytes):
        yield key.decode("utf-8", "replace")
    elif isinstance(key, str):
        yield key
    elif isinstance(key, (tuple, frozenset)):
        for one in key:
            yield from _strings(one)


def _open_copy(value: Any) -> Any:
    """A copy whose items can be set, of the same type where that can be."""
    if isinstance(value, (MutableMapping, MutableSequence)):
        return copy.copy(value)
    return dict(value) if isinstance(value, Mapping) else list(value)


def at(value: Any, path: Path) -> Any:
    """What is at `path`."""
    for key in path:
        value = value[key] if isinstance(value, Mapping) or is_list(value) else getattr(value, key)
    return value


def comes_from(value: Any, package: str) -> bool:
    """Whether a type of `value`'s line is defined in `package`, which need not be importable."""
    return any(
        kind.__module__ == package or kind.__module__.startswith(f"{package}.")
        for kind in type(value).__mro__
    )
