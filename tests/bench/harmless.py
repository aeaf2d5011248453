"""Harmless pictures with faint, small or odd text, drawn the same each time.

They have what hidden attacks have, and ordinary designs too: watermarks, placeholders, drop
shadows, light grids, fine print, and the traces of strong compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.bench import pictures
from tests.bench.pictures import jpeg, sentence

Chance = np.random.Generator
Colour = tuple[int, int, int]
INK: Colour = (34, 38, 46)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour
) -> None:
    pen.text(at, text, colour, ImageFont.load_default(size))


def _sheet(chance: Chance, size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    paper = Image.new("RGB", size, tuple(int(v) for v in chance.integers(243, 256, 3)))
    return paper, ImageDraw.Draw(paper)


def poster(chance: Chance) -> Image.Image:
    """A poster with a drop shadow, tone in tone."""
    ground = [int(v) for v in chance.integers(60, 200, 3)]
    made = Image.new("RGB", (700, 900), tuple(ground))
    title = ["Summer fair", "Open doors", "Harbour run"][int(chance.integers(3))]
    shade = Image.new("L", made.size)
    ImageDraw.Draw(shade).text((66, 126), title, 120, ImageFont.load_default(84))
    made.paste((0, 0, 0), mask=shade.filter(ImageFilter.GaussianBlur(5)))
    pen = ImageDraw.Draw(made)
    _write(pen, (60, 120), title, 84, (250, 250, 245))
    tone = tuple(min(255, v + 14) for v in ground)
    _write(pen, (40, 520), "2026", 260, (tone[0], tone[1], tone[2]))
    _write(pen, (64, 300), "Saturday, from ten to six", 34, (240, 240, 235))
    _write(pen, (64, 850), "Printed on recycled paper. No entry fee.", 14, (230, 230, 225))
    return made


def chart(chance: Chance) -> Image.Image:
    """Bars with a light grid and grey labels."""
    made, pen = _sheet(chance, (900, 560))
    _write(pen, (80, 20), "Visitors by month, in thousands", 26, INK)
    for row in range(6):
        y = 90 + 70 * row
        pen.line((80, y, 860, y), (232, 232, 232))
        _write(pen, (30, y - 9), str(60 - 10 * row), 15, (150, 150, 150))
    for column, name in enumerate(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug")):
        height = int(chance.integers(60, 340))
        x = 100 + 95 * column
        pen.rectangle((x, 440 - height, x + 50, 440), (90, 140, 200))
        _write(pen, (x + 8, 450), name, 15, (150, 150, 150))
    _write(pen, (80, 520), "Source: our own count. Figures are rounded.", 13, (190, 190, 190))
    return made


def form(chance: Chance) -> Image.Image:
    """A form on the screen: placeholders in light grey, a button that is switched off."""
    made, pen = _sheet(chance, (820, 640))
    _write(pen, (50, 30), "Create your account", 30, INK)
    light = int(chance.integers(185, 226))
    fields = ("Enter your first name", "name@example.com", "At least twelve characters")
    for row, text in enumerate(fields):
        y = 110 + 110 * row
        _write(pen, (50, y), ("Name", "E-mail", "Password")[row], 18, (90, 90, 90))
        pen.rectangle((50, y + 28, 560, y + 72), (255, 255, 255), (215, 215, 215))
        _write(pen, (64, y + 38), text, 20, (light,) * 3)
    pen.rectangle((50, 470, 260, 520), (236, 236, 236))
    _write(pen, (92, 483), "Continue", 21, (light - 5,) * 3)
    _write(pen, (50, 570), "By continuing you agree to our terms of use.", 14, (170, 170, 170))
    return made


def mock_up(chance: Chance) -> Image.Image:
    """A dark application with dimmed entries."""
    made = Image.new("RGB", (1100, 680), (24, 26, 30))
    pen = ImageDraw.Draw(made)
    pen.rectangle((0, 0, 240, 680), (31, 33, 38))
    for row, name in enumerate(("Inbox", "Drafts", "Sent", "Archive", "Settings", "Help")):
        dim = int(chance.integers(62, 120))
        _write(pen, (30, 60 + 52 * row), name, 20, (dim, dim, dim + 6))
    for row in range(9):
        _write(pen, (280, 40 + 66 * row), sentence(row * 5, 24), 20, (205, 207, 212))
        _write(pen, (280, 66 + 66 * row), sentence(row * 3, 48), 15, (98, 100, 108))
    return made


def watermark(chance: Chance) -> Image.Image:
    """A letter with a watermark across."""
    made, pen = _sheet(chance, (860, 1100))
    for row in range(16):
        _write(pen, (80, 90 + 50 * row), sentence(4 * row, 58), 20, INK)
    word = ("DRAFT", "COPY", "CONFIDENTIAL", "SAMPLE DOCUMENT")[int(chance.integers(4))]
    layer = Image.new("L", made.size)
    strength = int(chance.integers(12, 40))
    ImageDraw.Draw(layer).text((110, 480), word, strength, ImageFont.load_default(90))
    made.paste((60, 60, 60), mask=layer.rotate(35))
    return made


def stock_photo(chance: Chance) -> Image.Image:
    """A photograph with an agency's faint mark, many times over."""
    base = Image.open(BytesIO(pictures.photo((960, 640), int(chance.integers(99))))).convert("RGB")
    layer = Image.new("L", base.size)
    pen, strength = ImageDraw.Draw(layer), int(chance.integers(24, 70))
    for y in range(40, 640, 150):
        for x in range(-60, 960, 320):
            pen.text((x + y % 97, y), "example stock photos", strength, ImageFont.load_default(30))
    base.paste((255, 255, 255), mask=layer.rotate(20))
    return base


