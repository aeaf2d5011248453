"""Boxes that an answer cites: whether they lie in the picture at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_NUMBER = r"-?\d+(?:\.\d+)?"
_BOX = re.compile(
    rf"[\[(<]\s*(?:box\s*>\s*[\[(]?\s*)?({_NUMBER})\s*,\s*({_NUMBER})\s*[,)\s(]+\s*({_NUMBER})\s*,\s*({_NUMBER})\s*[\])<]"
)
_POINT_PAIR = re.compile(
    rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*(?:,|to|-|and)\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)"
)
PERMILLE = 1000.0  # models such as Qwen2-VL give boxes in thousandths of the picture


class Cited(NamedTuple):
    """Four numbers of an answer, and where they stand in it."""

    numbers: tuple[float, float, float, float]
    start: int
    end: int


def cited(answer: str) -> Iterator[Cited]:
    """The boxes in an answer."""
    taken: list[tuple[int, int]] = []
    for pattern in (_POINT_PAIR, _BOX):
        for found in pattern.finditer(answer):
            if any(start < found.end() and found.start() < end for start, end in taken):
                continue
            taken.append(found.span())
            a, b, c, d = (float(number) for number in found.groups())
            yield Cited((a, b, c, d), *found.span())


def in_pixels(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[int, int, int, int] | None:
    """The box in pixels of a picture, or None where it does not lie in it.

    Numbers up to 1 are shares; numbers that fit the picture are pixels; others up to 1000 are
    thousandths. The order is left, top, right, bottom.
    """
    x0, y0, x1, y1 = box
    if min(box) < 0 or x1 <= x0 or y1 <= y0:
        return None
    if max(box) <= 1:
        scale = float(width), float(height)
    elif x1 <= width * 1.01 + 1 and y1 <= height * 1.01 + 1:
        scale = 1.0, 1.0
    elif max(box) <= PERMILLE:
        scale = width / PERMILLE, height / PERMILLE
    else:
        return None
    corners = x0 * scale[0], y0 * scale[1], x1 * scale[0], y1 * scale[1]
    left, top, right, bottom = (round(corner) for corner in corners)
    return left, top, min(right, width), min(bottom, height)
