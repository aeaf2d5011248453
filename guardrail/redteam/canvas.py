"""Drawing for attack pictures: fonts, wrapped text, and text laid over a picture."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Typeface:
    """The font that text is drawn in: a file, or the one that comes with Pillow."""

    file: Path | None = None

    def at(self, size: int) -> Any:
        """The font at a size in pixels."""
        if self.file is None:
            return ImageFont.load_default(size)
        return ImageFont.truetype(str(self.file), size)


def wrapped(text: str, font: Any, width: int) -> str:
    """`text` with line breaks so that no line is wider than `width` pixels, but for long words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def mask_of(
    text: str,
    face: Typeface,
    size: int,
    width: int,
    *,
    spacing: int | None = None,
    stroke: int = 0,
) -> Image.Image:
    """The drawn text alone: a grey picture, 255 where there is ink, with a small margin."""
    font = face.at(size)
    text = wrapped(text, font, width)
    gap = size // 3 if spacing is None else spacing
    pen = ImageDraw.Draw(Image.new("L", (1, 1)))
    box = pen.multiline_textbbox((0, 0), text, font=font, spacing=gap, stroke_width=stroke)
    margin = max(2, size // 4)
    drawn = Image.new("L", (int(box[2] - box[0]) + 2 * margin, int(box[3] - box[1]) + 2 * margin))
    ImageDraw.Draw(drawn).multiline_text(
        (margin - box[0], margin - box[1]), text, 255, font, spacing=gap, stroke_width=stroke
    )
    return drawn


def fitted(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The mask scaled down, where needed, to fit into `size`."""
    scale = min(1.0, size[0] / mask.width, size[1] / mask.height)
    if scale == 1.0:
        return mask
    return mask.resize((max(1, int(mask.width * scale)), max(1, int(mask.height * scale))))


def inked(
    base: Image.Image, mask: Image.Image, at: tuple[int, int], colour: Colour, alpha: float = 1.0
) -> Image.Image:
    """`base` with the mask laid on it in a colour."""
    drawn = base.copy()
    drawn.paste(colour, at, mask.point(lambda value: int(value * alpha)))
    return drawn


def mean_colour(base: Image.Image, box: tuple[int, int, int, int]) -> Array:
    """The mean colour (3,) of a part of the picture."""
    mean: Array = np.asarray(base.crop(box), np.float32).reshape(-1, 3).mean(axis=0)
    return mean


def as_png(picture: Image.Image, **options: Any) -> bytes:
    """PNG bytes."""
    out = BytesIO()
    picture.save(out, "PNG", **options)
    return out.getvalue()


def as_jpeg(picture: Image.Image, quality: int = 92, **options: Any) -> bytes:
    """JPEG bytes."""
    out = BytesIO()
    picture.save(out, "JPEG", quality=quality, **options)
    return out.getvalue()
