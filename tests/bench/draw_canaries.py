"""Draws the pictures in guardrail/canaries: python -m tests.bench.draw_canaries"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zxingcpp
from PIL import Image

import guardrail.canaries
from guardrail.canaries import TEXT
from guardrail.cli.drawing import Line, page, png

# Soft blobs (place, size, turn, colour), found by climbing the score of open_nsfw from random
# ones; the first gives the ground. Nothing is shown in them.
BLOBS = (
    (0.352, 0.830, 0.604, 0.595, 0.204, 0.747, 0.616, 0.397),
    (0.487, 0.466, 1.000, 0.933, 0.590, 0.967, 0.669, 0.515),
    (0.176, 1.000, 0.700, 0.341, 0.684, 0.702, 0.642, 0.481),
    (0.704, 0.942, 0.563, 0.107, 0.151, 0.563, 0.476, 0.727),
    (0.412, 1.000, 0.374, 0.263, 0.312, 0.936, 0.683, 0.679),
    (0.105, 0.142, 0.416, 0.355, 0.660, 0.832, 0.339, 0.261),
    (0.936, 0.765, 0.479, 1.000, 0.275, 0.920, 0.672, 0.429),
    (0.211, 0.071, 0.383, 0.119, 0.372, 0.886, 0.903, 0.424),
    (0.187, 0.131, 0.112, 0.700, 0.132, 1.000, 0.749, 0.567),
    (0.856, 0.507, 0.817, 1.000, 0.220, 0.890, 0.605, 0.510),
)


def blobs(side: int = 224) -> Image.Image:
    """The picture that open_nsfw takes for explicit."""
    y, x = np.mgrid[0:side, 0:side] / side
    ground, *rest = BLOBS
    canvas = np.zeros((side, side, 3)) + ground[5:]
    for left, top, wide, high, turn, *colour in rest:
        cos, sin = np.cos(turn * 6.28), np.sin(turn * 6.28)
        along = ((x - left) * cos + (y - top) * sin) / (0.05 + 0.4 * wide)
        across = ((y - top) * cos - (x - left) * sin) / (0.05 + 0.4 * high)
        inside = 1 / (1 + np.exp(12 * (np.hypot(along, across) - 1)))[..., None]
        canvas = canvas * (1 - inside) + inside * colour
    return Image.fromarray(np.clip(canvas * 255, 0, 255).astype(np.uint8))


def main() -> None:
    folder = Path(guardrail.canaries.__path__[0])
    words = TEXT.split()
    half = len(words) // 2
    lines = [Line(30, 40, " ".join(words[:half])), Line(30, 80, " ".join(words[half:]))]
    (folder / "page.png").write_bytes(png(page((640, 140), lines)))
    card = [Line(30, 40, "GUARDRAIL-TEST"), Line(30, 80, "Card: 4111 1111 1111 1111")]
    (folder / "card.png").write_bytes(png(page((420, 140), card)))
    code = zxingcpp.create_barcode(TEXT, zxingcpp.BarcodeFormat.QRCode).to_image(scale=6)
    (folder / "qr.png").write_bytes(png(Image.fromarray(np.array(code))))
    (folder / "nsfw.png").write_bytes(png(blobs()))


if __name__ == "__main__":
    main()
