"""Scores to probabilities: a logistic map (Platt 1999), fitted once and kept beside the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import exp
from pathlib import Path
from typing import Any

from guardrail.errors import NotRun


@dataclass(frozen=True)
class Logistic:
    """The probability 1 / (1 + exp(-(bias + weights · features)))."""

    weights: tuple[float, ...]
    bias: float

    def __call__(self, features: Sequence[float]) -> float:
        """The probability for one row of features."""
        z = self.bias + sum(w * x for w, x in zip(self.weights, features, strict=True))
        return 1 / (1 + exp(-min(40.0, max(-40.0, z))))


@dataclass(frozen=True)
class Calibration:
    """How a backend's features become probabilities, by what is asked ("presence", "colour",
    "count"), and between which probabilities of presence it abstains."""

    maps: dict[str, Logistic] = field(default_factory=dict)
    abstain: tuple[float, float] | None = None

    def __getitem__(self, asked: str) -> Logistic:
        return self.maps[asked]

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")


def read_calibration(path: Path) -> Calibration:
    """Read what `write` or `guardrail eval entities --fit` wrote; NotRun where it cannot be."""
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        maps = {
            asked: Logistic(tuple(map(float, one["weights"])), float(one["bias"]))
            for asked, one in data["maps"].items()
        }
        band = data.get("abstain")
        return Calibration(maps, None if band is None else (float(band[0]), float(band[1])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotRun(
            f"the calibration {path.name} cannot be read ({type(error).__name__})"
        ) from None
