"""Letters that stand so far apart that no line is seen in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from guardrail_detectors.ocr.engines import Engine
from guardrail_detectors.ocr.page import Line
from guardrail_detectors.ocr.reading import box_of, find_lines, read_line, upright

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# Signs of one size that stand alone, and their share of all that may be lines, from which they are
# looked at as a text; unless so many of them are numbers, as in a chart or a table.
LETTERS, MOST, NUMBERS = 6, 0.5, 3
ALIKE = 1.4  # times that their heights differ at most from the one in the middle
TOGETHER = 0.4  # width to which a picture is squeezed, so that they make a line
SURE = 0.75  # confidence that such a line needs
SAID, SHARE = 6, 0.7  # letters in it, and their share of its characters


def stand_apart(lines: Sequence[Array]) -> bool:
    """Whether signs of one size stand alone among what may be lines, given by their corners."""
    sizes = [quad.max(axis=0) - quad.min(axis=0) for quad in lines]
    heights = [float(high) for wide, high in sizes if high <= 2 * wide <= 4 * high]
    if len(heights) < LETTERS:
        return False
    middle = median(heights)
    signs = sum(middle / ALIKE <= high <= middle * ALIKE for high in heights)
    return signs >= max(LETTERS, MOST * len(lines))


def are_numbers(lines: Sequence[Line]) -> bool:
    """Whether what stands alone was read, and is numbers."""
    return sum(line.text.isdigit() and line.confidence >= SURE for line in lines) >= NUMBERS


def read_apart(pixels: Array, engine: Engine, side: int) -> Iterator[Line]:
    """The lines of a BGR picture whose letters stand far apart."""
    import cv2

    height, width = pixels.shape[:2]
    close = cv2.resize(
        pixels, (max(1, round(width * TOGETHER)), height), interpolation=cv2.INTER_AREA
    )
    for corners in find_lines(close, engine, side):
        box = box_of(corners / (TOGETHER, 1), (width, height))
        line = read_line(*upright(close, corners), box, engine)
        if line.way == "level" and _says(line):
            yield line


def _says(line: Line) -> bool:
    said = sum(char.isalpha() for char in line.text)
    return line.confidence >= SURE and said >= SAID and said >= SHARE * len(line.text)
