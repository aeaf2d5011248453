"""A first look at a picture, after which most pictures without text need no second one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from guardrail.content import Box
from guardrail_detectors.ocr.engines import Engine
from guardrail_detectors.ocr.fine import SIDE, fine_print
from guardrail_detectors.ocr.reading import box_of, grown, merge, shrunk_to

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SURE = 0.4  # of a line; less than for reading, since a trace is enough
GIANT, SURE_GIANT = (
    100,
    0.7,
)  # height in pixels of the first look from which shapes look like letters
WINDOW = 32  # radius in pixels of what contrast is measured against
LEAST = 0.55  # grey values of deviation below which there is nothing, only rounding
AROUND = 32  # pixels of the first look around a place, for the finder to see where it ends
FEW, PART = 8, 0.4  # places, and the share of the picture, beyond which all of it is looked at


@dataclass(frozen=True)
class Trace:
    """What the first look shows.

    lines: the corners (4, 2) of what may be lines, plain or hidden, in pixels of the picture.
    fine: the corners of parts of lines that are too small for a look at the whole.
    size: width and height of the picture.
    """

    lines: tuple[Array, ...]
    fine: tuple[Array, ...]
    size: tuple[int, int]

    def __bool__(self) -> bool:
        return bool(self.lines or self.fine)

    def places(self) -> list[Box] | None:
        """Where lines may be, with some margin; None where that is most of the picture."""
        scale = max(1.0, max(self.size) / SIDE)
        found: list[Box] = []
        for box in (box_of(quad, self.size) for quad in self.lines):
            margin = round(max(AROUND * scale, min(box.x1 - box.x0, box.y1 - box.y0)))
            merge(found, grown(box, margin, self.size))
        area = sum((box.x1 - box.x0) * (box.y1 - box.y0) for box in found)
        few = len(found) <= FEW and area <= PART * self.size[0] * self.size[1]
        return found if few else None


def trace(pixels: Array, engine: Engine) -> Trace:
    """Look once at a BGR picture, plain and with contrast evened out at the same time."""
    size = (pixels.shape[1], pixels.shape[0])
    scale = min(1.0, SIDE / max(size))
    found = engine.glance(evened_out(pixels, SIDE), SURE)
    quads = [one.corners / scale for one in found if one.sure >= _least(one.corners)]
    seen = Trace(tuple(sorted(quads, key=_extent, reverse=True)), (), size)
    if scale == 1 or seen.places() is None:
        return seen
    return replace(seen, fine=tuple(fine_print(pixels, engine, SURE)))


def evened_out(pixels: Array, side: int) -> Array:
    """A BGR picture, at most `side` pixels long, with contrast evened out but for its green."""
    import cv2
    import numpy as np

    small, _ = shrunk_to(pixels, side)
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)
    even = evened(shrunk_to(grey, side)[0])  # in bytes, faint ink would be rounded away
    return np.dstack([even, small[..., 1], even])


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


def _least(corners: Array) -> float:
    """How sure the finder must be: things of the size of a picture are rarely letters."""
    import numpy as np

    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    return SURE_GIANT if sides.min() >= GIANT else SURE


def _extent(corners: Array) -> float:
    width, height = corners.max(axis=0) - corners.min(axis=0)
    return float(width * height)
