"""A first look at a picture, after which most pictures without text need no second one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrail_detectors.ocr.engines import Engine
from guardrail_detectors.ocr.reading import shrunk_to

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SIDE = 640  # the longer side of the first look, in pixels
SURE = 0.4  # of a line; less than for reading, since a trace is enough
WINDOW = 32  # radius in pixels of what contrast is measured against
LEAST = 0.55  # grey values of deviation below which there is nothing, only rounding
FINE = 14  # grey values that the first look loses, on average, where small print stands
PRINT = (48, 12)  # width and height in pixels of a piece of small print


@dataclass(frozen=True)
class Trace:
    """What the first look shows.

    lines: the corners (4, 2) of what may be lines, plain or hidden, in pixels of the picture.
    fine: whether there is detail that the first look cannot see, such as small print.
    """

    lines: tuple[Array, ...]
    fine: bool

    def __bool__(self) -> bool:
        return bool(self.lines) or self.fine


def trace(pixels: Array, engine: Engine) -> Trace:
    """Look once at a BGR picture, with contrast evened out in two of the three channels."""
    import cv2
    import numpy as np

    small, scale = shrunk_to(pixels, SIDE)
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    less = shrunk_to(grey.astype(np.float32), SIDE)[0]  # in bytes, faint ink would be rounded away
    even = evened(less)
    found = engine.find(np.dstack([even, small[..., 1], even]), SURE)
    lines = sorted((corners / scale for corners in found), key=_extent, reverse=True)
    return Trace(tuple(lines), scale < 1 and _lost(grey, less) >= FINE)


def evened(grey: Array) -> Array:
    """Each pixel's deviation from its surroundings, in units of their standard deviation.

    Faint ink on smooth ground comes out as strong as black on white, beside whatever else.
    """
    import cv2
    import numpy as np

    size = (2 * WINDOW + 1, 2 * WINDOW + 1)
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.7)
    mean = cv2.blur(smooth, size)
    spread = cv2.blur(smooth * smooth, size) - mean * mean
    deviation = np.sqrt(np.maximum(spread, LEAST**2))
    even: Array = np.clip(128 + (smooth - mean) / deviation * 50, 0, 255).astype(np.uint8)
    return even


def _lost(grey: Array, small: Array) -> float:
    """How much a picture differs from a small copy of it, on average, where it does most."""
    import cv2
    import numpy as np

    size = (grey.shape[1], grey.shape[0])
    again = cv2.resize(small.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    return float(cv2.blur(cv2.absdiff(grey, again), PRINT).max())


def _extent(corners: Array) -> float:
    width, height = corners.max(axis=0) - corners.min(axis=0)
    return float(width * height)
