"""The program that guardrail.pdf starts for each file: a PDF in, pages out.

It is run by its path and imports nothing of guardrail. What it writes: for each page, two lengths
of four bytes, that many bytes of JSON, and that many of PNG; at the end one of kind "end".
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
from io import BytesIO
from typing import Any

SAID = ("Title", "Author", "Subject", "Keywords")
MAX_ATTACHMENTS = 20
MAX_ATTACHMENT = 2**20  # bytes


class Failed(Exception):
    """The file is not read; the code says why."""

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        super().__init__(message)


def write(head: dict[str, Any], body: bytes = b"") -> None:
    """One piece of the answer."""
    encoded = json.dumps(head).encode("ascii")
    out = sys.stdout.buffer
    out.write(len(encoded).to_bytes(4, "big") + len(body).to_bytes(4, "big") + encoded + body)


def bound(memory: int, seconds: int) -> None:
    """Take no more of the machine than this, where it can be said."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def read(data: bytes, settings: dict[str, Any]) -> None:
    """Write all pages of the file."""
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(data)
        document.init_forms()
    except pdfium.PdfiumError as error:
        raise Failed("encrypted" if "password" in str(error).lower() else "damaged") from None
    if len(document) > settings["pages"]:
        limit = settings["pages"]
        message = f"{len(document)} pages, over the limit of {limit} (limits.max_images)"
        raise Failed("too_many_pages", message)
    chars = texts_of(document)
    for number in range(len(document)):
        try:
            page = document[number]
            head, picture = render(page, settings)
        except (pdfium.PdfiumError, MemoryError):
            raise Failed("damaged") from None
        chars += len(head["text"])
        if chars > settings["chars"]:
            message = f"more than {settings['chars']} characters of text"
            raise Failed("too_many_chars", message)
        write({"kind": "page", "page": number, **head}, picture)
    write({"kind": "end"})


def texts_of(document: Any) -> int:
    """Write what the file says beside its pages; how many characters that was."""
    facts = "\n".join(filter(None, map(document.get_metadata_value, SAID)))
    if facts.strip():
        write({"kind": "metadata", "text": facts})
    count = document.count_attachments()
    if count > MAX_ATTACHMENTS:
        raise Failed("attachment")
    chars = len(facts)
    for index in range(count):
        data = bytes(document.get_attachment(index).get_data() or b"")
        try:
            text = data[: MAX_ATTACHMENT + 1].decode("utf-8")
        except UnicodeDecodeError:
            raise Failed("attachment") from None
        if len(data) > MAX_ATTACHMENT or "\0" in text:
            raise Failed("attachment")
        write({"kind": "attachment", "text": text})
        chars += len(text)
    return chars


def render(page: Any, settings: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A page as PNG, with the text beneath it and where each word stands."""
    width, height = page.get_size()
    scale = min(settings["scale"], (settings["pixels"] / max(width * height, 1)) ** 0.5)
    picture = page.render(scale=scale, may_draw_forms=True).to_pil().convert("RGB")
    out = BytesIO()
    picture.save(out, "PNG", compress_level=1)
    text, regions = words(page, picture.width, picture.height, settings["chars"])
    return {"text": text, "regions": regions}, out.getvalue()


def words(page: Any, width: int, height: int, most: int) -> tuple[str, list[Any]]:
    """The text of a page, and the box of each word in pixels of its picture."""
    import pypdfium2.raw as raw

    layer = page.get_textpage()
    count = min(layer.count_chars(), most + 1)
    characters: list[str] = []
    regions: list[Any] = []
    start, box = 0, None
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    x, y = ctypes.c_int(), ctypes.c_int()
    for index in range(count):
        code = raw.FPDFText_GetUnicode(layer, index)
        character = chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " "
        if character.isspace():
            if box is not None:
                regions.append((start, len(characters), box))
            box = None
        elif raw.FPDFText_GetCharBox(layer, index, left, right, bottom, top):
            corners = []
            for across, up in ((left, top), (right, bottom)):
                raw.FPDF_PageToDevice(page, 0, 0, width, height, 0, across, up, x, y)
                corners.append((x.value, y.value))
            (x0, y0), (x1, y1) = corners
            here = (min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1)
            if box is None:
                start, box = len(characters), here
            else:
                box = (
                    min(box[0], here[0]),
                    min(box[1], here[1]),
                    max(box[2], here[2]),
                    max(box[3], here[3]),
                )
        characters.append(character)
    if box is not None:
        regions.append((start, len(characters), box))
    return "".join(characters), regions


def main() -> None:
    """Read from standard input, write to standard output."""
    settings = json.loads(sys.argv[1])
    bound(settings["memory"], settings["seconds"])
    try:
        read(sys.stdin.buffer.read(), settings)
    except Failed as failed:
        write({"kind": "failed", "code": failed.code, "message": str(failed)})
    except MemoryError:
        write({"kind": "failed", "code": "damaged"})


if __name__ == "__main__":
    main()
