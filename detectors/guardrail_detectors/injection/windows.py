"""Scores of passages: the signals that stand together within two sentences."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from guardrail_detectors.injection.signals import SIGNALS, Hit, load_signals
from guardrail_detectors.normalise import CodePoints, utf8

ABOUT_FACTOR = 0.49  # a passage that speaks about attacks keeps this much of its score
OBSCURED = 0.35  # weight of having been hidden, where there is something to hide

# A run of marks is looked at from its beginning only, which keeps this linear.
_END = re.compile(r"(?<![.!?。！？।])[.!?。！？।]++[\s\"')\]]+|\n+")


def passages(text: str, trusted: bool, *, obscured: bool) -> Iterator[tuple[int, int, float]]:
    """Passages with signals: start, end and score in [0, 1]. `trusted` is text the user typed."""
    signals, data = load_signals(), utf8(text)
    hits = list(signals.hits(data))
    if not hits:
        return
    point = CodePoints(text)
    placed = [
        Hit(hit.signal, point(hit.start), point(hit.end))
        for hit in sorted(hits, key=lambda hit: hit.start)
    ]
    starts = [0, *(match.end() for match in _END.finditer(text))]
    by_sentence: dict[int, list[Hit]] = {}
    for hit in placed:
        by_sentence.setdefault(bisect_right(starts, hit.start) - 1, []).append(hit)
    bounds = [*starts, len(text)]
    for sentence in by_sentence:
        here = by_sentence[sentence]
        for last in (sentence, sentence + 1):
            together = here if last == sentence else here + by_sentence.get(last, [])
            if last > sentence and len(together) == len(here):
                continue
            start, end = bounds[sentence], bounds[min(last + 1, len(bounds) - 1)]
            score = _score(together, trusted, obscured)
            if not obscured and signals.is_about(utf8(text[max(0, start - 80) : end + 80])):
                score *= ABOUT_FACTOR
            yield start, max(end, max(hit.end for hit in together)), score


def _score(hits: list[Hit], trusted: bool, obscured: bool) -> float:
    """One minus the chance that none of the families speaks for an attack (noisy or)."""
    left = 1.0
    for number in {hit.signal for hit in hits}:
        signal = SIGNALS[number]
        left *= 1 - (signal.typed if trusted else signal.untrusted)
    if obscured:
        left *= 1 - OBSCURED
    return 1 - left
