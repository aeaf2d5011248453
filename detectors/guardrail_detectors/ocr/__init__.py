"""Text drawn into pictures, read with the PP-OCRv6 models (PaddleOCR, Apache-2.0)."""

from __future__ import annotations

from typing import Literal

from guardrail.content import Image, Text
from guardrail.detector import Extractor, Spec
from guardrail_detectors.ocr.engines import load_engine
from guardrail_detectors.ocr.page import Line, as_text
from guardrail_detectors.ocr.reading import read_picture


def ocr(
    *,
    engine: Literal["rapidocr", "paddleocr"] = "rapidocr",
    max_side: int = 960,
    min_confidence: float = 0.5,
    threads: int = 1,
) -> Extractor:
    """Reads the text in a picture, frame by frame of an animation.

    engine: "rapidocr" runs the models of the rapidocr package on onnxruntime; "paddleocr" runs
        the same models through PaddleOCR (extra `paddleocr`).
    max_side: the longer side in pixels at which text is looked for; a larger picture is also
        looked through in tiles of this size, so that small print is found.
    min_confidence: lines that the model is less sure of are dropped.
    threads: onnxruntime threads a run.
    """
    if not 320 <= max_side <= 4096:
        raise ValueError("max_side: from 320 to 4096")
    if not 0 <= min_confidence <= 1:
        raise ValueError("min_confidence: from 0 to 1")
    if threads < 1:
        raise ValueError("threads: must be at least 1")

    def run(image: Image) -> list[Text]:
        models = load_engine(engine, threads)
        lines: list[Line] = []
        for frame in image.picture.sampled():
            earlier = {line.text for line in lines}
            picture = image.picture.rgb(frame=frame)
            read = read_picture(picture, models, max_side, min_confidence)
            lines += [line.on(frame) for line in read if line.text not in earlier]
        return as_text(image, lines)

    spec = Spec(
        name="ocr",
        version="1",
        reads=frozenset({"image"}),
        model=f"PP-OCRv6 small ({engine})",
    )
    return Extractor(spec, run, lambda: load_engine(engine, threads))
