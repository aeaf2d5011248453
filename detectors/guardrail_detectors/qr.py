"""QR codes and barcodes in pictures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

from guardrail.content import Box, Image, Region, Text
from guardrail.detector import Extractor, Ignored, Spec

if TYPE_CHECKING:
    from PIL import Image as Pillow

_MAX_CHARS = 20_000
_MODERATE = 1_000  # pixels of the longer side


def qr(*, formats: list[str] | None = None) -> Extractor:
    """Reads QR codes and barcodes of every sampled frame (zxing-cpp, Apache-2.0).

    formats: names as zxing-cpp has them, such as ["QRCode", "EAN13"]; all of them by default.
    """
    _formats(tuple(formats or ()))

    def run(image: Image) -> list[Text | Ignored]:
        wanted = _formats(tuple(formats or ()))
        lines: dict[str, tuple[Box, int]] = {}
        ignored: list[Ignored] = []
        for frame in image.picture.sampled():
            for said, box in _codes(image.picture.rgb(frame=frame), wanted):
                if said is None:
                    ignored.append(Ignored("qr: a damaged QR code"))
                    continue
                text = said[:_MAX_CHARS].strip()
                if len(said) > _MAX_CHARS:
                    ignored.append(Ignored(f"qr: {len(said) - _MAX_CHARS} characters left unread"))
                if text:
                    lines.setdefault(text, (box, frame))
        ignored = list(dict.fromkeys(ignored))
        if not lines:
            return [*ignored]
        regions, at = [], 0
        for line, (box, frame) in lines.items():
            regions.append(Region(at, at + len(line), box, frame))
            at += len(line) + 1
        name = f"{image.name}#qr"
        joined = "\n".join(lines)
        text_part = Text(joined, name, image.role, "image:qr", image.name, tuple(regions))
        return [text_part, *ignored]

    spec = Spec(name="qr", version="4", reads=frozenset({"image"}), model="zxing-cpp")
    return Extractor(spec, run)


def _codes(picture: Pillow.Image, wanted: Any) -> Iterator[tuple[str | None, Box]]:
    """Codes of all kinds at a moderate size; in a larger picture also small QR codes.

    Looking for every kind of code costs more than OCR on large pictures. A QR code that is
    damaged beyond reading comes without a text; other kinds are too easily mistaken for one.
    """
    import cv2
    import numpy as np
    from zxingcpp import BarcodeFormat, read_barcodes

    grey = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY)
    times = ceil(max(1.0, max(picture.size) / _MODERATE))
    size = -(-picture.width // times), -(-picture.height // times)
    views = [(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), wanted, float(times))]
    if times > 1:
        views.append((grey, wanted or (BarcodeFormat.QRCode,), 1.0))
    for view, formats, factor in views:
        options: dict[str, Any] = {} if formats is None else {"formats": formats}
        for code in read_barcodes(view, return_errors=True, **options):
            if code.valid or code.format == BarcodeFormat.QRCode:
                yield code.text if code.valid else None, _box(code.position, factor)


def _box(position: Any, factor: float) -> Box:
    corners = [position.top_left, position.top_right, position.bottom_right, position.bottom_left]
    xs, ys = (
        [int(side * factor) for side in sides]
        for sides in zip(*((c.x, c.y) for c in corners), strict=True)
    )
    return Box(max(0, min(xs)), max(0, min(ys)), max(xs) + 1, max(ys) + 1)


@lru_cache(maxsize=8)
def _formats(names: tuple[str, ...]) -> Any:
    if not names:
        return None
    from zxingcpp import BarcodeFormat

    known = {name.lower(): name for name in dir(BarcodeFormat) if not name.startswith("_")}
    wanted = []
    for name in names:
        if name.lower() not in known:
            raise ValueError(f"formats: there is no {name!r}")
        wanted.append(getattr(BarcodeFormat, known[name.lower()]))
    return tuple(wanted)
