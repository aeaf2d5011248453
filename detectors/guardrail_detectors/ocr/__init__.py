"""Text drawn into pictures, read with the PP-OCRv6 models (PaddleOCR, Apache-2.0)."""

from __future__ import annotations

from guardrail.content import Image, Text
from guardrail.detector import Extractor, Ignored, Spec
from guardrail_detectors.ocr.once import EngineName, Reader
from guardrail_detectors.ocr.page import Line, as_text, is_covered


def ocr(
    *,
    engine: EngineName = "rapidocr",
    max_side: int = 960,
    min_confidence: float = 0.5,
    threads: int = 1,
) -> Extractor:
    """Reads the text in a picture, in as many frames of an animation as the policy's limits say.

    What is left out of longer ones is said in the record, and how many lines look like text but
    could not be read, as in letters that the model does not know.

    Text that stands, or that is upside down or mirrored, comes as a text of its own from the
    source "image:turned".

    engine: "rapidocr" runs the models of the rapidocr package on onnxruntime; "paddleocr" runs
        the same models through PaddleOCR (extra `paddleocr`).
    max_side: the longer side in pixels at which text is looked for; a larger picture is also
        looked through in tiles of this size, so that small print is found.
    min_confidence: lines that the model is less sure of are dropped.
    threads: onnxruntime threads a run.
    """
    reader = Reader(engine, max_side, min_confidence, threads)

    def run(image: Image) -> list[Text | Ignored]:
        lines: list[Line] = []
        unread = 0
        picture = image.picture
        for frame in picture.sampled():
            earlier = {line.text for line in lines}
            found = reader.plain(image, frame)
            read = reader.sure(found)
            lines += [line.on(frame) for line in read if line.text not in earlier]
            unread += sum(line.long for line in found if not is_covered(line.box, read))
        ignored = [Ignored(f"ocr: lines that look like text left unread: {unread}")] * (unread > 0)
        if frames := picture.frames - len(picture.sampled()):
            ignored.append(Ignored(f"ocr: {frames} of {picture.frames} frames left unread"))
        return [*as_text(image, lines), *ignored]

    spec = Spec(name="ocr", version="5", reads=frozenset({"image"}), model=reader.model)
    return Extractor(spec, run, reader.load)
