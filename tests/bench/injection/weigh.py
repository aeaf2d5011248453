"""Fitting the judge: how much each kind of evidence counts, by stage and source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from guardrail.evaluate.figures import auc, recall_at, threshold_at
from tests.bench.injection.rows import Row

FALSE_ALARMS = 0.01

# Coarse, since there is little to fit them on: how much the linear model's logit, the patterns'
# and being hidden count beside 1 for the best evidence of the stage.
LINEAR, PATTERNS, OBSCURED = (0.3, 0.6, 1.0, 2.0), (0.4, 0.7, 1.0), (0.0, 1.0, 2.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """The evidence of every chunk of a row, as `Evidence.values` gives it."""

    row: Row
    values: Floats


def fit(seen: Sequence[Seen], stage: str) -> tuple[float, ...]:
    """An intercept and a weight for each value: of the coarse ones those that rank best, scaled
    so that the sum is a logit, and shifted to the threshold of 1% false alarms."""
    if stage == "quick":
        grid = [(1.0, patterns, obscured) for patterns, obscured in product(PATTERNS, OBSCURED)]
    else:
        grid = [(*shares, 1.0) for shares in product(LINEAR, PATTERNS, OBSCURED)]
    best = max(grid, key=lambda weights: _rank(seen, weights))
    score, attack = logits(seen, (0.0, *best)), np.array([s.row.attack for s in seen])
    slope = _slope(score, attack)
    weights = tuple(slope * weight for weight in best)
    shift = threshold_at(slope * score[~attack], FALSE_ALARMS)
    return (-shift, *weights)


def _rank(seen: Sequence[Seen], weights: Sequence[float]) -> float:
    score, attack = logits(seen, (0.0, *weights)), np.array([s.row.attack for s in seen])
    found = [recall_at(score[attack], score[~attack], share) for share in (0.01, 0.02, 0.05)]
    return auc(score[attack], score[~attack]) + float(np.mean(found))


def _slope(score: Floats, attack: NDArray[np.bool_]) -> float:
    """The factor that makes scores calibrated logits, attacks and harmless rows weighing alike."""
    values, label = torch.from_numpy(score), torch.from_numpy(attack).double()
    weight = torch.where(label > 0, 0.5 / label.mean(), 0.5 / (1 - label.mean()))
    line = torch.tensor([0.5, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(values * line[0] + line[1], label, weight)
        value.backward()
        return value

    optimiser.step(loss)
    return max(0.05, float(line[0].detach()))


def calibration(
    logit: Floats, attack: NDArray[np.bool_]
) -> tuple[float, list[tuple[float, float, int]]]:
    """The odds of an attack at which scores are right on average, and at those odds the mean
    score, share of attacks and number of rows of each tenth of the scale."""
    score = 1 / (1 + np.exp(-logit))
    odds = float(score[~attack].mean() / (1 - score[attack]).mean())
    weight = np.where(attack, odds / attack.sum(), 1 / (~attack).sum())
    place = np.minimum((score * 10).astype(int), 9)
    rows = []
    for inside in (place == tenth for tenth in range(10)):
        if inside.any():
            mean, share = (np.average(v[inside], weights=weight[inside]) for v in (score, attack))
            rows.append((float(mean), float(share), int(inside.sum())))
    return odds, rows


def logits(seen: Sequence[Seen], weights: Sequence[float]) -> Floats:
    """The highest logit of each row."""
    given = np.array(weights[1:])
    return np.array([weights[0] + (s.values @ given).max() for s in seen])
