"""Lines of text in the order in which people read a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from statistics import median
from typing import Literal

from guardrail.content import Box, Image, Region, Text

ALIKE, HALF = 0.8, 0.5  # shares of characters in common: of one line, and of a blurred copy
LONG = 4  # times that a line is longer than high where it holds several words
CLEAR = 0.93  # confidence of a line that is no blurred copy

Way = Literal["level", "over", "down", "up", "mirrored", "flipped"]

# How a box lies to somebody who turns the picture so that its letters stand upright.
_FRAMES: Mapping[Way, Callable[[Box], Box]] = {
    "level": lambda box: box,
    "over": lambda box: Box(-box.x1, -box.y1, -box.x0, -box.y0),
    "down": lambda box: Box(box.y0, -box.x1, box.y1, -box.x0),
    "up": lambda box: Box(-box.y1, box.x0, -box.y0, box.x1),
    "mirrored": lambda box: Box(-box.x1, box.y0, -box.x0, box.y1),
    "flipped": lambda box: Box(box.x0, -box.y1, box.x1, -box.y0),
}


def _stacked(box: Box) -> Box:
    """The same for letters that stand one under the other, in columns from left to right."""
    return Box(box.y0, box.x0, box.y1, box.x1)


@dataclass(frozen=True)
class Line:
    """A line that was read, and where it stands in the picture.

    `way` says how it runs: level, upside down, from top to bottom, from bottom to top, as in a
    mirror, or as in water.
    """

    text: str
    box: Box
    confidence: float = 1.0
    frame: int = 0
    way: Way = "level"

    @property
    def height(self) -> int:
        """Its height in pixels."""
        return self.box.y1 - self.box.y0

    @property
    def long(self) -> bool:
        """Whether it has the shape of several words, which few things have that are no text."""
        sides = self.box.x1 - self.box.x0, self.height
        return max(sides) >= LONG * min(sides)

    def on(self, frame: int) -> Line:
        """The same line, in another frame."""
        return replace(self, frame=frame)


def is_covered(box: Box, lines: Iterable[Line]) -> bool:
    """Whether most of a box lies in one of the lines."""
    area = (box.x1 - box.x0) * (box.y1 - box.y0)
    for line in lines:
        across = min(box.x1, line.box.x1) - max(box.x0, line.box.x0)
        down = min(box.y1, line.box.y1) - max(box.y0, line.box.y0)
        if across > 0 and down > 0 and across * down > 0.5 * area:
            return True
    return False


def is_known(line: Line, others: Iterable[Line]) -> bool:
    """Whether another view of the same place says the same, or this one is a blurred copy of it."""
    said = line.text.casefold()
    for known in others:
        if known.frame != line.frame:
            continue
        if not (is_covered(line.box, [known]) or is_covered(known.box, [line])):
            continue
        alike = SequenceMatcher(None, said, known.text.casefold(), False).ratio()
        blurred = known.confidence >= line.confidence and (alike >= HALF or line.confidence < CLEAR)
        if alike >= ALIKE or blurred:
            return True
    return False


def as_text(image: Image, lines: Iterable[Line], source: str = "ocr") -> list[Text]:
    """One text with a region for each line, or none where nothing was read.

    Lines that run another way than level make a second text, from the source "image:turned".
    """
    found = list(lines)
    level = [line for line in found if line.way == "level"]
    turned = [line for line in found if line.way != "level"]
    ways = [[line for line in turned if line.way == way] for way in _FRAMES]
    columns = [_laid(line, _stacked) for line in ways[2]] if len(ways[2]) > 1 else []
    laid = [[_laid(line, _FRAMES[line.way]) for line in lines] for lines in ways]
    texts = [
        _joined(image, source, [[_Laid(line, line) for line in level]]),
        _joined(image, "turned", [*laid, columns]),
    ]
    return [text for text in texts if text is not None]


@dataclass(frozen=True)
class _Laid:
    """A line and how it lies in the frame in which it is read."""

    line: Line
    lying: Line


def _laid(line: Line, frame: Callable[[Box], Box]) -> _Laid:
    return _Laid(line, replace(line, box=frame(line.box)))


def _joined(image: Image, source: str, groups: Sequence[Sequence[_Laid]]) -> Text | None:
    pieces: list[str] = []
    regions: list[Region] = []
    at = 0
    for group in groups:
        of = {id(laid.lying): laid.line for laid in group}
        for frame in sorted({laid.line.frame for laid in group}):
            for row in rows([laid.lying for laid in group if laid.line.frame == frame]):
                for place, lying in enumerate(row):
                    line = of[id(lying)]
                    pieces.append(line.text)
                    regions.append(Region(at, at + len(line.text), line.box, frame))
                    at += len(line.text) + 1
                    pieces.append("\n" if place == len(row) - 1 else " ")
    if not pieces:
        return None
    name, text = f"{image.name}#{source}", "".join(pieces[:-1])
    return Text(text, name, image.role, f"image:{source}", image.name, tuple(regions))


def rows(lines: Sequence[Line]) -> list[list[Line]]:
    """The lines in reading order, those that stand side by side in one row.

    Columns of running text are read one after the other; short pieces side by side, as on a
    receipt, stay in their row.
    """
    split = _columns(lines)
    if split is not None:
        return [row for column in split for row in rows(column)]
    found: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.box.y0 + line.box.y1, line.box.x0)):
        row = found[-1] if found else None
        if row is not None and _beside(row[-1], line):
            row.append(line)
        else:
            found.append([line])
    return [sorted(row, key=lambda line: line.box.x0) for row in found]


def _beside(one: Line, other: Line) -> bool:
    shared = min(one.box.y1, other.box.y1) - max(one.box.y0, other.box.y0)
    across = min(one.box.x1, other.box.x1) - max(one.box.x0, other.box.x0)
    return shared > 0.5 * min(one.height, other.height) and across < one.height


def _columns(lines: Sequence[Line]) -> tuple[list[Line], list[Line]] | None:
    """The lines left and right of a gap that no line crosses, if both sides are running text."""
    if len(lines) < 4:
        return None
    gap = 0.8 * median(line.height for line in lines)
    right = -1.0
    for index, line in enumerate(sorted_lines := sorted(lines, key=lambda line: line.box.x0)):
        if index >= 2 and line.box.x0 - right > gap:
            sides = sorted_lines[:index], sorted_lines[index:]
            if all(_is_running(side) for side in sides):
                return list(sides[0]), list(sides[1])
        right = max(right, line.box.x1)
    return None


def _is_running(lines: Sequence[Line]) -> bool:
    wide = median((line.box.x1 - line.box.x0) / max(1, line.height) for line in lines)
    return len(lines) >= 2 and wide >= 8
