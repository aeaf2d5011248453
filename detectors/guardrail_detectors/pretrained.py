"""Classifiers of the transformers library, from a hub or a folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from guardrail.errors import MissingExtra, NotRun
from guardrail_detectors.torchvision import mend

_loading = threading.Lock()  # transformers is not safe to load with from several threads


def pretrained(name: str, model: str, reader: str) -> tuple[Any, Any]:
    """The model `name` and what reads its input, as the classes of transformers that are named.

    Raises MissingExtra without torch and transformers, NotRun for a model that cannot be loaded.
    """
    try:
        mend()
        import_module("torch")
        library = import_module("transformers")
        kinds = [getattr(library, kind) for kind in (model, reader)]
    except ImportError as error:
        raise MissingExtra(str(error.name), "transformers") from None
    local = Path(name).is_dir()
    try:
        with _loading:
            made, reads = [kind.from_pretrained(name, local_files_only=local) for kind in kinds]
            return made.eval(), reads
    except Exception as error:
        raise NotRun(f"the model {name} cannot be loaded ({type(error).__name__})") from None


def places_of(name: str, known: Mapping[str, int], wanted: Sequence[str]) -> dict[str, int]:
    """Where the wanted classes stand in a model's answer. Raises NotRun for one it lacks."""
    missing = [label for label in wanted if label not in known]
    if missing:
        raise NotRun(f"the model {name} has no class {missing[0]!r}; it has {sorted(known)}")
    return {label: int(known[label]) for label in wanted}
