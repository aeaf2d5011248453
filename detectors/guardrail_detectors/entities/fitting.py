"""Fitting a calibration to labelled rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from guardrail_detectors.entities.calibration import Logistic

Floats = NDArray[np.float64]


def fit(features: Floats, labels: Floats, *, ridge: float = 1.0) -> Logistic:
    """The logistic map of rows of features (n, k) to labels (n,) in {0, 1}, by Newton's method.

    Both labels count the same in all, however many rows each has: a claim is taken to hold as
    often as not. `ridge` shrinks the weights of the standardised features.
    """
    share = float(labels.mean())
    weight = np.where(labels > 0.5, 0.5 / max(share, 1e-9), 0.5 / max(1 - share, 1e-9))
    mean, spread = features.mean(0), features.std(0) + 1e-9
    x = np.c_[(features - mean) / spread, np.ones(len(features))]
    penalty = np.diag([ridge] * features.shape[1] + [1e-6])
    theta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -40, 40)))
        slope = x.T @ (weight * (p - labels)) + penalty @ theta
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(curve, slope)
        theta -= step
        if np.abs(step).max() < 1e-8:
            break
    weights = theta[:-1] / spread
    return Logistic(tuple(map(float, weights)), float(theta[-1] - weights @ mean))
