"""Fitting tier one: logistic regression over hashed grams of windows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from guardrail_detectors.injection.encoder import TYPED
from guardrail_detectors.injection.grams import BITS, code_points, grams
from guardrail_detectors.injection.linear import Linear, spans
from guardrail_detectors.injection.wraps import unwrapped
from guardrail_detectors.normalise import folded
from tests.bench.injection.rows import Row

EPOCHS, RATE, DECAY, DROPPED, BATCH = 4, 0.02, 2e-3, 0.3, 512


class Bags:
    """Windows as bags of buckets, with labels and weights."""

    def __init__(self) -> None:
        self.buckets: list[NDArray[np.int32]] = []
        self.label: list[float] = []
        self.weight: list[float] = []
        self.typed: list[float] = []
        self.group: list[str] = []

    def add(self, row: Row, text: str, start: int, end: int, label: bool, weight: float) -> None:
        buckets = grams(code_points(text[start:end]))[1]
        if len(buckets):
            self.buckets.append(buckets.astype(np.int32))
            self.label.append(float(label))
            self.weight.append(weight)
            self.typed.append(float(row.channel == TYPED))
            self.group.append(row.group)


def bags(rows: Sequence[Row], seed: int) -> Bags:
    """Windows to learn from: all of a short text, some of a long one."""
    rng, found = random.Random(seed), Bags()
    for row in rows:
        plain = folded(unwrapped(row.text))
        text = plain.text[:8000]
        if not text.strip() or not row.weight:
            continue
        if row.span is None:
            found.add(row, text, 0, min(len(text), 4000), row.attack, row.weight)
        every = list(zip(*[places.tolist() for places in spans(text)], strict=True))
        windows = rng.sample(every, min(len(every), 5))
        if row.span is not None:
            windows += [span for span in every if _share(plain, span, row.span) > 0.6][:3]
        for start, end in windows:
            if row.span is None:
                if not row.attack:
                    found.add(row, text, start, end, False, 0.5 * row.weight)
                continue
            share = _share(plain, (start, end), row.span)
            if share > 0.6 or share == 0:
                found.add(row, text, start, end, share > 0, 0.6 * row.weight)
    return found


def _share(plain, window: tuple[int, int], span: tuple[int, int]) -> float:
    """How much of the window or of the instruction, whichever is shorter, they have in common."""
    start, end = plain.span(*window)
    common = min(end, span[1]) - max(start, span[0])
    return max(0, common) / max(1, min(end - start, span[1] - span[0]))


def fit(bag: Bags, chosen: NDArray[np.bool_], seed: int = 0) -> Linear:
    """The linear model of the chosen windows."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    bucket = nn.EmbeddingBag(1 << BITS, 3, mode="sum")
    nn.init.zeros_(bucket.weight)
    bias = nn.Parameter(torch.zeros(2))
    optimiser = torch.optim.Adam([*bucket.parameters(), bias], lr=RATE)
    label, weight, typed = (torch.tensor(x) for x in (bag.label, bag.weight, bag.typed))
    rows = np.flatnonzero(chosen)
    for epoch in range(EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - epoch / EPOCHS)
        rng.shuffle(rows)
        for at in range(0, len(rows), BATCH):
            batch = rows[at : at + BATCH]
            parts = [
                part[rng.random(len(part)) >= DROPPED] if len(part) > 8 else part
                for part in (bag.buckets[i] for i in batch)
            ]
            sizes = np.array([len(part) for part in parts])
            offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            scale = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
            sums = bucket(
                torch.from_numpy(np.concatenate(parts)).long(),
                torch.from_numpy(offsets),
                torch.from_numpy(scale.astype(np.float32)),
            )
            t = typed[batch]
            logit = sums[:, 0] + t * sums[:, 1] + (1 - t) * sums[:, 2] + torch.where(t > 0, *bias)
            loss = F.binary_cross_entropy_with_logits(
                logit, label[batch] * 0.98 + 0.01, weight[batch]
            )
            loss = loss + DECAY * bucket.weight.pow(2).sum() / 50
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    table = bucket.weight.detach().numpy()
    both = np.stack([table[:, 0] + table[:, 1], table[:, 0] + table[:, 2]])
    scale = np.percentile(np.abs(both), 99.99, axis=1) / 127
    packed = np.clip(np.round(both / scale[:, None]), -127, 127).astype(np.int8)
    typed, other = bias.tolist()
    return Linear(packed, (float(scale[0]), float(scale[1])), (typed, other))
