"""Text that shows only after the model has scaled the picture down.

Source: Xiao et al., "Seeing is Not Believing: Camouflage Attacks on Image Scaling Algorithms"
(USENIX Security 2019). A scaling that looks at few pixels of the source can be made to show what
those few say. An area mean looks at all of them. Where the few differ from the mean in more than
grain, and their neighbours do not, the picture was made for the purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from guardrail.content import Box, Image, Text
from guardrail.detector import Extractor, Spec
from guardrail_detectors.ocr.once import EngineName, Reader
from guardrail_detectors.ocr.page import Line, as_text, is_known
from guardrail_detectors.ocr.reading import read_picture

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Method = Literal["nearest", "centre", "bilinear", "bicubic"]

SIDES = (224, 336, 448, 512, 768, 1024)  # at which common models look
FACTORS = (2, 3, 4, 5, 6, 8)
LEAST_FACTOR = 2.0  # weaker scalings look at so many pixels that little can be hidden
LARGEST = 1600  # pixels of the longer side beyond which no model looks
STRONG = (12, 24)  # grey values by which a blurred difference is more than grain
EXCESS = 0.03  # share of the picture in which it is so, and not where neighbours are looked at
EXCESS_NEAREST = 0.055  # the same for nearest neighbour, in which fine print jitters by itself
TIMES = 1.8  # so much more often than there
WORDY = 12  # new letters from which all lines are given, so that none lacks its rest
MOST = 3  # scaled pictures that are read


def scaled(
    *,
    sides: list[int] | None = None,
    engine: EngineName = "rapidocr",
    max_side: int = 960,
    min_confidence: float = 0.5,
    threads: int = 1,
) -> Extractor:
    """Reads the picture as a model sees it that scales it down without care.

    sides: the sides in pixels to which models scale; by default those of common ones. Scaling
        both sides, the longer and the shorter to each of them, and down by whole factors, is
        tried with nearest-neighbour, bilinear and bicubic sampling. Only pictures that come out
        other than by an area mean are read.

    The other arguments are those of `ocr`.
    """
    reader = Reader(engine, max_side, min_confidence, threads)
    wanted = tuple(sides or SIDES)
    if not all(32 <= side <= 4096 for side in wanted):
        raise ValueError("sides: each from 32 to 4096")

    def run(image: Image) -> list[Text]:
        import cv2
        import numpy as np

        picture = image.picture.rgb()
        pixels = np.asarray(picture)
        # Dark red is dark in luma: each channel counts the same here.
        grey = cv2.transform(pixels, np.full((1, 3), 1 / 3, np.float32))
        suspects = sorted(_suspects(grey, wanted), key=lambda suspect: -suspect.excess)
        plain = reader.sure(reader.plain(image, 0)) if suspects else []
        lines: list[Line] = []
        for suspect in suspects[:MOST]:
            if lines:
                break
            seen = _scaled(pixels, suspect.size, suspect.method)
            read = reader.sure(list(read_picture(_pillow(seen), reader.load(), reader.max_side)))
            ratio = (picture.width / suspect.size[0], picture.height / suspect.size[1])
            seen_lines = [_moved(line, ratio) for line in read]
            new = [line for line in seen_lines if not is_known(line, plain)]
            lines = seen_lines if _letters(new) >= WORDY else new
        return as_text(image, lines, "scaled")

    spec = Spec(name="scaled", version="3", reads=frozenset({"image"}), model=reader.model)
    return Extractor(spec, run, reader.load)


@dataclass(frozen=True)
class _Suspect:
    size: tuple[int, int]
    method: Method
    excess: float


def _suspects(grey: Array, sides: tuple[int, ...]) -> Iterator[_Suspect]:
    """The scalings that show another picture than the area mean does.

    Fine print differs from its mean, too, but wherever it is looked at: so each sampling is held
    against one that looks half a pixel of the small picture beside it. A rough mean, which costs
    little, says where an exact one is needed.
    """
    import cv2

    height, width = grey.shape
    halves = [grey]
    for size in _sizes(width, height, sides):
        while halves[-1].shape[1] >= 2 * size[0] and halves[-1].shape[0] >= 2 * size[1]:
            half = halves[-1].shape[1] // 2, halves[-1].shape[0] // 2
            halves.append(cv2.resize(halves[-1], half, interpolation=cv2.INTER_AREA))
        source = next(
            h for h in reversed(halves) if h.shape[1] >= size[0] and h.shape[0] >= size[1]
        )
        rough = cv2.resize(source, size, interpolation=cv2.INTER_LINEAR)
        if any(_against(rough, grey, size)):
            yield from _against(cv2.resize(source, size, interpolation=cv2.INTER_AREA), grey, size)


def _against(mean: Array, grey: Array, size: tuple[int, int]) -> Iterator[_Suspect]:
    """The scalings to a size that show another picture than its mean."""
    import cv2
    import numpy as np

    height, width = grey.shape
    level = cv2.blur(mean, (3, 3))
    beside = cv2.blur(level, (2, 2), anchor=(1, 1))
    corner = _shares(_scaled(grey, size, "nearest"), beside)
    middle = _shares(_scaled(grey, size, "centre"), level)
    yield from _judged(size, "nearest", corner, middle)
    yield from _judged(size, "centre", middle, corner)
    methods: tuple[Method, ...] = ("bilinear", "bicubic")
    for method in methods:
        between = _shares(_scaled(grey, size, method), level)
        if max(between) >= EXCESS:
            half = (-(height // size[1] // 2 or 1), -(width // size[0] // 2 or 1))
            moved = _scaled(np.roll(grey, half, axis=(0, 1)), size, method)
            other = _shares(moved, cv2.blur(level, (2, 2), anchor=(0, 0)))
            yield from _judged(size, method, between, other)


Shares = tuple[float, ...]


def _shares(picture: Array, level: Array) -> Shares:
    """The shares of pixels that differ strongly from a level, grain apart, by `STRONG`."""
    import cv2

    away = cv2.absdiff(cv2.blur(picture, (3, 3)), level)
    return tuple(
        cv2.countNonZero(cv2.compare(away, strong, cv2.CMP_GT)) / away.size for strong in STRONG
    )


def _judged(size: tuple[int, int], method: Method, here: Shares, beside: Shares) -> list[_Suspect]:
    pairs = zip(here, beside, strict=True)
    excess = max((a - b for a, b in pairs if a >= TIMES * b), default=0.0)
    least = EXCESS_NEAREST if method == "nearest" else EXCESS
    return [_Suspect(size, method, excess)] if excess >= least else []


def _sizes(width: int, height: int, sides: tuple[int, ...]) -> list[tuple[int, int]]:
    """What a picture may be scaled down to, each size once, the largest first."""
    sizes = set()
    for side in sides:
        sizes.add((side, side))
        for scale in (side / max(width, height), side / min(width, height)):
            sizes.add((round(width * scale), round(height * scale)))
    for factor in FACTORS:
        sizes.add((width // factor, height // factor))
    least = min(sides) // 2
    return sorted(
        (
            (w, h)
            for w, h in sizes
            if min(w, h) >= least
            and max(w, h) <= LARGEST
            and min(width / w, height / h) >= LEAST_FACTOR
        ),
        key=lambda size: -size[0] * size[1],
    )


def _scaled(pixels: Array, size: tuple[int, int], method: Method) -> Array:
    """Scaled as OpenCV does, which looks at few pixels; "centre" is Pillow's nearest neighbour."""
    import cv2
    import numpy as np

    if method == "centre":
        rows = ((np.arange(size[1]) + 0.5) * pixels.shape[0] / size[1]).astype(int)
        columns = ((np.arange(size[0]) + 0.5) * pixels.shape[1] / size[0]).astype(int)
        picked: Array = pixels[rows][:, columns]
        return picked
    how = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    made: Array = cv2.resize(pixels, size, interpolation=how[method])
    return made


def _pillow(pixels: Array) -> Any:
    from PIL import Image as Pillow

    return Pillow.fromarray(pixels)


def _letters(lines: list[Line]) -> int:
    return sum(char.isalpha() for line in lines for char in line.text)


def _moved(line: Line, ratio: tuple[float, float]) -> Line:
    x0, y0, x1, y1 = line.box
    across, down = ratio
    box = Box(int(x0 * across), int(y0 * down), int(x1 * across) + 1, int(y1 * down) + 1)
    return Line(line.text, box, line.confidence, line.frame, line.way)
