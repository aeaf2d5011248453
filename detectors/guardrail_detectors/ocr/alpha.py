"""Text that shows only to some: on another background than white, or with deep grey cut off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from guardrail.content import Image, Text
from guardrail.detector import Extractor, Spec
from guardrail_detectors.ocr.once import EngineName, Reader
from guardrail_detectors.ocr.page import Line, as_text, is_known
from guardrail_detectors.ocr.reading import read_picture

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image as Pillow

    from guardrail.image import Picture

    Array = np.ndarray[Any, Any]

BACKGROUNDS = (0, 128, None)  # black, grey, and the colours with their transparency left out
# Grey values by which two views differ, on average over the picture or in each of some pieces of
# so many pixels a side, before the second is read.
LEAST, PIECES, SIDE = 6.0, 8, 16


def alpha(
    *,
    engine: EngineName = "rapidocr",
    max_side: int = 960,
    min_confidence: float = 0.5,
    threads: int = 1,
) -> Extractor:
    """Reads a transparent picture on black, on grey, and as it is without its transparency.

    Models differ in what they put behind a picture, and some drop the alpha channel. Grey of 16
    bits is also read as those see it who cut it off at 255. Only lines that are not there on
    white, and with grey scaled, are given. The arguments are those of `ocr`.
    """
    reader = Reader(engine, max_side, min_confidence, threads)

    def run(image: Image) -> list[Text]:
        import numpy as np

        picture = image.picture
        if not (picture.transparent or picture.deep):
            return []
        known: list[Line] = []
        found: list[Line] = []
        for frame in picture.sampled():
            views = [np.asarray(picture.rgb(frame=frame))]
            known += [line.on(frame) for line in reader.sure(reader.plain(image, frame))]
            for shown in _others(picture, frame):
                pixels = np.asarray(shown)
                if not all(_differ(pixels, view) for view in views):
                    continue
                views.append(pixels)
                read = reader.sure(list(read_picture(shown, reader.load(), reader.max_side)))
                new = [line.on(frame) for line in read if not is_known(line, [*known, *found])]
                found += new
        return as_text(image, found, "alpha")

    spec = Spec(name="alpha", version="3", reads=frozenset({"image"}), model=reader.model)
    return Extractor(spec, run, reader.load)


def _others(picture: Picture, frame: int) -> Iterator[Pillow.Image]:
    if picture.transparent:
        for background in BACKGROUNDS:
            yield picture.over(background, frame)
    if picture.deep:
        yield picture.clipped(frame)


def _differ(one: Array, other: Array) -> bool:
    import cv2

    apart = cv2.absdiff(one, other).mean(axis=2)
    size = (-(-apart.shape[1] // SIDE), -(-apart.shape[0] // SIDE))
    pieces = cv2.resize(apart, size, interpolation=cv2.INTER_AREA)
    return bool(pieces.mean() >= LEAST or (pieces >= LEAST).sum() >= PIECES)
