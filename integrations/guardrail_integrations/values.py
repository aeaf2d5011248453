"""What a shared cache keeps, as bytes: JSON with a kind, and raw numbers for arrays.

Nothing here can make code run when it is read, and what does not fit is no value at all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from guardrail import Area, Box, Finding, Ignored, Region, Span, Text

MAX_DIMENSIONS = 4
_DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "int64")


def encode(value: Any, *, texts: bool = False) -> bytes | None:
    """A value as bytes, or None for what is not kept: findings, facts of a picture, arrays of
    numbers, what extractors left unread, and texts where `texts` allows it, as they are content."""
    if isinstance(value, tuple):
        if all(isinstance(item, Finding) for item in value):
            return _json("findings", [_from_finding(item) for item in value])
        readable = (Text, Ignored) if texts else Ignored
        if all(isinstance(item, readable) for item in value):
            return _json("texts", [_from_read(item) for item in value])
        return None
    if isinstance(value, Mapping):
        plain = all(
            isinstance(name, str) and isinstance(fact, str | int | float | None)
            for name, fact in value.items()
        )
        return _json("facts", dict(value)) if plain else None
    if getattr(value, "dtype", None) is not None and str(value.dtype) in _DTYPES:
        head = _json("array", [str(value.dtype), list(value.shape)])
        raw: bytes = value.astype(value.dtype.newbyteorder("<")).tobytes()
        return head + b"\n" + raw
    return None


def decode(data: bytes) -> Any | None:
    """The value of bytes that `encode` made, or None for any other bytes."""
    head, _, raw = data.partition(b"\n")
    try:
        made = json.loads(head)
        kind, value = made["kind"], made["value"]
        return _array(value, raw) if kind == "array" else _KINDS[kind](value)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None


def _json(kind: str, value: Any) -> bytes:
    made = json.dumps({"kind": kind, "value": value}, separators=(",", ":"), ensure_ascii=True)
    return made.encode("ascii")


def _from_finding(finding: Finding) -> list[Any]:
    where: list[Any] | None = None
    if isinstance(finding.where, Span):
        where = ["span", finding.where.part, finding.where.start, finding.where.end]
    elif isinstance(finding.where, Area):
        where = ["area", finding.where.part, finding.where.boxes, finding.where.frame]
    return [finding.detector, finding.label, finding.score, where, finding.note]


def _to_finding(row: Any) -> Finding:
    detector, label, score, where, note = row
    place: Span | Area | None = None
    if where is not None:
        kind, part, first, second = where
        if kind == "span":
            place = Span(_str(part), _int(first), _int(second))
        elif kind == "area":
            place = Area(_str(part), tuple(_box(box) for box in first), _int(second))
        else:
            raise ValueError("a place of unknown kind")
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ValueError("a score outside [0, 1]")
    return Finding(_str(detector), _str(label), score, place, _str(note))


def _from_read(text: Text | Ignored) -> list[Any]:
    if isinstance(text, Ignored):
        return [text.reason]
    regions = [[region.start, region.end, region.box, region.frame] for region in text.regions]
    return [text.text, text.name, text.role, text.source, text.origin, regions]


def _to_read(row: Any) -> Text | Ignored:
    if len(row) == 1:
        return Ignored(_str(row[0]))
    text, name, role, source, origin, regions = row
    if role not in ("system", "user", "assistant", "tool"):
        raise ValueError("a role that does not exist")
    return Text(
        _str(text),
        name=_str(name),
        role=role,
        source=_str(source),
        origin=None if origin is None else _str(origin),
        regions=tuple(
            Region(_int(start), _int(end), _box(box), _int(frame))
            for start, end, box, frame in regions
        ),
    )


def _facts(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("facts are an object")
    return value


def _array(value: Any, raw: bytes) -> Any:
    import numpy as np

    dtype, shape = value
    if dtype not in _DTYPES or len(shape) > MAX_DIMENSIONS:
        raise ValueError("an array of unknown kind")
    kind = np.dtype(dtype).newbyteorder("<")
    if any(_int(side) < 0 for side in shape) or math.prod(shape) * kind.itemsize != len(raw):
        raise ValueError("an array of another size")
    return np.frombuffer(raw, kind).reshape(shape).astype(dtype)


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "findings": lambda rows: tuple(map(_to_finding, rows)),
    "texts": lambda rows: tuple(map(_to_read, rows)),
    "facts": _facts,
}


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a whole number is expected")
    return value


def _box(value: Any) -> Box:
    x0, y0, x1, y1 = map(_int, value)
    return Box(x0, y0, x1, y1)
