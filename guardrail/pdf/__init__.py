"""Reading PDFs (ISO 32000) page by page: each page as a picture, and the text beneath it.

A file is opened in a process of its own, which is ended when it takes too long or too much
memory: rendering runs foreign code on foreign data.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from guardrail.content import Box, Image, Limits, Part, Region, Role, Text
from guardrail.errors import ContentError, MissingExtra

_RENDERER = Path(__file__).with_name("renderer.py")
_FAILED = {
    "damaged": "it is damaged or not a PDF",
    "encrypted": "it is encrypted",
    "attachment": "it carries a file that is not text, which no check reads",
}


@dataclass(frozen=True)
class PdfLimits:
    """Bounds on one file. Its pages also count as pictures of the call (`limits.max_images`)."""

    max_mb: float = 32.0  # MiB
    max_mpx: float = 4.0  # million pixels of a page as rendered
    max_chars: int = 200_000  # of the text beneath all pages
    dpi: int = 144
    seconds: float = 30.0
    memory_mb: int = 2_048


def is_pdf(data: bytes) -> bool:
    """Whether bytes claim to be a PDF: readers look for the mark in the first kilobyte."""
    return b"%PDF-" in data[:1024]


def read_pdf(
    data: bytes,
    *,
    name: str = "files/0",
    role: Role = "user",
    limits: Limits | None = None,
    pdf_limits: PdfLimits | None = None,
) -> tuple[Part, ...]:
    """The parts of a PDF, page by page.

    A page is an Image (PNG) of source "pdf:page" named `{name}/pages/{n}`, counted from 0, and,
    where there is text beneath it, a Text of source "pdf:text" placed in that picture. Title,
    author and other facts of the file, and text files inside it, are Texts of source
    "pdf:metadata" and "pdf:attachment". Blocks for up to `seconds`. Raises ContentError with the
    code damaged, encrypted, attachment, timeout, too_many_bytes, too_many_pages or too_many_chars,
    and MissingExtra without pypdfium2.
    """
    if find_spec("pypdfium2") is None:
        raise MissingExtra("pypdfium2", "pdf")
    limits, bounds = limits or Limits(), pdf_limits or PdfLimits()
    size = len(data) / 2**20
    if size > bounds.max_mb:
        message = f"{size:.1f} MiB, over the limit of {bounds.max_mb:g}"
        raise ContentError(name, "too_many_bytes", message)
    parts: list[Part] = []
    for found in _rendered(data, name, limits.max_images, bounds):
        head, picture = found
        if head["kind"] != "page":
            parts.append(Text(head["text"], f"{name}#{head['kind']}", role, f"pdf:{head['kind']}"))
            continue
        page = f"{name}/pages/{head['page']}"
        parts.append(Image(picture, page, role, "pdf:page", limits))
        if head["text"].strip():
            parts.append(_text_of(head, page, role))
    return tuple(parts)


def of_pictures(pages: Sequence[Image]) -> bytes:
    """A PDF whose pages are these pictures, with no text beneath: how a changed file is written.

    Raises PictureError for a picture that cannot be opened.
    """
    out = BytesIO()
    first, *others = [page.picture.rgb() for page in pages]
    first.save(out, "PDF", save_all=True, append_images=others, resolution=PdfLimits().dpi)
    return out.getvalue()


def _text_of(head: Mapping[str, Any], page: str, role: Role) -> Text:
    regions = tuple(
        Region(start, end, Box(*box)) for start, end, box in map(tuple, head["regions"])
    )
    return Text(head["text"], f"{page}#pdf", role, "pdf:text", page, regions)


def _rendered(
    data: bytes, name: str, pages: int, bounds: PdfLimits
) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    settings = json.dumps(
        {
            "pages": pages,
            "pixels": bounds.max_mpx * 1e6,
            "chars": bounds.max_chars,
            "scale": bounds.dpi / 72,
            "memory": bounds.memory_mb * 2**20,
            "seconds": int(bounds.seconds) + 1,
        }
    )
    try:
        done = subprocess.run(  # noqa: S603 our own program; the file goes to its standard input
            [sys.executable, "-I", str(_RENDERER), settings],
            input=data,
            capture_output=True,
            timeout=bounds.seconds,
        )
    except subprocess.TimeoutExpired:
        message = f"it could not be rendered in {bounds.seconds:g} s"
        raise ContentError(name, "timeout", message) from None
    out, at, ended = done.stdout, 0, False
    while at + 8 <= len(out):
        head_size = int.from_bytes(out[at : at + 4], "big")
        body_size = int.from_bytes(out[at + 4 : at + 8], "big")
        at += 8
        head = json.loads(out[at : at + head_size])
        body = out[at + head_size : at + head_size + body_size]
        at += head_size + body_size
        if head["kind"] == "end":
            ended = True
        elif head["kind"] == "failed":
            raise ContentError(name, head["code"], _FAILED.get(head["code"]) or head["message"])
        else:
            yield head, body
    if not ended:
        raise ContentError(name, "damaged", "it cannot be rendered")