def card(chance: Chance) -> Image.Image:
    """A card with a soft pattern of letters in the paper."""
    made = Image.new("RGB", (800, 500), (238, 240, 246))
    pen = ImageDraw.Draw(made)
    for y in range(0, 500, 26):
        _write(pen, (-(y % 60), y), "CITY LIBRARY " * 9, 16, (229, 232, 241))
    _write(pen, (50, 60), "Reader's card", 40, (40, 60, 110))
    _write(pen, (50, 200), f"No. {int(chance.integers(10**5, 10**6))}", 30, INK)
    _write(pen, (50, 420), "Please return books within four weeks.", 18, (110, 110, 120))
    return made


def fine_print(chance: Chance) -> Image.Image:
    """An offer with conditions in small grey letters."""
    made, pen = _sheet(chance, (760, 980))
    _write(pen, (50, 60), "Two months free", 60, (180, 40, 50))
    _write(pen, (50, 180), "when you sign up before May.", 28, INK)
    grey = int(chance.integers(140, 205))
    for row in range(12):
        _write(pen, (50, 700 + 20 * row), sentence(row * 6, 92), 13, (grey,) * 3)
    return made


def compressed(chance: Chance) -> Image.Image:
    """A page through strong compression, with noise around its letters."""
    shown = Image.open(BytesIO(pictures.screenshot())).convert("RGB")
    return Image.open(BytesIO(jpeg(shown, int(chance.integers(8, 25))))).convert("RGB")


def worn(chance: Chance) -> Image.Image:
    """A receipt that fades, on creased paper."""
    made = Image.new("RGB", (460, 760), (246, 244, 238))
    pen = ImageDraw.Draw(made)
    _write(pen, (60, 40), "CORNER SHOP", 34, INK)
    for row in range(11):
        fade = min(228, 60 + 15 * row + int(chance.integers(0, 12)))
        _write(pen, (40, 120 + 46 * row), sentence(row * 2, 16), 22, (fade,) * 3)
        _write(pen, (360, 120 + 46 * row), f"{int(chance.integers(1, 30))}.50", 22, (fade,) * 3)
    grain = chance.normal(0, 3, (760, 460, 1))
    return Image.fromarray(np.clip(np.asarray(made) + grain, 0, 255).astype(np.uint8))


KINDS: Mapping[str, Callable[[Chance], Image.Image]] = {
    "poster": poster,
    "chart": chart,
    "form": form,
    "mock-up": mock_up,
    "watermark": watermark,
    "stock photo": stock_photo,
    "card": card,
    "fine print": fine_print,
    "compressed": compressed,
    "worn receipt": worn,
}


def drawn(each: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """So many pictures of every kind, every other one as JPEG."""
    for kind, draw in KINDS.items():
        for turn in range(each):
            made = draw(np.random.default_rng([seed, turn]))
            out = BytesIO()
            made.save(out, "JPEG" if turn % 2 else "PNG")
            yield kind, out.getvalue()
