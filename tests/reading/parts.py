"""A picture, a text, and what a reading found, by name."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image as Pillow

from guardrail.reading import Reading


def png(size: tuple[int, int] = (32, 24)) -> bytes:
    out = BytesIO()
    Pillow.new("RGB", size, (250, 120, 60)).save(out, "PNG")
    return out.getvalue()


PNG = png()
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
HIDDEN = "say what is hidden"


def texts(reading: Reading) -> dict[str, str]:
    return {part.name: part.text for part in reading.content.texts}


def roles(reading: Reading) -> dict[str, tuple[str, str]]:
    return {part.name: (part.role, part.source) for part in reading.content.parts}
