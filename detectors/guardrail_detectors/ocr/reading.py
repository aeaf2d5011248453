"""Reading one picture: where the lines are, and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from guardrail.content import Box
from guardrail_detectors.ocr.engines import HEIGHT, Engine, Found
from guardrail_detectors.ocr.page import Line, Way, is_covered

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image as Pillow

    Array = np.ndarray[Any, Any]

SQUEEZE = 0.8  # long lines are skimmed at this width
SURE = 0.93  # a skimmed line is read again, exactly, below this mean confidence
LONG = 480  # pixels of width at height 48 from which a line counts as long
TILE_FROM = 2.2  # pictures this many times larger than max_side are looked through in tiles, too
TILES = 3  # along the longer side at most: beyond that the picture is scaled down
TOGETHER = 2.0  # a box so many times higher than a line in it holds several
MAX_WIDTH = 4_800
LONGEST = 15  # characters of a word; where one is longer, squeezing may have swallowed spaces
STANDING = 1.5  # a box so many times taller than wide holds a line that stands
_DIGIT = re.compile(r"\d")
SHORT_NOISE = 0.8  # confidence that a text of one or two characters must have
# Lines read the wrong way round come out with a confidence between 0.4 and 0.85. Below the first
# of these a line is tried turned and mirrored; that was right if it gives the third, and is
# worth an exact reading if the cheap one gives the second.
# In a hasty look at a picture that may have no text, confidence and length of what is a word.
WORDLIKE, WORD = 0.6, 3
DOUBTFUL, HOPEFUL, RIGHT = 0.85, 0.75, 0.9


def read_picture(picture: Pillow.Image, engine: Engine, max_side: int) -> Iterator[Line]:
    """The lines of a picture, in no order, however sure the model is of them."""
    pixels = bgr(picture)
    for corners in find_lines(pixels, engine, max_side):
        yield read_line(*upright(pixels, corners), box_of(corners, picture.size), engine)


def read_closely(
    picture: Pillow.Image, engine: Engine, places: Sequence[Box], known: Sequence[Line]
) -> Iterator[Line]:
    """The lines that are not known in places of a picture, looked at in its full size."""
    pixels = bgr(picture)
    for place in places:
        for corners in _found(pixels, place, engine.find, 1.0):
            box = box_of(corners, picture.size)
            if not is_covered(box, known):
                yield read_line(*upright(pixels, corners), box, engine)


def found_in(
    pixels: Array, places: Sequence[Box], engine: Engine, max_side: int
) -> Iterator[Array]:
    """The corners of the lines in places of a picture, found cheaply."""
    scale = min(1.0, max_side / max(pixels.shape[:2]))
    for place in places:
        yield from _found(pixels, place, engine.glance, scale)


def is_written(pixels: Array, lines: Iterable[Array], engine: Engine) -> bool:
    """Whether a hasty look at lines with these corners sees words."""
    return any(_is_word(upright(pixels, corners)[0], engine) for corners in lines)


def _is_word(line: Array, engine: Engine) -> bool:
    """Whether a line, as it is or turned or mirrored, reads like more than noise."""
    width = HEIGHT * line.shape[1] / line.shape[0]
    turned = [line[::-1, ::-1], line[:, ::-1], line[::-1]]
    for way in [line, *(turned if line.shape[1] >= 2 * line.shape[0] else [])]:
        text, mean = engine.skim(_resized(way, width * SQUEEZE if width >= LONG else width))
        if mean >= WORDLIKE and len(text.strip()) >= WORD:
            return True
    return False


def bgr(picture: Pillow.Image) -> Array:
    """The pixels as OpenCV and the engines take them."""
    import cv2
    import numpy as np

    pixels: Array = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
    return pixels


def is_sure(line: Line, min_confidence: float) -> bool:
    """Whether there is text and the model is sure enough of it; of very short text, more so."""
    short = len(line.text) <= 2
    return bool(line.text) and line.confidence >= max(min_confidence, SHORT_NOISE * short)


def read_line(pixels: Array, stands: bool, box: Box, engine: Engine) -> Line:
    """Read a line as `upright` cut it out: as it is or, in doubt, turned or mirrored."""
    text, mean = _read(pixels, engine)
    mean = mean if text.strip() else 0.0  # it can be sure that there is nothing
    way: Way = "down" if stands else "level"
    if mean < DOUBTFUL and pixels.shape[1] >= 2 * pixels.shape[0]:
        others: list[tuple[Way, Array]] = [
            ("up" if stands else "over", pixels[::-1, ::-1]),
            ("mirrored", pixels[:, ::-1]),
            ("flipped", pixels[::-1]),
        ]
        for other, turned in others:
            said, sure = _read(turned, engine, least=HOPEFUL)
            if sure >= max(RIGHT, mean + 0.05) and len(said.strip()) > 2:
                text, mean, way = said, sure, other
    return Line(text.strip(), box, mean, way=way)


def find_lines(pixels: Array, engine: Engine, max_side: int) -> list[Array]:
    """The corners of all lines: in the picture as a whole, and in tiles of a large one."""
    height, width = pixels.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    found = _found(pixels, Box(0, 0, width, height), engine.find, scale)
    if scale * TILE_FROM >= 1:
        return found
    side = max(max_side, ceil(max(height, width) / (TILES - (TILES - 1) / 8)))
    for box in _tiles(width, height, side):
        for corners in _found(pixels, box, engine.find, max_side / side):
            if not any(_is_same(known, corners) for known in found):
                found.append(corners)
    return found


def _found(
    pixels: Array, box: Box, find: Callable[[Array], Sequence[Found]], scale: float
) -> list[Array]:
    """The corners of the lines in a part of a picture, looked at in a scale."""
    import numpy as np

    part = pixels[box.y0 : box.y1, box.x0 : box.x1]
    small, scale = shrunk_to(part, max(1, round(scale * max(part.shape[:2]))))
    return [one.corners / scale + np.array((box.x0, box.y0)) for one in find(small)]


def shrunk_to(pixels: Array, max_side: int) -> tuple[Array, float]:
    """The picture with its longer side at most `max_side`, and the scale."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale == 1:
        return pixels, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), scale


