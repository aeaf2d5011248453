"""Tier one: a linear model over hashed n-grams, summed over every window of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from guardrail_detectors.injection.grams import BITS, chars, code_points, words
from guardrail_detectors.injection.pieces import sentences

RUNS = (1, 2, 3)  # sentences of a window
BLOCK = 4_000  # characters of the longest window, and of a block that is scored as a whole

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """Windows of a text, by their characters, each with its logit."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    logits: Floats


@dataclass(frozen=True)
class Linear:
    """`tables` are weights in units of `scale`: one row for typed text, one for all other."""

    tables: NDArray[np.int8]
    scale: float
    bias: tuple[float, float]

    def windows(self, text: str, typed: bool) -> Windows:
        """Every run of one to three sentences, and the text as a whole in blocks."""
        bounds = spans(text)
        starts, ends = (np.array([b[i] for b in bounds], np.int64) for i in (0, 1))
        logits = self.sums(text, starts, ends, typed)
        return Windows(starts, ends, logits)

    def sums(
        self, text: str, starts: NDArray[np.int64], ends: NDArray[np.int64], typed: bool
    ) -> Floats:
        """The logits of windows of a text."""
        codes = code_points(text)
        table = self.tables[0 if typed else 1]
        places, buckets = words(codes)
        total = np.bincount(places + 1, table[buckets], len(codes) + 1)
        count = np.bincount(places + 1, None, len(codes) + 1)
        for buckets in chars(codes):
            total[1 : len(buckets) + 1] += table[buckets]
            count[1 : len(buckets) + 1] += 1
        total, count = total.cumsum(), count.cumsum()
        size = np.maximum(1, count[ends] - count[starts])
        sums: Floats = (total[ends] - total[starts]) * self.scale / np.sqrt(size)
        return sums + self.bias[0 if typed else 1]


def spans(text: str) -> list[tuple[int, int]]:
    """The windows of a text: runs of sentences, then blocks; long sentences are cut."""
    pieces: Sequence[tuple[int, int]] = [
        (at, min(at + BLOCK, end))
        for start, end in sentences(text)
        for at in range(start, end, BLOCK)
    ]
    found = [
        (pieces[i][0], pieces[i + run - 1][1]) for run in RUNS for i in range(len(pieces) - run + 1)
    ]
    if len(pieces) > max(RUNS):
        found += [(at, min(at + BLOCK, len(text))) for at in range(0, len(text), BLOCK)]
    return found


@lru_cache(maxsize=1)
def load_linear() -> Linear:
    """The shipped weights, once a process."""
    with (
        (files(__package__) / "weights" / "linear.npz").open("rb") as stored,
        np.load(stored) as at,
    ):
        return Linear(at["tables"], float(at["scale"]), tuple(at["bias"].tolist()))


assert BITS == 18  # the shipped tables have this many rows
