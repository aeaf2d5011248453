"""How ONNX models are run: alike on every processor, and quiet when idle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def session(model: Path | bytes, threads: int = 1, *, arena: bool = True) -> InferenceSession:
    """A session on the CPU. Without an `arena` memory does not grow with the shapes of inputs.

    Raises what onnxruntime raises for a file that is no model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Processors without VNNI add pairs of 8-bit products in 16 bits, which overflow; this setting
    # makes them take the exact way (onnxruntime, "When and why do I need to try U8U8?").
    options.add_session_config_entry("session.x64quantprecision", "1")
    given = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
