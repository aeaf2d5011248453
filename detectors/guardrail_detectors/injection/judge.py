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
from math import exp, log

# A wording of this score is an attack, unless the encoder's logit is clear about the contrary.
KNOWN, DENIED = 0.75, -1.0

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
        weights = (self.quick if evidence.encoder is None else self.full)[source]
        logit = weights[0] + sum(w * v for w, v in zip(weights[1:], evidence.values(), strict=True))
        if evidence.patterns >= KNOWN and (evidence.encoder is None or evidence.encoder > DENIED):
            logit = max(logit, evidence.patterns - 0.5)
        return 1 / (1 + exp(-max(-30.0, min(30.0, logit))))


@lru_cache(maxsize=1)
def load_judge() -> Judge:
    """The shipped weights, once a process."""
    stored = json.loads((files(__package__) / "weights" / "judge.json").read_text())
    quick, full = (
        {source: tuple(stored[stage][source]) for source in SOURCES} for stage in ("quick", "full")
    )
    return Judge(quick, full, (stored["sure"][0], stored["sure"][1]))
