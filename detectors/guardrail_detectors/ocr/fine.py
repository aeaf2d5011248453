"""Small print in a large picture, found without looking at all of it closely.

A small copy of a picture loses most where small print stands, more than where photographs have
texture: on a dozen of them with print of 10 to 14 pixels, at least 60% opaque, the print was always
among the 1.4% of the pixels that lost most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from guardrail.content import Box
from guardrail_detectors.ocr.engines import Engine
from guardrail_detectors.ocr.reading import box_of, grown, merge, shrunk_to

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SIDE = 640  # the longer side of the small copy, in pixels
LEAST = 14  # grey values that are lost, on average, where print stands
PRINT = (48, 12)  # width and height in pixels of a bit of print
WIDTH, HEIGHT = 128, 64  # pixels of a piece of the picture that is looked at
LONG = 2  # times as long as it is high is what may be a line
MOST, ROW, GAP = 9, 3, 16  # pieces, how many stand side by side, and the pixels between them
_PITCH = (WIDTH + GAP, HEIGHT + GAP)


def fine_print(
    pixels: Array, engine: Engine, least: float, known: Sequence[Box] = ()
) -> Iterator[Array]:
    """The corners of parts of lines in a BGR picture that a small copy loses.

    least: how sure the finder must be. known: where not to look.
    """
    pieces = list(_pieces(pixels, known))
    if not pieces:
        return
    for one in engine.glance(_sheet(pixels, pieces), least):
        width, height = one.corners.max(axis=0) - one.corners.min(axis=0)
        if max(width, height) < LONG * min(width, height):
            continue
        place = one.corners.mean(axis=0) // _PITCH
        index = int(place[1]) * ROW + int(place[0])
        if index < len(pieces):
            yield one.corners - place * _PITCH + pieces[index][:2]


def around(quads: Iterable[Array], size: tuple[int, int]) -> list[Box]:
    """The places in which whole lines stand whose parts have these corners."""
    found: list[Box] = []
    for quad in quads:
        merge(found, grown(box_of(quad, size), WIDTH, size))
    return found


def _pieces(pixels: Array, known: Sequence[Box]) -> Iterator[Box]:
    """The pieces that lose most, each around the place where it is most."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    again = cv2.resize(shrunk_to(grey, SIDE)[0], (width, height), interpolation=cv2.INTER_LINEAR)
    lost = cv2.blur(cv2.absdiff(grey, again), PRINT)
    for x0, y0, x1, y1 in known:
        lost[y0:y1, x0:x1] = 0
    for _ in range(MOST):
        _, most, _, (x, y) = cv2.minMaxLoc(lost)
        if most < LEAST:
            return
        x0, y0 = max(0, x - WIDTH // 2), max(0, y - HEIGHT // 2)
        lost[y0 : y + HEIGHT // 2, x0 : x + WIDTH // 2] = 0
        x0, y0 = max(0, min(x0, width - WIDTH)), max(0, min(y0, height - HEIGHT))
        yield Box(x0, y0, min(width, x0 + WIDTH), min(height, y0 + HEIGHT))


def _sheet(pixels: Array, pieces: Sequence[Box]) -> Array:
    import numpy as np

    rows = -(-len(pieces) // ROW)
    across, down = _PITCH
    sheet = np.full((rows * down, ROW * across, 3), 128, np.uint8)
    for index, (x0, y0, x1, y1) in enumerate(pieces):
        y, x = index // ROW * down, index % ROW * across
        sheet[y : y + y1 - y0, x : x + x1 - x0] = pixels[y0:y1, x0:x1]
    return sheet
