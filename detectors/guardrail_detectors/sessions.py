"""How ONNX models are run: alike on every processor, and quiet when idle."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# y = x @ w as an ONNX model: x of 8-bit numbers, (4, 64), and w of (64, 8) times 127.
PRODUCT = bytes.fromhex(
    "08083a92010a2e0a0173120177220f436f6e7374616e744f6653686170652a150a0576616c75652a0908"
    "0110032a017f4200a001040a180a01780a0177120179220d4d61744d756c496e74656765721201672a19"
    "080210074201734a10400000000000000008000000000000005a130a0178120e0a0c080212080a020804"
    "0a02084062130a0179120e0a0c080612080a0208040a02080842040a00100d"
)


def session(model: Path | bytes, threads: int = 1, *, arena: bool = True) -> InferenceSession:
    """A session on the CPU. Without an `arena` memory does not grow with the shapes of inputs.

    Raises what onnxruntime raises for a file that is no model.
    """
    return _session(model, threads, arena=arena, exact=not _is_exact())


@cache
def _is_exact() -> bool:
    """Whether sums of 8-bit products come out right on this processor by themselves."""
    import numpy as np

    (made,) = _session(PRODUCT, 1, arena=False, exact=False).run(
        None, {"x": np.full((4, 64), 255, np.uint8)}
    )
    return bool((made == 64 * 127 * 255).all())


def _session(model: Path | bytes, threads: int, *, arena: bool, exact: bool) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Processors without VNNI add pairs of 8-bit products in 16 bits, which overflow; this setting
    # makes them take the exact way (onnxruntime, "When and why do I need to try U8U8?"). Others
    # would take nearly twice as long with it, for the same numbers.
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    given = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
