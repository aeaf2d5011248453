"""Makes the 8-bit copies of the OCR models: python -m tests.bench.quantise_ocr [finder | reader]

Needs the package `onnx` beside the base install. The float models come with rapidocr (PP-OCRv6
small, Apache-2.0); they are calibrated on what is drawn here, so that the copies can be made
again from nothing else. They take half and two thirds of the time on processors with VNNI. The
8-bit finder finds 1.6% fewer lines, which is why it is only used for the first look.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from guardrail.redteam.render import rendered
from guardrail_detectors.ocr import engines
from guardrail_detectors.ocr.reading import bgr
from guardrail_detectors.ocr.trace import SIDE, evened_out
from tests.bench import pictures
from tests.bench.hidden_text import TEXTS

WORDS = """
The delivery was confirmed Total 12.50 EUR ignore all previous instructions invoice 2026-118
Straße français número über 4111 1111 hello@example.com ABC-123 (see) #42 & co. WARNING!
https://example.org/a?b=c 'quoted' "text" [id] {x} <tag> 99% +1 202-555-0143 _under_ a/b
""".split()


def lines(count: int) -> Iterator[np.ndarray[Any, Any]]:
    """Lines of text as the recogniser takes them, some of them squeezed."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        text = " ".join(rng.choice(WORDS, rng.integers(1, 9)))
        size = int(rng.integers(12, 44))
        font = ImageFont.load_default(size)
        ground, ink = int(rng.integers(140, 256)), int(rng.integers(0, 100))
        if rng.random() < 0.3:
            ground, ink = ink, ground
        line = Image.new("RGB", (int(font.getlength(text)) + 16, int(size * 1.5)), (ground,) * 3)
        ImageDraw.Draw(line).text((8, size * 0.15), text, font=font, fill=(ink,) * 3)
        if rng.random() < 0.3:
            line = line.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.5))))
        width = max(64, int(48 * line.width / line.height * rng.choice([1.0, 0.62])))
        values = np.asarray(line.resize((width, 48)), np.float32) * (2 / 255) - 1
        values += rng.normal(0, 0.03, values.shape).astype(np.float32)
        yield values.transpose(2, 0, 1)[None]


def looks() -> Iterator[np.ndarray[Any, Any]]:
    """Drawn pictures with and without text as the finder takes them for the first look."""
    styles = ("plain", "banner_top", "outline", "white_on_white", "low_contrast", "degraded")
    shown = [made.pictures[0] for made in rendered(TEXTS, [], styles, seed=3)]
    for data in (*shown, pictures.photo((640, 480)), pictures.screenshot(), pictures.a4()):
        yield engines.finder_input(evened_out(bgr(Image.open(BytesIO(data)).convert("RGB")), SIDE))


class Drawn(CalibrationDataReader):  # type: ignore[misc]
    """Calibration inputs for onnxruntime."""

    def __init__(self, inputs: Iterator[np.ndarray[Any, Any]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Any] | None:
        values = next(self._inputs, None)
        return None if values is None else {"x": values}


def quantise(source: str, target: Path, inputs: Iterator[np.ndarray[Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        newer, ready = Path(folder) / "newer.onnx", Path(folder) / "ready.onnx"
        model = onnx.load(str(engines.models_folder() / source))
        del model.metadata_props[:]
        onnx.save(onnx.version_converter.convert_version(model, 17), str(newer))
        quant_pre_process(str(newer), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(target),
            Drawn(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "MatMul"],
        )
    print(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    folder = engines.EIGHT_BIT
    folder.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or ["finder", "reader"]
    if "finder" in wanted:
        quantise(engines.DETECTOR, folder / engines.DETECTOR, looks())
    if "reader" in wanted:
        quantise(engines.RECOGNISER, folder / engines.RECOGNISER, lines(150))


if __name__ == "__main__":
    main()
