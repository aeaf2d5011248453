"""Text that a picture file carries beside its pixels: EXIF, XMP, IPTC, chunks and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrail.content import Image, Text
from guardrail.detector import Extractor, Ignored, Spec
from guardrail_detectors.metadata.blocks import Block, blocks
from guardrail_detectors.metadata.exif import Tag, read_exif
from guardrail_detectors.metadata.packets import iptc_texts, xmp_texts

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]+")
MAX_READ = 2_000_000  # characters that are looked at in one file
MAX_REASONS = 20
_LETTERS = 4  # a value with fewer is a number, a date or a code


def metadata(*, max_chars: int = 50_000) -> Extractor:
    """Reads the texts of a picture file that are not drawn.

    EXIF (also GPS and thumbnail directories), XMP, IPTC, PNG text chunks, comments of JPEG and
    GIF. Pieces that are malformed, or that claim more bytes than there are, are ignored with a
    reason in the record; the rest is still read.

    max_chars: what comes after so many characters is ignored, with a reason.
    """
    if max_chars < 1:
        raise ValueError("max_chars: must be at least 1")

    def run(image: Image) -> list[Text | Ignored]:
        texts: dict[str, None] = {}
        reasons: dict[Ignored, None] = {}
        left = MAX_READ
        for piece in _pieces(image.data):
            if isinstance(piece, Ignored):
                if len(reasons) < MAX_REASONS:
                    reasons[piece] = None
                continue
            left -= len(piece)
            if left < 0:
                reasons[Ignored(f"metadata: more than {MAX_READ} characters")] = None
                break
            text = _CONTROL.sub(" ", piece).strip()
            if sum(char.isalpha() for char in text) >= _LETTERS:
                texts[text] = None
        ignored = [*reasons]
        whole = "\n\n".join(texts)
        if len(whole) > max_chars:
            ignored.append(Ignored(f"metadata: {len(whole) - max_chars} characters left unread"))
            whole = whole[:max_chars]
        name = f"{image.name}#metadata"
        found = [Text(whole, name, image.role, "image:metadata", image.name)] if whole else []
        return [*found, *ignored]

    return Extractor(Spec(name="metadata", version="2", reads=frozenset({"image"})), run)


def _pieces(data: bytes) -> Iterator[str | Ignored]:
    for block in blocks(data):
        if isinstance(block, Ignored):
            yield block
        else:
            yield from _texts(block)


def _texts(block: Block) -> Iterator[str | Ignored]:
    match block.kind:
        case "exif":
            for found in read_exif(block.data):
                if isinstance(found, Block):
                    yield from _texts(found)
                else:
                    yield found.text if isinstance(found, Tag) else found
        case "xmp":
            yield from xmp_texts(block.data)
        case "iptc":
            yield from iptc_texts(block.data)
        case "text":
            yield as_text(block.data)


def as_text(data: bytes) -> str:
    """Bytes as UTF-8, or as Latin-1 where they are not."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
