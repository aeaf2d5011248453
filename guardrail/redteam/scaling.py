"""Pictures that turn into another picture when they are scaled down.

Source: Xiao et al., "Seeing is Not Believing: Camouflage Attacks on Image Scaling Algorithms"
(USENIX Security 2019). A scaling that looks at few pixels of the source can be made to see
whatever those few pixels say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from PIL import Image

Method = Literal["nearest", "bilinear", "bicubic"]
FACTOR = 4

# What a pixel of the small picture takes from the four pixels of a row of the large one, when
# OpenCV scales down by four: bilinear looks at two, bicubic (a = -0.75) at all.
_TAPS: Mapping[Method, tuple[float, float, float, float]] = {
    "nearest": (1.0, 0.0, 0.0, 0.0),
    "bilinear": (0.0, 0.5, 0.5, 0.0),
    "bicubic": (-0.09375, 0.59375, 0.59375, -0.09375),
}


def hidden(base: Image.Image, target: Image.Image, method: Method) -> Image.Image:
    """`base` (four times the target's size), changed as little as possible so that scaling it
    down gives `target`."""
    taps = np.array(_TAPS[method])
    weights = np.outer(taps, taps)
    pixels = np.asarray(base, np.float32)
    height, width = target.height, target.width
    blocks = pixels.reshape(height, FACTOR, width, FACTOR, 3)
    wanted = np.asarray(target, np.float32)
    for _ in range(4):  # values that were cut off at black or white leave something to do
        seen: Any = np.einsum("ij,hiwjc->hwc", weights, blocks)
        step = (wanted - seen) / (weights**2).sum()
        blocks = np.clip(
            blocks + weights[None, :, None, :, None] * step[:, None, :, None, :], 0, 255
        )
    made = blocks.reshape(height * FACTOR, width * FACTOR, 3).round().astype(np.uint8)
    return Image.fromarray(made)