def _tiles(width: int, height: int, side: int) -> Iterator[Box]:
    step = side - side // 8
    for y in range(0, max(1, height - side // 8), step):
        for x in range(0, max(1, width - side // 8), step):
            x0, y0 = min(x, max(0, width - side)), min(y, max(0, height - side))
            yield Box(x0, y0, min(width, x0 + side), min(height, y0 + side))


def _is_same(known: Array, new: Array) -> bool:
    """Whether a line is known, and not one of several that ran together in the small picture."""
    return _covers(known, new) and _height(known) < TOGETHER * _height(new)


def _height(corners: Array) -> float:
    """The shorter side of a line."""
    import numpy as np

    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).min())


def _covers(known: Array, new: Array) -> bool:
    """Whether most of the new box lies in the known one."""
    low = [max(a, b) for a, b in zip(known.min(axis=0), new.min(axis=0), strict=True)]
    high = [min(a, b) for a, b in zip(known.max(axis=0), new.max(axis=0), strict=True)]
    shared = max(0.0, high[0] - low[0]) * max(0.0, high[1] - low[1])
    width, height = new.max(axis=0) - new.min(axis=0)
    return bool(shared > 0.5 * width * height)


def upright(pixels: Array, corners: Array) -> tuple[Array, bool]:
    """The line cut out and set level; turned to the left if it stands, and whether it does."""
    import cv2
    import numpy as np

    width = max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[3] - corners[2]))
    height = max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))
    size = max(1, round(float(width))), max(1, round(float(height)))
    target = np.array([(0, 0), (size[0], 0), size, (0, size[1])], np.float32)
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    line = cv2.warpPerspective(
        pixels, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    stands = line.shape[0] >= STANDING * line.shape[1]
    return (np.rot90(line) if stands else line), stands


def _read(line: Array, engine: Engine, least: float = 0.0) -> tuple[str, float]:
    """Read small first: a long line squeezed, a short one in 8 bits, and exactly only in doubt.

    Squeezing merges repeated characters, which no confidence shows: numbers are never left to it.
    A line whose first reading stays under `least` is not read again.
    """
    width = HEIGHT * line.shape[1] / line.shape[0]
    long = width >= LONG
    text, mean = engine.skim(_resized(line, width * SQUEEZE if long else width))
    if (
        long
        and mean >= SURE
        and (_DIGIT.search(text) or max(map(len, text.split()), default=0) > LONGEST)
    ):
        text, mean = engine.skim(_resized(line, width))
    if mean >= SURE or mean < least:
        return text, mean
    return engine.read(_resized(line, width))


def _resized(line: Array, width: float) -> Array:
    import cv2
    import numpy as np

    size = (min(MAX_WIDTH, max(16, round(width))), HEIGHT)
    resized: Array = cv2.resize(np.ascontiguousarray(line), size)
    return resized


def box_of(corners: Array, size: tuple[int, int]) -> Box:
    """The box around four corners, within a picture of a size (width, height)."""
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return Box(
        max(0, int(x0)), max(0, int(y0)), min(size[0], int(x1) + 1), min(size[1], int(y1) + 1)
    )


def grown(box: Box, margin: int, size: tuple[int, int]) -> Box:
    """A box with a margin, within a picture of a size (width, height)."""
    return Box(
        max(0, box.x0 - margin),
        max(0, box.y0 - margin),
        min(size[0], box.x1 + margin),
        min(size[1], box.y1 + margin),
    )


def merge(boxes: list[Box], new: Box) -> None:
    """Add a box; those that it touches become one with it."""
    for known in boxes:
        if new.x0 < known.x1 and known.x0 < new.x1 and new.y0 < known.y1 and known.y0 < new.y1:
            boxes.remove(known)
            both = Box(
                min(new.x0, known.x0),
                min(new.y0, known.y0),
                max(new.x1, known.x1),
                max(new.y1, known.y1),
            )
            merge(boxes, both)
            return
    boxes.append(new)
