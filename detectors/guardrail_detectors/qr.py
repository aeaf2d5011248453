"""QR codes and barcodes in pictures."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from guardrail.content import Box, Image, Region, Text
from guardrail.detector import Extractor, Spec

_MAX_CHARS = 20_000


def qr(*, formats: list[str] | None = None) -> Extractor:
    """Reads QR codes and barcodes of every sampled frame (zxing-cpp, Apache-2.0).

    formats: names as zxing-cpp has them, such as ["QRCode", "EAN13"]; all of them by default.
    """
    _formats(tuple(formats or ()))

    def run(image: Image) -> list[Text]:
        from zxingcpp import read_barcodes

        wanted = _formats(tuple(formats or ()))
        options: dict[str, Any] = {} if wanted is None else {"formats": wanted}
        lines: dict[str, tuple[Box, int]] = {}
        for frame in image.picture.sampled():
            for code in read_barcodes(image.picture.rgb(frame=frame), **options):
                text = code.text[:_MAX_CHARS].strip()
                if text:
                    lines.setdefault(text, (_box(code.position), frame))
        if not lines:
            return []
        regions, at = [], 0
        for line, (box, frame) in lines.items():
            regions.append(Region(at, at + len(line), box, frame))
            at += len(line) + 1
        name = f"{image.name}#qr"
        joined = "\n".join(lines)
        return [Text(joined, name, image.role, "image:qr", image.name, tuple(regions))]

    spec = Spec(name="qr", version="1", reads=frozenset({"image"}), model="zxing-cpp")
    return Extractor(spec, run)


def _box(position: Any) -> Box:
    corners = [position.top_left, position.top_right, position.bottom_right, position.bottom_left]
    xs, ys = [corner.x for corner in corners], [corner.y for corner in corners]
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
