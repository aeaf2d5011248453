"""Text that is there but hard to see: white on white, faint over a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrail.content import Image, Text
from guardrail.detector import Extractor, Spec
from guardrail_detectors.ocr.engines import Engine
from guardrail_detectors.ocr.once import EngineName, Reader
from guardrail_detectors.ocr.page import Line, as_text, is_covered
from guardrail_detectors.ocr.reading import box_of, read_line, shrunk_to, upright
from guardrail_detectors.ocr.trace import evened

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

WIDE = 800  # pictures with a longer side than this get a second, closer look
PAGE = 3  # plain lines that make a page, on which small hidden print is likely
UNSEEN = 22  # grey values between ink and paper below which people overlook a line
MOST = 40  # lines read in one frame
SHORTEST = 3  # characters; shorter than this it is grain


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
            known = {line.text for line in everything}
            unseen += [one.line for one in found if one.unseen and one.line.text not in known]
            new = new or bool(found)
            kept = [line for line in plain if not is_covered(line.box, [one.line for one in found])]
            merged = [*kept, *(one.line for one in found)]
            everything += [line.on(frame) for line in merged if line.text not in known]
        texts = as_text(image, unseen, "hidden")
        return texts + as_text(image, everything, "faint") if new else texts

    spec = Spec(name="hidden", version="1", reads=frozenset({"image"}), model=reader.model)
    return Extractor(spec, run, reader.load)


@dataclass(frozen=True)
class _Found:
    """A line that plain reading missed, and whether people miss it too."""

    line: Line
    unseen: bool


def _look(image: Image, frame: int, plain: Sequence[Line], reader: Reader) -> list[_Found]:
    import cv2
    import numpy as np

    seen = reader.trace(image, frame)
    if not seen.lines and len(plain) < PAGE:
        return []
    picture = image.picture.rgb(frame=frame)
    engine = reader.load()
    # Ink that only shows on average would be read dot by dot at the full size of a large picture.
    pixels, scale = shrunk_to(np.asarray(picture)[..., ::-1], 2 * reader.max_side)
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    found: list[_Found] = []

    def new(corners: Sequence[Array]) -> list[Array]:
        boxes = [(quad, box_of(quad / scale, picture.size)) for quad in corners]
        return [quad for quad, box in boxes if not is_covered(box, plain)]

    corners = new([quad * scale for quad in seen.lines])
    if max(grey.shape) > WIDE and (len(plain) >= PAGE or corners):
        corners = new(_find(grey, engine, reader.max_side))
    for quad in corners[:MOST]:
        cut, stands = upright(pixels, quad)
        inked, unseen = _stretched(cut)
        line = read_line(inked, stands, box_of(quad / scale, picture.size), engine).on(frame)
        if len(line.text) >= SHORTEST and line.confidence >= reader.min_confidence:
            found.append(_Found(line, unseen))
    return found


def _find(grey: Array, engine: Engine, side: int) -> list[Array]:
    """The corners of lines in the evened picture, largest first."""
    import cv2
    import numpy as np

    scale = min(1.0, side / max(grey.shape))
    small = grey.astype(np.float32)  # in bytes, shrinking would round faint ink away
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in (grey.shape[1], grey.shape[0]))
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    even = np.repeat(evened(small)[..., None], 3, axis=2)
    found = [corners / scale for corners in engine.find(even)]
    return sorted(found, key=lambda corners: -float(np.ptp(corners, axis=0).prod()))


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
