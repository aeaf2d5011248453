"""Telephone numbers, by the numbering plans in phonenumbers (libphonenumber)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guardrail_detectors.pii.context import Words

_NUMBER = re.compile(
    r"(?<![\w.,/\-@=#+])(?:(?:\+|00)[ ]?)?(?:\(\+?\d{1,4}\)|\d)(?:[ .\-/()\n]{0,3}\d){6,14}(?![\w@%])(?!-\w)"
    r"(?![.,/:]\d)(?: ?(?:x|ext\.?|extension) ?\d{1,6}\b)?"
)
_NORTH_AMERICAN = re.compile(
    r"(?:\+?1[ .\-]?|001-)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[\- ])[2-9]\d\d[\- .]\d{4}(?: ?(?:x|ext\.?) ?\d+)?"
)
_TRUNK = re.compile(r"\(?0\d{1,5}(?:\)|[ /\-])")
_SSN = re.compile(r"\d{3}-\d\d-\d{4}")
_PARENTHESES = re.compile(r"\((?!(?:19|20)\d\d\))\d{2,4}\) ?\d{3,5}[ \-]\d{3,5}(?:[ \-]\d{2,4})?")
_DATE = re.compile(r"(?:19|20)\d\d[\-/. ]\d\d|\d\d?[\-/.]\d\d?[\-/.](?:19|20)\d\d")


class Phones:
    """Numbers that begin with +, have the shape of a national number, or stand by a word."""

    def __init__(self, words: Words, regions: Sequence[str]) -> None:
        self._words, self._regions = words, tuple(regions)

    def find(self, text: str, lower: str) -> Iterator[tuple[int, int, float]]:
        """Start, end and score of every number in `text`."""
        for match in _NUMBER.finditer(text):
            start, end = match.span()
            value = match.group()
            if "\n" in value:
                end = start + value.index("\n")
                value = value[: end - start].rstrip(" (.-/")
                end = start + len(value)
                if sum(map(str.isdigit, value)) < 7:
                    continue
            score = self._score(value, lower, start, end)
            if score:
                yield start, end, score

    def _score(self, value: str, lower: str, start: int, end: int) -> float:
        if value.startswith(("+", "00")):
            number = "+" + value[2:].lstrip() if value.startswith("00") else value
            if self._valid(number, None):
                return 0.95 if value[0] == "+" else 0.7
            return 0.6 if self._near(lower, start, end) and value[0] == "+" else 0.0
        if _DATE.match(value) or _SSN.fullmatch(value):
            return 0.0
        if _NORTH_AMERICAN.fullmatch(value):
            return 0.85
        near = self._near(lower, start, end)
        if near:
            return 0.8 if self._national(value) else 0.55
        if _PARENTHESES.fullmatch(value):
            return 0.65
        if _TRUNK.match(value) and self._national(value):
            return 0.7
        return 0.0

    def _near(self, lower: str, start: int, end: int) -> bool:
        distance = self._words.distance(lower, start, end)
        return distance is not None and distance <= 30

    def _national(self, value: str) -> bool:
        return any(self._valid(value, region) for region in self._regions)

    @staticmethod
    def _valid(value: str, region: str | None) -> bool:
        import phonenumbers

        try:
            return phonenumbers.is_valid_number(phonenumbers.parse(value, region))
        except phonenumbers.NumberParseException:
            return False
