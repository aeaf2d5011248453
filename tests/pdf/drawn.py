"""PDFs for tests, written by pdfium itself."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class Line:
    """A line of text on a page, in points from the lower left."""

    text: str
    at: tuple[float, float] = (72, 700)
    size: float = 20
    colour: tuple[int, int, int] = BLACK


def pdf(*pages: Sequence[Line], attached: bytes | None = None) -> bytes:
    """A PDF of A4 pages."""
    document = pdfium.PdfDocument.new()
    font = raw.FPDFText_LoadStandardFont(document, b"Helvetica")
    for lines in pages:
        page = document.new_page(595, 842)
        for line in lines:
            made = raw.FPDFPageObj_CreateTextObj(document, font, line.size)
            encoded = (line.text + "\0").encode("utf-16-le")
            raw.FPDFText_SetText(made, ctypes.cast(encoded, ctypes.POINTER(ctypes.c_ushort)))
            raw.FPDFPageObj_SetFillColor(made, *line.colour, 255)
            raw.FPDFPageObj_Transform(made, 1, 0, 0, 1, *line.at)
            raw.FPDFPage_InsertObject(page, made)
        page.gen_content()
    if attached is not None:
        document.new_attachment("more.bin").set_data(attached)
    out = BytesIO()
    document.save(out)
    return out.getvalue()


def scanned(text: str) -> bytes:
    """A PDF whose page is a picture of text."""
    page = Pillow.new("RGB", (1190, 1684), "white")
    ImageDraw.Draw(page).text((140, 200), text, "black", ImageFont.load_default(40))
    out = BytesIO()
    page.save(out, "PDF", resolution=144)
    return out.getvalue()
