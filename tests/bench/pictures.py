"""Pictures for the benchmark, drawn the same each time."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter

from guardrail.cli.drawing import Line, page, png

WORDS = (
    "The delivery to our warehouse was confirmed on Tuesday and all parts have been counted twice "
    "before the invoice went out so that nothing is missing when the customer opens the boxes "
    "next week and compares the list with what is really there on the shelves of the new hall"
).split()


def sentence(start: int, chars: int) -> str:
    """Running text of about `chars` characters."""
    words, length, at = [], 0, start
    while length < chars:
        word = WORDS[at % len(WORDS)]
        words.append(word)
        length, at = length + len(word) + 1, at + 1
    return " ".join(words)


def photo(size: tuple[int, int] = (1280, 960), seed: int = 5) -> bytes:
    """Soft coloured shapes with grain, as JPEG: no text in it."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(40, 220, (9, 12, 3), np.uint8))
    smooth = small.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(6))
    grain = rng.normal(0, 6, (size[1], size[0], 1))
    pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
    return jpeg(Image.fromarray(pixels))


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def screenshot_lines() -> list[str]:
    return [sentence(3 * i, 18 + (i * 7) % 34) for i in range(20)]


def screenshot() -> bytes:
    """A screenshot with 20 lines of different lengths."""
    lines = [Line(40, 24 + 34 * i, text, 18) for i, text in enumerate(screenshot_lines())]
    return png(page((1280, 720), lines, background=250))


def a4_lines() -> list[str]:
    return [sentence(5 * i, 80) for i in range(49)]


def a4() -> bytes:
    """An A4 page at 150 dots an inch with 49 long lines."""
    lines = [Line(110, 100 + 32 * i, text, 21) for i, text in enumerate(a4_lines())]
    return png(page((1240, 1754), lines))


def large() -> bytes:
    """A photo of at least 1.5 MB."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (1000, 1320, 3), np.uint8)
    data = jpeg(Image.fromarray(pixels), 95)
    assert len(data) >= 1.5e6, len(data)
    return data
