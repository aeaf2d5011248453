"""Text in an embedded thumbnail that shows something else than its picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from guardrail.content import Image, Text
from guardrail.detector import Extractor, Ignored, Spec
from guardrail.errors import PictureError
from guardrail_detectors.metadata.blocks import Block, blocks
from guardrail_detectors.metadata.exif import read_exif
from guardrail_detectors.ocr.once import EngineName, Reader
from guardrail_detectors.ocr.page import Line, as_text
from guardrail_detectors.ocr.reading import read_picture

if TYPE_CHECKING:
    from PIL import Image as Pillow

MOST = 3  # thumbnails of one file
SIDE = 48  # pixels at which thumbnail and picture are compared
LIKE = 0.7  # correlation from which they show the same
READABLE = 640  # pixels to which a thumbnail's longer side is brought before it is read


def thumbnail(
    *,
    engine: EngineName = "rapidocr",
    max_side: int = 960,
    min_confidence: float = 0.5,
    threads: int = 1,
) -> Extractor:
    """Reads thumbnails in EXIF and Photoshop blocks, if they differ from the picture.

    A finding in one has no place in the picture. The arguments are those of `ocr`.
    """
    reader = Reader(engine, max_side, min_confidence, threads)

    def run(image: Image) -> list[Text | Ignored]:
        lines: list[Line] = []
        ignored: list[Text | Ignored] = []
        for count, data in enumerate(_thumbnails(image.data)):
            if count == MOST:
                ignored.append(Ignored(f"thumbnail: more than {MOST}"))
                break
            try:
                small = Image(data, image.name, limits=image.limits).picture.rgb()
            except PictureError as error:
                ignored.append(Ignored(f"thumbnail: {error.code}"))
                continue
            if not _alike(small, image.picture.rgb()):
                scale = max(1.0, READABLE / max(small.size))
                size = (round(small.width * scale), round(small.height * scale))
                large = small.resize(size, 3)
                lines += reader.sure(list(read_picture(large, reader.load(), reader.max_side)))
        texts = [
            Text(text.text, text.name, text.role, text.source, text.origin)
            for text in as_text(image, lines, "thumbnail")
        ]
        return [*texts, *ignored]

    spec = Spec(name="thumbnail", version="3", reads=frozenset({"image"}), model=reader.model)
    return Extractor(spec, run, reader.load)


def _thumbnails(data: bytes) -> Iterator[bytes]:
    for block in blocks(data):
        if not isinstance(block, Block):
            continue
        pieces = [block] if block.kind == "thumbnail" else []
        if block.kind == "exif":
            pieces = [piece for piece in read_exif(block.data) if isinstance(piece, Block)]
        yield from (piece.data for piece in pieces if piece.kind == "thumbnail")


def _alike(one: Pillow.Image, other: Pillow.Image) -> bool:
    """Whether both show the same, by the correlation of their brightness, however turned."""
    import numpy as np

    def grey(picture: Pillow.Image) -> Any:
        values = np.asarray(picture.convert("L").resize((SIDE, SIDE)), np.float32)
        return (values - values.mean()) / max(1.0, float(values.std()))

    first, second = grey(one), grey(other)
    return any(float((first * np.rot90(second, turn)).mean()) >= LIKE for turn in range(4))
