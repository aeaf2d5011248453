"""Weights that are next to nothing, set to nothing.

Two thirds of the finder's last layers are numbers below 1e-38, which count for nothing in what
comes out. Processors take a hundred times as long over such (denormal) numbers as over zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

NOTHING = 1e-30  # far below what a 32-bit sum of such models can hold
_GRAPH, _INITIALISER, _TYPE, _RAW = 7, 5, 2, 9  # fields of ModelProto, GraphProto, TensorProto
_FLOAT = 1
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types of protocol buffers


def without_denormals(model: Path) -> bytes:
    """An ONNX file with all 32-bit weights under 1e-30 set to zero.

    Raises ValueError where it is no ONNX file.
    """
    import numpy as np

    data = np.fromfile(model, np.uint8)
    for kind, start, end in _fields(data, 0, len(data)):
        if kind != _GRAPH:
            continue
        for inner, first, last in _fields(data, start, end):
            if inner == _INITIALISER:
                _flush(data, first, last)
    return data.tobytes()


def _flush(data: Array, start: int, end: int) -> None:
    import numpy as np

    fields = {kind: (first, last) for kind, first, last in _fields(data, start, end)}
    if _RAW not in fields or _varint(data, fields[_TYPE][0], end)[0] != _FLOAT:
        return
    first, last = fields[_RAW]
    values = data[first:last].copy().view(np.float32)
    values[np.abs(values) < NOTHING] = 0
    data[first:last] = values.view(np.uint8)


def _fields(data: Array, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a protocol buffer: number, and where the value begins and ends."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == _BYTES:
            length, at = _varint(data, at, end)
        elif wire == _VARINT:
            length = _varint(data, at, end)[1] - at
        elif wire in (_EIGHT, _FOUR):
            length = 8 if wire == _EIGHT else 4
        else:
            raise ValueError("no ONNX file")
        if at + length > end:
            raise ValueError("no ONNX file")
        yield tag >> 3, at, at + length
        at += length


def _varint(data: Array, at: int, end: int) -> tuple[int, int]:
    """A number of the variable-length form, and where it ends."""
    value = 0
    for place in range(10):
        if at + place >= end:
            break
        byte = int(data[at + place])
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("no ONNX file")
