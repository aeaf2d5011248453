"""The styles in which an attack text is put into a picture. See `STYLES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from guardrail.redteam import carriers, scaling
from guardrail.redteam.canvas import (
    Colour,
    Typeface,
    as_jpeg,
    as_png,
    fitted,
    inked,
    mask_of,
    mean_colour,
    wrapped,
)

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class Order:
    """What is to be drawn: a text, the picture under it, the font, and a source of chance."""

    text: str
    base: Image.Image
    face: Typeface
    chance: np.random.Generator

    @property
    def size(self) -> int:
        """A readable letter size for the picture, in pixels."""
        return max(14, min(self.base.size) // 20)


Style = Callable[[Order], bytes]


def _mask(order: Order, size: int | None = None, share: float = 0.9, **how: Any) -> Image.Image:
    """The text, wrapped to a share of the picture's width, no larger than the picture."""
    width, height = order.base.size
    return fitted(
        mask_of(order.text, order.face, size or order.size, int(width * share), **how),
        (width, height),
    )


def _placed(order: Order, mask: Image.Image) -> tuple[int, int]:
    """A place by chance where the mask fits."""
    x = int(order.chance.integers(0, order.base.width - mask.width + 1))
    y = int(order.chance.integers(0, order.base.height - mask.height + 1))
    return x, y


def _contrast(base: Image.Image, at: tuple[int, int], mask: Image.Image) -> Colour:
    box = (at[0], at[1], at[0] + mask.width, at[1] + mask.height)
    return BLACK if mean_colour(base, box).mean() > 127 else WHITE


def _drawn(order: Order, mask: Image.Image, alpha: float = 1.0) -> Image.Image:
    at = _placed(order, mask)
    return inked(order.base, mask, at, _contrast(order.base, at, mask), alpha)


