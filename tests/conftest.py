"""What all tests need before anything is imported."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any


class _Torchvision(MetaPathFinder):
    """Mends torchvision, whose wheel does not fit a CPU build of torch, before its first import."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            from guardrail_detectors.torchvision import mend

            mend()


sys.meta_path.insert(0, _Torchvision())
