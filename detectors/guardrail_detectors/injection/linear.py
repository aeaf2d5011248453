"""Tier one: a linear model over hashed n-grams, summed over every window of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from guardrail_detectors.injection.grams import BITS, CHARS, WORDS, code_points, hashed
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
        starts, ends = spans(text)
        logits = self.sums(text, starts, ends, typed)
        return Windows(starts, ends, logits)

    def sums(
        self, text: str, starts: NDArray[np.int64], ends: NDArray[np.int64], typed: bool
    ) -> Floats:
        """The logits of windows of a text."""
        table = self.tables[0 if typed else 1]
        found = hashed(code_points(text))
        size, words = found.chars.shape[1], found.starts + 1
        sums = np.zeros((2, size + 1), np.int64)
        weight, number = sums
        _weights(table, found.chars, CHARS).sum(axis=0, out=weight[1:])
        number[1:] = _numbers(size, CHARS)
        weight[words] += _weights(table, found.words, WORDS).sum(axis=0)
        number[words] += _numbers(len(words), WORDS)
        np.cumsum(sums, axis=1, out=sums)
        weight, number = sums.take(ends, 1) - sums.take(starts, 1)
        logits: Floats = weight * self.scale / np.sqrt(np.maximum(1, number))
        return logits + self.bias[0 if typed else 1]


def _weights(
    table: NDArray[np.int8], buckets: NDArray[np.int64], lengths: Sequence[int]
) -> NDArray[np.int8]:
    """The weight of each gram, 0 where there is none."""
    weights = table.take(buckets)
    for row, length in zip(weights, lengths, strict=True):
        row[max(0, len(row) - length + 1) :] = 0
    return weights


def _numbers(size: int, lengths: Sequence[int]) -> NDArray[np.int64]:
    """How many grams start in each of so many columns."""
    numbers = np.full(size, len(lengths), np.int64)
    for last in range(1, min(max(lengths), size + 1)):
        numbers[-last] = sum([length <= last for length in lengths])
    return numbers


def spans(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the windows of a text start and end: runs of sentences, then blocks; long sentences
    are cut."""
    cuts = [0]
    for start, end in sentences(text):
        cuts += (*range(start + BLOCK, end, BLOCK), end)
    places = np.array(cuts, np.int64)
    starts, ends = [places[:-run] for run in RUNS], [places[run:] for run in RUNS]
    if len(places) > max(RUNS) + 1:
        blocks = np.arange(0, len(text), BLOCK)
        starts.append(blocks)
        ends.append(np.minimum(blocks + BLOCK, len(text)))
    return np.concatenate(starts), np.concatenate(ends)


@lru_cache(maxsize=1)
def load_linear() -> Linear:
    """The shipped weights, once a process."""
    with (
        (files(__package__) / "weights" / "linear.npz").open("rb") as stored,
        np.load(stored) as at,
    ):
        return Linear(at["tables"], float(at["scale"]), tuple(at["bias"].tolist()))


assert BITS == 18  # the shipped tables have this many rows
