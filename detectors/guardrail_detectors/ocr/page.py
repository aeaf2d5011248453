"""Lines of text in the order in which people read a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from guardrail.content import Box, Image, Region, Text


@dataclass(frozen=True)
class Line:
    """A line that was read, and where it stands in the picture."""

    text: str
    box: Box
    confidence: float = 1.0
    frame: int = 0

    @property
    def height(self) -> int:
        """Its height in pixels."""
        return self.box.y1 - self.box.y0

    def on(self, frame: int) -> Line:
        """The same line, in another frame."""
        return replace(self, frame=frame)


def as_text(image: Image, lines: Iterable[Line]) -> list[Text]:
    """One text with a region for each line, or none where nothing was read."""
    pieces: list[str] = []
    regions: list[Region] = []
    at = 0
    by_frame: dict[int, list[Line]] = {}
    for line in lines:
        by_frame.setdefault(line.frame, []).append(line)
    for frame in sorted(by_frame):
        for row in rows(by_frame[frame]):
            for place, line in enumerate(row):
                pieces.append(line.text)
                regions.append(Region(at, at + len(line.text), line.box, frame))
                at += len(line.text) + 1
                pieces.append("\n" if place == len(row) - 1 else " ")
    if not pieces:
        return []
    name = f"{image.name}#ocr"
    text = "".join(pieces[:-1])
    return [Text(text, name, image.role, "image:ocr", image.name, tuple(regions))]


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
