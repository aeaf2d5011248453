"""What several extractors need of one picture, worked out once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from guardrail.content import Image
from guardrail_detectors.ocr.apart import are_numbers, read_apart, stand_apart
from guardrail_detectors.ocr.engines import SURE_BOX, Engine, load_engine
from guardrail_detectors.ocr.fine import around, fine_print
from guardrail_detectors.ocr.page import Line, is_covered, is_known
from guardrail_detectors.ocr.reading import (
    bgr,
    box_of,
    found_in,
    is_sure,
    is_written,
    read_closely,
    read_picture,
)
from guardrail_detectors.ocr.trace import Trace, trace

if TYPE_CHECKING:
    from PIL import Image as Pillow

EngineName = Literal["rapidocr", "paddleocr"]


@dataclass(frozen=True)
class Reader:
    """How pictures are read. `max_side` in pixels, `min_confidence` in [0, 1]."""

    engine: EngineName
    max_side: int
    min_confidence: float
    threads: int

    def __post_init__(self) -> None:
        if not 320 <= self.max_side <= 4096:
            raise ValueError("max_side: from 320 to 4096")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError("min_confidence: from 0 to 1")
        if self.threads < 1:
            raise ValueError("threads: must be at least 1")

    @property
    def model(self) -> str:
        """The weights, for reports."""
        return f"PP-OCRv6 small ({self.engine})"

    def load(self) -> Engine:
        """The engine, loaded once a process."""
        return load_engine(self.engine, self.threads)

    def trace(self, image: Image, frame: int) -> Trace:
        """What a first look at a frame shows."""
        memo, key = _memo(image), (self.engine, self.threads, frame)
        with memo.lock:
            if key not in memo.traces:
                memo.traces[key] = trace(bgr(image.picture.rgb(frame=frame)), self.load())
            return memo.traces[key]

    def plain(self, image: Image, frame: int) -> list[Line]:
        """The lines of a frame as it is, also those that nobody can be sure of."""
        memo, key = _memo(image), (self.engine, self.max_side, self.threads, frame)
        with memo.lock:
            if key not in memo.lines:
                seen = self.trace(image, frame)
                memo.lines[key] = self._read(image.picture.rgb(frame=frame), seen) if seen else []
            return memo.lines[key]

    def _read(self, picture: Pillow.Image, seen: Trace) -> list[Line]:
        """All lines, unless a hasty look where there are traces of some shows that none is.

        Print that is too small for a look at the whole is read in the full size of the picture.
        """
        engine, pixels, places = self.load(), bgr(picture), seen.places()
        apart = stand_apart(seen.lines)
        if places is not None and not apart:
            found = list(found_in(pixels, places, engine, self.max_side))
            if not is_written(pixels, chain(seen.fine, found), engine):
                return [Line("", box_of(quad, picture.size), 0.0) for quad in found]
        lines = list(read_picture(picture, engine, self.max_side))
        if self.max_side < max(picture.size):
            known = [line.box for line in self.sure(lines)]
            quads = list(fine_print(pixels, engine, SURE_BOX, known))
            if is_written(pixels, quads, engine):
                places = around(quads, picture.size)
                lines += read_closely(picture, engine, places, lines)
        if apart and not are_numbers(lines):
            joined = read_apart(pixels, engine, self.max_side)
            new = [line for line in joined if not is_known(line, lines)]
            lines = [line for line in lines if not is_covered(line.box, new)] + new
        return lines

    def sure(self, lines: list[Line]) -> list[Line]:
        """Those lines whose text the model is sure enough of."""
        return [line for line in lines if is_sure(line, self.min_confidence)]


class _Memo:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.traces: dict[object, Trace] = {}
        self.lines: dict[object, list[Line]] = {}


_guard = threading.Lock()
_memos: WeakKeyDictionary[object, _Memo] = WeakKeyDictionary()


def _memo(image: Image) -> _Memo:
    with _guard:
        return _memos.setdefault(image.picture, _Memo())
