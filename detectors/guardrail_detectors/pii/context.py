"""Words near a match: the part of presidio that is quadratic, done on a window of characters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from guardrail_detectors.pii.labels import CONTEXT, TOO_COMMON

BEFORE = 60  # characters looked at before a match; presidio looks at five words
AFTER = 24


def words_for(label: str, own: Iterable[str]) -> tuple[str, ...]:
    """Expressions for a label's context words and a recogniser's own, lower-case."""
    extra = {word.strip().lower() for word in own} - TOO_COMMON
    return CONTEXT.get(label, ()) + tuple(
        re.escape(word) + (r"\w{0,12}" if len(word) > 5 else "s?") for word in sorted(extra) if word
    )


class Words:
    """Context words of one recogniser."""

    def __init__(self, words: tuple[str, ...], before: int = BEFORE, after: int = AFTER) -> None:
        joined = "|".join(words)
        # Scripts without spaces have no word boundaries.
        edge = r"(?<![^\W\d_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
        end = r"(?![^\W\d_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
        self.shape = "(?i)(?:" + joined + ")"
        self._pattern = re.compile(f"{edge}(?:{joined}){end}")
        self._before, self._after = before, after

    def distance(self, lower: str, start: int, end: int) -> int | None:
        """Characters between the nearest word and the match; None where there is none.

        Words after the match count on its own line only, and as further away.
        """
        first = max(0, start - self._before)
        nearest = None
        for match in self._pattern.finditer(lower, first, start):
            nearest = start - match.end()
        if nearest is not None:
            return nearest
        line = lower.find("\n", end, end + self._after)
        last = line if line >= 0 else min(len(lower), end + self._after)
        found = self._pattern.search(lower, end, last)
        return self._before + found.start() - end if found else None
