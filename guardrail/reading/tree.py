"""Foreign objects as trees: dicts, lists, dataclasses and client objects under one pair of verbs.

Nothing is imported to tell what an object is: types are known by their shape, or by the name of
the module they come from.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

Path = tuple[Any, ...]

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


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy of `value` with what is at `path` exchanged; all beside the path is shared."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(value, Mapping) or is_list(value):
        changed: Any = _open_copy(value)
        changed[key] = put(value[key], rest, new)
        if hasattr(value, "_make"):
            return type(value)._make(changed)
        return tuple(changed) if isinstance(value, tuple) else changed
    inner = put(getattr(value, key), rest, new)
    if hasattr(value, "model_copy"):
        return value.model_copy(update={key: inner})
    return dataclasses.replace(value, **{key: inner})


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
