"""Text in a transparent picture that a white background swallows."""

from __future__ import annotations

from guardrail.content import Image, Text
from guardrail.detector import Extractor, Spec
from guardrail_detectors.ocr.once import EngineName, Reader
from guardrail_detectors.ocr.page import Line, as_text, is_known
from guardrail_detectors.ocr.reading import read_picture

BACKGROUNDS = (0, 128, None)  # black, grey, and the colours with their transparency left out
LEAST = 6.0  # grey values by which two views differ on average before the second is read


def alpha(
    *,
    engine: EngineName = "rapidocr",
    max_side: int = 960,
    min_confidence: float = 0.5,
    threads: int = 1,
) -> Extractor:
    """Reads a transparent picture on black, on grey, and as it is without its transparency.

    Models differ in what they put behind a picture, and some drop the alpha channel. Only lines
    that are not there on white are given. The arguments are those of `ocr`.
    """
    reader = Reader(engine, max_side, min_confidence, threads)

    def run(image: Image) -> list[Text]:
        import numpy as np

        picture = image.picture
        if not picture.transparent:
            return []
        known: list[Line] = []
        found: list[Line] = []
        for frame in picture.sampled():
            views = [np.asarray(picture.rgb(frame=frame), np.int16)]
            known += [line.on(frame) for line in reader.sure(reader.plain(image, frame))]
            for background in BACKGROUNDS:
                shown = picture.over(background, frame)
                pixels = np.asarray(shown, np.int16)
                if any(np.abs(pixels - view).mean() < LEAST for view in views):
                    continue
                views.append(pixels)
                read = reader.sure(list(read_picture(shown, reader.load(), reader.max_side)))
                new = [line.on(frame) for line in read if not is_known(line, [*known, *found])]
                found += new
        return as_text(image, found, "alpha")

    spec = Spec(name="alpha", version="2", reads=frozenset({"image"}), model=reader.model)
    return Extractor(spec, run, reader.load)
