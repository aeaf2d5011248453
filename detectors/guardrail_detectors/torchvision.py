"""Makes torchvision importable beside a build of torch that lacks its operators."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any


@lru_cache(maxsize=1)
def mend() -> Any:
    """Import torchvision; call it before importing what imports torchvision on its own.

    The wheels of torchvision on package indexes are built for CUDA. Beside a CPU build of torch
    their operators do not load, and the import fails for want of their names, although plain
    image transforms need none of them. The names are then declared here.
    """
    if find_spec("torchvision") is None:
        return None
    import torch

    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401

        return library  # the declarations last as long as it is referenced
    return None
