"""Text that is there but hard to see: white on white, faint over a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrail.content import Box, Image, Text
from guardrail.detector import Extractor, Spec
from guardrail_detectors.ocr.engines import SURE_BOX, Engine
from guardrail_detectors.ocr.fine import around, fine_print
from guardrail_detectors.ocr.once import EngineName, Reader
from guardrail_detectors.ocr.page import Line, as_text, is_covered, is_known
from guardrail_detectors.ocr.reading import bgr, box_of, grown, read_line, shrunk_to, upright
from guardrail_detectors.ocr.trace import evened, evened_out

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PAGE, WIDE = 3, 800  # plain lines and pixels of a page, on which small hidden print is likely
MARGIN = 8  # pixels around lines that were read in which no small print is looked for
UNSEEN = 22  # grey values between ink and paper below which people overlook a line
MOST = 40  # lines read in one frame
SHORTEST = 3  # characters; shorter than this it is grain
DOUBTED, FEW = 0.97, 12  # confidence below which a line may be cut; lines of which some are tried
LONGER = 1.15  # times as many characters as were read before


def hidden(
    *,
    engine: EngineName = "rapidocr",
    max_side: int = 960,
    min_confidence: float = 0.6,
    threads: int = 1,
) -> Extractor:
    """Reads text that only shows when contrast is evened out over the picture.

    Lines whose ink differs from the paper by less than 22 grey values, which people overlook,
    come as "image:hidden". If there are lines that plain reading missed, everything that was
    read, in the order of the page, comes as "image:faint" as well, so that a sentence of which
    only half is plain is seen whole.

    The arguments are those of `ocr`, whose reading of the same picture is used again.
    """
    reader = Reader(engine, max_side, min_confidence, threads)

    def run(image: Image) -> list[Text]:
        unseen: list[Line] = []
        everything: list[Line] = []
        new = False
        for frame in image.picture.sampled():
            plain = reader.sure(reader.plain(image, frame))
            found = _look(image, frame, plain, reader)
            found += whole_rows(image, frame, plain, reader)
            known = {line.text for line in everything}
            unseen += [one.line for one in found if one.unseen and one.line.text not in known]
            new = new or bool(found)
            kept = [line for line in plain if not is_covered(line.box, [one.line for one in found])]
            merged = [*kept, *(one.line for one in found)]
            everything += [line.on(frame) for line in merged if line.text not in known]
        texts = as_text(image, unseen, "hidden")
        return texts + as_text(image, everything, "faint") if new else texts

    spec = Spec(name="hidden", version="3", reads=frozenset({"image"}), model=reader.model)
    return Extractor(spec, run, reader.load)


@dataclass(frozen=True)
class Missed:
    """A line that plain reading missed, and whether people miss it too."""

    line: Line
    unseen: bool


def _look(image: Image, frame: int, plain: Sequence[Line], reader: Reader) -> list[Missed]:
    seen = reader.trace(image, frame)
    if not seen.lines and len(plain) < PAGE:
        return []
    picture = image.picture.rgb(frame=frame)
    engine = reader.load()
    # Ink that only shows on average would be read dot by dot at the full size of a large picture.
    pixels, scale = shrunk_to(bgr(picture), 2 * reader.max_side)

    def read(corners: Sequence[Array]) -> list[Missed]:
        found = []
        boxes = [(quad, box_of(quad / scale, picture.size)) for quad in corners]
        for quad, box in [(q, b) for q, b in boxes if not is_covered(b, plain)][:MOST]:
            cut, stands = upright(pixels, quad)
            inked, unseen = _stretched(cut)
            line = read_line(inked, stands, box, engine).on(frame)
            if len(line.text) >= SHORTEST and line.confidence >= reader.min_confidence:
                found.append(Missed(line, unseen))
        return found

    new = any(not is_covered(box_of(quad, picture.size), plain) for quad in seen.lines)
    page = len(plain) >= PAGE and max(pixels.shape) > WIDE
    if not (new or page):
        return []
    places = None if page else seen.places()
    even = evened_out(pixels, reader.max_side)
    shrunk = even.shape[1] / pixels.shape[1]
    if places is not None:
        parts = [_times(box, scale * shrunk) for box in places]
        corners = [quad for part in parts for quad in _find(even, engine, part)]
        found = read([quad / shrunk for quad in corners])
        if not found or max(pixels.shape) <= WIDE:
            return found
    found = read([quad / shrunk for quad in _find(even, engine)])
    if page:
        lines = [one.line for one in found]
        known = [_times(line.box, scale) for line in [*plain, *lines]]
        small = read(_small_print(pixels, engine, known))
        found += [one for one in small if not is_known(one.line, lines)]
    return found


def _small_print(pixels: Array, engine: Engine, known: Sequence[Box]) -> list[Array]:
    """The corners of lines that are both faint and too small for a look at the whole."""
    import cv2
    import numpy as np

    size = pixels.shape[1], pixels.shape[0]
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)
    even = np.repeat(evened(grey)[..., None], 3, axis=2)
    quads = fine_print(even, engine, SURE_BOX, [grown(box, MARGIN, size) for box in known])
    return [corners for place in around(quads, size) for corners in _find(even, engine, place)]


def _find(even: Array, engine: Engine, box: Box | None = None) -> list[Array]:
    """The corners of lines in an evened picture, or in a part of it, largest first."""
    import numpy as np

    x0, y0, x1, y1 = box or (0, 0, even.shape[1], even.shape[0])
    found = [one.corners + np.array((x0, y0)) for one in engine.find(even[y0:y1, x0:x1])]
    return sorted(found, key=lambda corners: -float(np.ptp(corners, axis=0).prod()))


def whole_rows(image: Image, frame: int, plain: Sequence[Line], reader: Reader) -> list[Missed]:
    """Faint lines of which plain reading had only a part: read once more in all their row."""
    doubtful = [line for line in plain if _is_cut(line)]
    if not doubtful or len(plain) > FEW:
        return []
    pixels = bgr(image.picture.rgb(frame=frame))
    found = []
    for line in doubtful:
        x0, y0, x1, y1 = _row(line, plain, pixels.shape[1])
        read = read_line(pixels[y0:y1, x0:x1], False, Box(x0, y0, x1, y1), reader.load())
        more = len(read.text) >= LONGER * len(line.text)
        if more and read.way == "level" and read.confidence >= reader.min_confidence:
            found.append(Missed(read.on(frame), unseen=False))
    return found


def _is_cut(line: Line) -> bool:
    long = line.box.x1 - line.box.x0 >= 2 * line.height
    return line.way == "level" and long and line.confidence < DOUBTED and len(line.text) >= SHORTEST


def _row(line: Line, others: Sequence[Line], width: int) -> Box:
    """A line with as much again on either side, up to where another begins."""
    x0, y0, x1, y1 = line.box
    beside = [o.box for o in others if o.box.y0 < y1 and y0 < o.box.y1]
    left = max([0, 2 * x0 - x1, *(box.x1 for box in beside if box.x1 <= x0)])
    right = min([width, 2 * x1 - x0, *(box.x0 for box in beside if box.x0 >= x1)])
    return Box(left, y0, right, y1)


def _times(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = (round(side * scale) for side in box)
    return Box(x0, y0, max(x0 + 1, x1), max(y0 + 1, y1))


def _stretched(cut: Array) -> tuple[Array, bool]:
    """A line with its contrast raised if it has almost none, and whether it had."""
    import cv2
    import numpy as np

    grey = cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_BGR2GRAY).astype(np.float32)
    radius = 2 * max(2, grey.shape[0] // 2) + 1
    level = grey - cv2.blur(grey, (radius, radius))
    low, high = np.percentile(level, [1, 99])
    if high - low >= UNSEEN:
        return cut, False
    raised = np.clip((level - low) * (255 / max(1.0, high - low)), 0, 255).astype(np.uint8)
    return np.repeat(raised[..., None], 3, axis=2), True
