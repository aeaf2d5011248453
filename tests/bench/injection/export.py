"""From trained parts to the files that the detector loads."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from guardrail_detectors.injection.linear import Linear
from tests.bench.injection.backbone import Backbone
from tests.bench.injection.network import HIDDEN, Encoder, Lower, Upper
from tests.bench.injection.tune import FROZEN, kept_pieces


def write_linear(model: Linear, folder: Path) -> None:
    """Tier one."""
    np.savez_compressed(
        folder / "linear.npz",
        tables=model.tables,
        scale=np.array(model.scale),
        bias=np.array(model.bias),
    )


def write_pieces(backbone: Backbone, size: int, folder: Path) -> None:
    """The vocabulary and its packed word rows."""
    kept = kept_pieces(backbone, size)
    pieces = "\n".join(backbone.pieces[i] for i in kept)
    normal = "\x00".join(part for pair in backbone.normal.items() for part in pair)
    np.savez_compressed(
        folder / "pieces.npz",
        pieces=np.frombuffer(pieces.encode(), np.uint8),
        scores=backbone.scores[kept].astype(np.float16),
        normal=np.frombuffer(normal.encode("utf-8", "surrogatepass"), np.uint8),
    )
    np.save(folder / "words.npy", backbone.words[kept].reshape(len(kept), -1))


def write_lower(model: Encoder, target: Path) -> None:
    """The layers that all encoders share."""
    _write(Lower(model, FROZEN), ("words", "states"), target)


def write_upper(model: Encoder, target: Path) -> None:
    """The layers and the head of one encoder."""
    _write(Upper(model, FROZEN), ("states", "logits"), target)


def _write(model: nn.Module, names: tuple[str, str], target: Path) -> None:
    """An ONNX graph with 8-bit weights, quantised as they run; `names` of what goes in beside
    the mask, and of what comes out."""
    model.eval()
    given, mask = torch.zeros(2, 16, HIDDEN), torch.ones(2, 16)
    axes = {0: "rows", 1: "pieces"}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        logging.disable(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (given, mask),
                str(plain),
                input_names=[names[0], "mask"],
                output_names=[names[1]],
                dynamic_axes={names[0]: axes, "mask": axes, names[1]: axes},
                opset_version=17,
                dynamo=False,
            )
        # One scale for each output channel: the backbone comes from four bits already.
        quantize_dynamic(plain, target, weight_type=QuantType.QInt8, per_channel=True)
        logging.disable(logging.NOTSET)
