"""Scores to probabilities: a logistic map (Platt 1999), fitted once and kept beside the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import NotRun

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Logistic:
    """The probability 1 / (1 + exp(-(bias + weights · features)))."""

    weights: tuple[float, ...]
    bias: float

    def __call__(self, features: Sequence[float] | Floats) -> float:
        """The probability for one row of features."""
        z = self.bias + float(np.dot(self.weights, np.asarray(features, float)))
        return float(1 / (1 + np.exp(-np.clip(z, -40, 40))))


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


@lru_cache(maxsize=16)
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


def fit(features: Floats, labels: Floats, *, ridge: float = 1.0) -> Logistic:
    """The logistic map of rows of features (n, k) to labels (n,) in {0, 1}, by Newton's method.

    `ridge` shrinks the weights of the standardised features.
    """
    mean, spread = features.mean(0), features.std(0) + 1e-9
    x = np.c_[(features - mean) / spread, np.ones(len(features))]
    penalty = np.diag([ridge] * features.shape[1] + [1e-6])
    theta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -40, 40)))
        slope = x.T @ (p - labels) + penalty @ theta
        curve = (x * (p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(curve, slope)
        theta -= step
        if np.abs(step).max() < 1e-8:
            break
    weights = theta[:-1] / spread
    return Logistic(tuple(map(float, weights)), float(theta[-1] - weights @ mean))
