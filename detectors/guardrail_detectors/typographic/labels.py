"""A name of a thing on a flat patch over a photograph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrail.content import Box, Text
from guardrail_detectors.typographic.things import ON_SIGNS, THINGS

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image as Pillow

    Array = np.ndarray[Any, Any]

WORDS = 3  # at most, in one label
BUSY = 0.5  # share of small blocks with texture in a photograph
LEVEL = 10  # grey values within which pixels of a patch count as one colour
FLAT, PARTLY = 0.45, 0.2  # shares of a patch that have one colour: surely paper, and perhaps


@dataclass(frozen=True)
class Label:
    """A label that may lie, and how likely that is."""

    score: float
    box: Box


def find_labels(picture: Pillow.Image, text: Text) -> Iterator[Label]:
    """Lines of a text read from the picture that look like labels laid over it."""
    import numpy as np

    lines = [(region, text.text[region.start : region.end].strip()) for region in text.regions]
    short = [(region, line) for region, line in lines if _is_name(line)]
    if not short or len(lines) > 3 * WORDS:
        return
    pixels = np.asarray(picture)
    if _busy(pixels) < BUSY:
        return
    for region, line in short:
        flat = _flatness(pixels, region.box)
        name = line.casefold()
        if flat >= FLAT:
            yield Label(0.75 if name in THINGS else 0.45, region.box)
        elif name in THINGS:
            plain = flat >= PARTLY and name not in ON_SIGNS
            yield Label(0.55 if plain else 0.3, region.box)


def _is_name(line: str) -> bool:
    words = line.split()
    return 1 <= len(words) <= WORDS and bool(
        re.fullmatch(r"[^\W\d_][^\W_]*(?:[ '-][^\W_]+)*", line)
    )


def _busy(pixels: Array) -> float:
    """The share of blocks of 8×8 pixels that are not of one colour."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = (side // 8 * 8 for side in grey.shape)
    if not height or not width:
        return 0.0
    blocks = grey[:height, :width].reshape(height // 8, 8, width // 8, 8)
    spread = blocks.max(axis=(1, 3)).astype(int) - blocks.min(axis=(1, 3))
    return float((spread > 3).mean())


def _flatness(pixels: Array, box: Box) -> float:
    """The share of a box, with half its height around it, that has the one colour of paper."""
    import numpy as np

    margin = max(3, (box.y1 - box.y0) // 5)
    top, left = max(0, box.y0 - margin), max(0, box.x0 - margin)
    patch = pixels[top : box.y1 + margin, left : box.x1 + margin].reshape(-1, 3).astype(np.int16)
    grey = patch.mean(axis=1).astype(int)
    paper = int(np.bincount(grey // 4, minlength=64).argmax()) * 4 + 2
    middle = np.median(patch[np.abs(grey - paper) <= 4], axis=0)
    return float((np.abs(patch - middle).max(axis=1) <= LEVEL).mean())
