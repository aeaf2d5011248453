"""Figures of a classifier's scores, with their intervals. Scores and labels are 1-d arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def wilson(hits: int, of: int) -> Interval:
    """A share with its 95% interval (Wilson 1927); (nan, 0, 1) of nothing."""
    if of == 0:
        return Interval(float("nan"), 0.0, 1.0)
    z, share = 1.959964, hits / of
    middle = share + z * z / (2 * of)
    spread = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return Interval(share, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def auc(positive: Sequence[float] | Floats, negative: Sequence[float] | Floats) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties half."""
    pos, neg = np.asarray(positive, float), np.sort(np.asarray(negative, float))
    if not pos.size or not neg.size:
        return float("nan")
    below = np.searchsorted(neg, pos, "left")
    up_to = np.searchsorted(neg, pos, "right")
    return float((below + up_to).sum() / (2 * pos.size * neg.size))


def threshold_at(negative: Sequence[float] | Floats, false_alarms: float) -> float:
    """The lowest threshold (score >= it counts) with at most this share of false alarms."""
    scores = np.sort(np.asarray(negative, float))[::-1]
    allowed = int(false_alarms * scores.size)
    if allowed >= scores.size:
        return 0.0
    return float(np.nextafter(scores[allowed], np.inf))


def recall_at(
    positive: Sequence[float] | Floats, negative: Sequence[float] | Floats, false_alarms: float
) -> float:
    """The share of positives found at the threshold of `threshold_at`."""
    pos = np.asarray(positive, float)
    return float((pos >= threshold_at(negative, false_alarms)).mean()) if pos.size else float("nan")


def bootstrap(
    figure: Callable[[NDArray[np.intp]], float], count: int, *, rounds: int = 1000, seed: int = 0
) -> Interval:
    """A figure of rows 0 to `count`, given by their indices, with its 95% percentile interval."""
    rng = np.random.default_rng(seed)
    drawn = [figure(rng.integers(0, count, count)) for _ in range(rounds)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(figure(np.arange(count)), float(low), float(high))


def reliability(
    scores: Sequence[float] | Floats, labels: Sequence[bool] | Floats, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Mean score, share of positives and count of each equal-width bin that is not empty."""
    values, truth = np.asarray(scores, float), np.asarray(labels, float)
    place = np.minimum((values * bins).astype(int), bins - 1)
    return [
        (float(values[place == b].mean()), float(truth[place == b].mean()), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]


def calibration_error(
    scores: Sequence[float] | Floats, labels: Sequence[bool] | Floats, bins: int = 10
) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015)."""
    rows = reliability(scores, labels, bins)
    total = sum(count for _, _, count in rows)
    return sum(abs(score - share) * count for score, share, count in rows) / max(1, total)
