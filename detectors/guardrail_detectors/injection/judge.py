"""From evidence to a score: a weighted sum for each source, with and without the encoder.

A score is the chance that a text is an attack where attacks are as rare as makes 0.5 the
threshold of 1% false alarms in the source at hand (see docs/evaluation/injection.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import exp, inf, log

# A wording of the first score is an attack, unless the encoder's logit is under the second. Of
# 948 harmless texts of sources held out none has such a wording, of 677 attacks 331. Of these and
# the project's own harmless texts that have one, the logit is under it in 3 of 331 attacks and 48
# of 68 harmless ones.
KNOWN, DENIED = 0.75, -3.0
STEEP, MIDDLE = 4.0, 0.55  # a wording of 0.75 makes a score of 0.69, one of 0.9 makes 0.8

SOURCES = ("typed", "tool", "image")


@dataclass(frozen=True)
class Evidence:
    """What speaks for an attack in one chunk of a text.

    `linear` and `encoder` are logits of the best window and of the chunk, `patterns` is a score
    in [0, 1].
    """

    linear: float
    patterns: float
    obscured: bool
    encoder: float | None = None

    def values(self) -> tuple[float, ...]:
        """The numbers that the judge weighs."""
        seen = log((self.patterns + 0.02) / (1.02 - self.patterns))
        read = () if self.encoder is None else (self.encoder,)
        return (self.linear, seen, float(self.obscured), *read)


@dataclass(frozen=True)
class Judge:
    """Weights by stage and source: an intercept, then one for each of `Evidence.values`."""

    quick: Mapping[str, tuple[float, ...]]
    full: Mapping[str, tuple[float, ...]]
    sure: tuple[float, float]  # quick scores outside of these need no encoder in typed text

    def score(self, evidence: Evidence, source: str) -> float:
        """A score in [0, 1]."""
        read = inf if evidence.encoder is None else evidence.encoder
        weights = (self.quick if evidence.encoder is None else self.full)[source]
        logit = weights[0] + sum(w * v for w, v in zip(weights[1:], evidence.values(), strict=True))
        if evidence.patterns >= KNOWN and read > DENIED:
            logit = max(logit, STEEP * (evidence.patterns - MIDDLE))
        return 1 / (1 + exp(-max(-30.0, min(30.0, logit))))


@lru_cache(maxsize=1)
def load_judge() -> Judge:
    """The shipped weights, once a process."""
    stored = json.loads((files(__package__) / "weights" / "judge.json").read_text())
    quick, full = (
        {source: tuple(stored[stage][source]) for source in SOURCES} for stage in ("quick", "full")
    )
    return Judge(quick, full, (stored["sure"][0], stored["sure"][1]))
