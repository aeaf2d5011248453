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
    """`tables` are weights in units of `scale`, with one row for typed text and one for all
    other; so are `scale` and `bias`."""

    tables: NDArray[np.int8]
    scale: tuple[float, float]
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
        kind = 0 if typed else 1
        table = self.tables[kind]
        found = hashed(code_points(text))
        size, count = found.chars.shape[1], len(found.starts)
        running = np.zeros(size + 1, np.int64)
        weights = running[1:]
        _weights(table, found.chars, _CHAR_TAILS).sum(axis=0, out=weights)
        weights[found.starts] += _weights(table, found.words, _WORD_TAILS).sum(axis=0)
        weights.cumsum(out=weights)
        at = np.array((starts, ends))
        summed = running.take(at)
        number = _numbers(at, size, CHARS)
        number += _numbers(found.starts.searchsorted(at), count, WORDS)
        weight, number = summed[1] - summed[0], number[1] - number[0]
        logits: Floats = weight * self.scale[kind] / np.sqrt(np.maximum(1, number))
        return logits + self.bias[kind]


def _tails(lengths: Sequence[int]) -> NDArray[np.int8]:
    """For each length, a zero for the last places, at which no gram of it starts."""
    most = max(lengths) - 1
    return np.array(
        [[place > length - 2 for place in range(most)][::-1] for length in lengths], np.int8
    )


_CHAR_TAILS, _WORD_TAILS = _tails(CHARS), _tails(WORDS)


def _weights(
    table: NDArray[np.int8], buckets: NDArray[np.int64], tails: NDArray[np.int8]
) -> NDArray[np.int8]:
    """The weight of each gram, 0 where there is none."""
    weights = table.take(buckets)
    last = min(weights.shape[1], tails.shape[1])
    if last:
        weights[:, -last:] *= tails[:, -last:]
    return weights


def _numbers(at: NDArray[np.int64], size: int, lengths: Sequence[int]) -> NDArray[np.int64]:
    """How many grams start before each place of a row of so many."""
    numbers = np.zeros(at.shape, np.int64)
    for length in lengths:
        numbers += np.minimum(at, max(0, size - length + 1))
    return numbers


def spans(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the windows of a text start and end: runs of sentences, then blocks; long sentences
    are cut."""
    cuts = [0]
    for start, end in sentences(text):
        if end > start + BLOCK:
            cuts += range(start + BLOCK, end, BLOCK)
        cuts.append(end)
    starts, ends = list[int](), list[int]()
    for run in RUNS:
        starts += cuts[:-run]
        ends += cuts[run:]
    if len(cuts) > max(RUNS) + 1:
        blocks = range(0, len(text), BLOCK)
        starts += blocks
        ends += [min(block + BLOCK, len(text)) for block in blocks]
    return np.array(starts, np.int64), np.array(ends, np.int64)


@lru_cache(maxsize=1)
def load_linear() -> Linear:
    """The shipped weights, once a process."""
    with (
        (files(__package__) / "weights" / "linear.npz").open("rb") as stored,
        np.load(stored) as at,
    ):
        return Linear(at["tables"], tuple(at["scale"].tolist()), tuple(at["bias"].tolist()))


assert BITS == 18  # the shipped tables have this many rows