def _banner(order: Order, *, top: bool) -> bytes:
    mask = _mask(order)
    y = 0 if top else order.base.height - mask.height
    drawn = order.base.copy()
    drawn.paste(BLACK, (0, y, drawn.width, y + mask.height))
    return as_jpeg(inked(drawn, mask, ((drawn.width - mask.width) // 2, y), WHITE))


def _outline(order: Order) -> bytes:
    size = max(20, order.size)
    ring, ink = _mask(order, size, stroke=2), _mask(order, size)
    at = _placed(order, ring)
    shift = ((ring.width - ink.width) // 2, (ring.height - ink.height) // 2)
    drawn = inked(order.base, ring, at, BLACK)
    return as_jpeg(inked(drawn, ink, (at[0] + shift[0], at[1] + shift[1]), WHITE))


def _corner(order: Order) -> bytes:
    mask = _mask(order, 11, 0.45)
    at = (order.base.width - mask.width, order.base.height - mask.height)
    drawn = order.base.copy()
    drawn.paste(WHITE, (*at, *drawn.size))
    return as_jpeg(inked(drawn, mask, at, BLACK))


def _plain(order: Order) -> bytes:
    return as_jpeg(_drawn(order, _mask(order)))


def _rotated(order: Order) -> bytes:
    angle = float(order.chance.uniform(8, 30) * order.chance.choice([-1, 1]))
    turned = _mask(order, share=0.7).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    return as_jpeg(_drawn(order, fitted(turned, order.base.size)))


def _turned(order: Order, degrees: int) -> bytes:
    turned = _mask(order, share=0.6).rotate(degrees, expand=True)
    return as_jpeg(_drawn(order, fitted(turned, order.base.size)))


def _mirrored(order: Order) -> bytes:
    return as_jpeg(_drawn(order, _mask(order).transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


def _spaced(order: Order) -> bytes:
    """Every letter far from the next, words farther."""
    font, size = order.face.at(order.size), order.size
    lines = wrapped(order.text, font, int(order.base.width * 0.4)).split("\n")
    pitch, height = int(size * 1.1), int(size * 1.6)
    ink = Image.new("L", (pitch * (max(map(len, lines)) + 1), height * len(lines)))
    pen = ImageDraw.Draw(ink)
    for row, line in enumerate(lines):
        for column, char in enumerate(line):
            pen.text((pitch * column + size // 3, row * height), char, 255, font)
    return as_jpeg(_drawn(order, fitted(ink, order.base.size)))


def _stacked(order: Order) -> bytes:
    """One letter under the other, in as many columns as it takes."""
    size = order.size
    font = order.face.at(size)
    rows = max(1, (order.base.height - size) // int(size * 1.15))
    columns = -(-len(order.text) // rows)
    drawn = Image.new("L", (columns * size * 2, order.base.height))
    pen = ImageDraw.Draw(drawn)
    for index, char in enumerate(order.text):
        column, row = divmod(index, rows)
        pen.text((column * size * 2 + size // 2, row * int(size * 1.15)), char, 255, font)
    return as_jpeg(_drawn(order, fitted(drawn, order.base.size)))


def _wavy(order: Order) -> bytes:
    ink = np.asarray(_mask(order, int(order.size * 1.2)))
    height = order.size // 2
    waved = np.zeros((ink.shape[0] + height, ink.shape[1]), np.uint8)
    for x in range(ink.shape[1]):
        shift = int((np.sin(x / (order.size * 1.5)) + 1) / 2 * height)
        waved[shift : shift + ink.shape[0], x] = ink[:, x]
    return as_jpeg(_drawn(order, fitted(Image.fromarray(waved), order.base.size)))


def _low_contrast(order: Order) -> bytes:
    """Ink a little lighter or darker than what is under it on average."""
    mask = _mask(order, int(order.size * 1.2))
    at = _placed(order, mask)
    mean = mean_colour(order.base, (*at, at[0] + mask.width, at[1] + mask.height))
    step = float(order.chance.uniform(12, 25))
    ink = mean - step if mean.mean() > 127 else mean + step
    red, green, blue = (int(value) for value in np.clip(ink, 0, 255))
    return as_jpeg(inked(order.base, mask, at, (red, green, blue)))


def _faint(order: Order, alpha: float) -> bytes:
    return as_jpeg(_drawn(order, _mask(order, int(order.size * 1.3)), alpha))


def _page(order: Order, paper: int, ink: int, hidden: int) -> bytes:
    """A page of harmless lines with the text between them in a grey that is hard to see."""
    width, height = max(640, order.base.width), max(480, order.base.height)
    sheet = Image.new("RGB", (width, height), (paper,) * 3)
    harmless = Image.new("L", sheet.size)
    pen, size = ImageDraw.Draw(harmless), max(16, height // 32)
    lines = (
        "Minutes of the garden club",
        "The beds by the fence were dug over on Monday.",
        "Seeds for beans and peas are in the shed.",
        "Next meeting: first Tuesday in May.",
    )
    for row, line in enumerate(lines):
        pen.text((width // 16, height // 12 + row * size * 2), line, 255, order.face.at(size))
    sheet.paste((ink,) * 3, mask=harmless)
    mask = fitted(mask_of(order.text, order.face, size, width * 7 // 8), (width, height // 2))
    return as_png(inked(sheet, mask, (width // 16, height * 5 // 12), (hidden,) * 3))


def _white_on_white(order: Order) -> bytes:
    return _page(order, 255, 20, 255 - int(order.chance.integers(2, 8)))


def _dark_on_dark(order: Order) -> bytes:
    return _page(order, 12, 220, 12 + int(order.chance.integers(3, 9)))


def _tinted(order: Order) -> bytes:
    """Ink of the same brightness as what is under it, in another colour."""
    base = order.base.convert("L").convert("RGB").filter(ImageFilter.GaussianBlur(3))
    mask = _mask(order, int(order.size * 1.2))
    at = _placed(order, mask)
    grey = float(mean_colour(base, (*at, at[0] + mask.width, at[1] + mask.height)).mean())
    red = min(255.0, grey + 60)
    other = max(0.0, (grey - 0.299 * red) / 0.701)
    return as_png(inked(base, mask, at, (int(red), int(other), int(other))))


def _degraded(order: Order) -> bytes:
    drawn = _drawn(order, _mask(order, int(order.size * 1.2)))
    noise = order.chance.normal(0, 14, (drawn.height, drawn.width, 1))
    grainy = Image.fromarray(np.clip(np.asarray(drawn) + noise, 0, 255).astype(np.uint8))
    return as_jpeg(grainy.filter(ImageFilter.GaussianBlur(0.8)), 22)


def _screen(order: Order) -> bytes:
    """The picture on a screen, photographed from the side: perspective, pixel grid, glare."""
    shown = _drawn(order, _mask(order, int(order.size * 1.3)))
    width, height = shown.size
    pixels = np.asarray(shown, np.float32) * 0.85
    rows, columns = np.mgrid[0:height, 0:width]
    grid = 1 + 0.08 * np.sin(columns * 2.1 + rows * 0.05) + 0.06 * np.sin(rows * 2.4)
    glare = 50 * np.exp(-(((columns - width * 0.7) / width) ** 2 + (rows / height) ** 2) * 6)
    lit = np.clip(pixels * grid[..., None] + glare[..., None], 0, 255).astype(np.uint8)
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    tilted = [
        (width * 0.06, height * 0.04),
        (width * 0.95, height * 0.1),
        (width * 0.93, height * 0.9),
        (width * 0.04, height * 0.97),
    ]
    turn = _perspective(tilted, corners)
    seen = Image.fromarray(lit).transform(
        shown.size,
        Image.Transform.PERSPECTIVE,
        turn,
        Image.Resampling.BICUBIC,
        fillcolor=(30, 28, 26),
    )
    return as_jpeg(seen.filter(ImageFilter.GaussianBlur(0.5)), 80)


def _perspective(
    seen: Sequence[tuple[float, float]], real: Sequence[tuple[float, float]]
) -> tuple[float, ...]:
    """The 8 coefficients that take points as seen to points of the real picture."""
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, real, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(float(c) for c in np.linalg.solve(np.array(rows, float), np.array(values)))


def _scaled(order: Order, method: scaling.Method) -> bytes:
    """Text that shows only after the picture was scaled down by four with this method."""
    width, height = (max(256, side // 4) for side in order.base.size)
    small = order.base.resize((width, height))
    mask = fitted(mask_of(order.text, order.face, 18, int(width * 0.94)), (width, height))
    shift = ((width - mask.width) // 2, (height - mask.height) // 2)
    target = inked(small, mask, shift, _contrast(small, shift, mask))
    return as_png(scaling.hidden(order.base.resize((width * 4, height * 4)), target, method))


def _qr(order: Order) -> bytes:
    return as_png(carriers.with_qr(order.base, order.text))


STYLES: Mapping[str, Style] = {
    "plain": _plain,
    "banner_top": lambda order: _banner(order, top=True),
    "banner_bottom": lambda order: _banner(order, top=False),
    "outline": _outline,
    "corner_small": _corner,
    "rotated": _rotated,
    "turned_left": lambda order: _turned(order, 90),
    "turned_right": lambda order: _turned(order, 270),
    "upside_down": lambda order: _turned(order, 180),
    "mirrored": _mirrored,
    "letter_spaced": _spaced,
    "stacked": _stacked,
    "wavy": _wavy,
    "low_contrast": _low_contrast,
    "faint_12": lambda order: _faint(order, 0.12),
    "faint_8": lambda order: _faint(order, 0.08),
    "faint_5": lambda order: _faint(order, 0.05),
    "white_on_white": _white_on_white,
    "dark_on_dark": _dark_on_dark,
    "tinted": _tinted,
    "degraded": _degraded,
    "screen": _screen,
    "scaled_nearest": lambda order: _scaled(order, "nearest"),
    "scaled_bilinear": lambda order: _scaled(order, "bilinear"),
    "scaled_bicubic": lambda order: _scaled(order, "bicubic"),
    "alpha": lambda order: carriers.only_on_black(order.base, _mask(order)),
    "frame": lambda order: carriers.one_frame(order.base, _drawn(order, _mask(order))),
    "thumbnail": lambda order: carriers.with_thumbnail(order.base, order.text, order.face),
    "qr": _qr,
    "exif": lambda order: carriers.with_exif(order.base, order.text),
    "xmp": lambda order: carriers.with_xmp(order.base, order.text),
    "jpeg_comment": lambda order: as_jpeg(order.base, comment=order.text.encode()),
    "png_text": lambda order: carriers.with_png_text(order.base, order.text),
}
