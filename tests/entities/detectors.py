"""An object detector for tests: an ONNX file that takes patches of pure colour for things."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

CLASSES = ("apple", "sky", "leaf")  # red, blue and green
SIDE = 64
STRIDES = (8, 16, 32)


def write(path: Path, *, classes: int = len(CLASSES)) -> Path:
    """Boxes as large as a cell, of the class whose colour the cell has."""
    weights = np.zeros((5 + len(CLASSES), 3, 1, 1), np.float32)
    bias = np.array([0.5, 0.5, 0, 0, 9] + [-6] * len(CLASSES), np.float32)
    for row, channel in enumerate((2, 0, 1)):  # pictures come as blue, green, red
        weights[5 + row, :, 0, 0] = -0.06
        weights[5 + row, channel, 0, 0] = 0.06
    nodes, outs = [], []
    for stride in STRIDES:
        pooled, mapped, flat, turned = (
            f"{name}{stride}" for name in ("pool", "map", "flat", "turn")
        )
        nodes += [
            helper.make_node(
                "AveragePool", ["images"], [pooled], kernel_shape=[stride] * 2, strides=[stride] * 2
            ),
            helper.make_node("Conv", [pooled, "weights", "bias"], [mapped]),
            helper.make_node("Reshape", [mapped, "shape"], [flat]),
            helper.make_node("Transpose", [flat], [turned], perm=[0, 2, 1]),
        ]
        outs.append(turned)
    nodes += [
        helper.make_node("Concat", outs, ["rows"], axis=1),
        helper.make_node("Split", ["rows", "parts"], ["boxes", "scores"], axis=2),
        helper.make_node("Sigmoid", ["scores"], ["sure"]),
        helper.make_node("Concat", ["boxes", "sure"], ["output"], axis=2),
    ]
    kept = 1 + classes
    constants = [
        numpy_helper.from_array(weights[: 5 + classes], "weights"),
        numpy_helper.from_array(bias[: 5 + classes], "bias"),
        numpy_helper.from_array(np.array([1, 5 + classes, -1]), "shape"),
        numpy_helper.from_array(np.array([4, kept]), "parts"),
    ]
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, None, 5 + classes])
    graph = helper.make_graph(nodes, "patches", [given], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


def painted(
    *patches: tuple[str, tuple[int, int, int, int]], size: tuple[int, int] = (256, 256)
) -> bytes:
    """A black picture with patches of a colour."""
    picture = Image.new("RGB", size, "black")
    pen = ImageDraw.Draw(picture)
    for colour, box in patches:
        pen.rectangle(box, fill=colour)
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


RED_ABOVE = ("#ff0000", (32, 32, 95, 95))
BLUE_BELOW = ("#0000ff", (128, 160, 223, 223))
