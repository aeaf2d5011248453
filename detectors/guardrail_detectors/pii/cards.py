"""Payment cards: number by issuer, length and Luhn check (ISO/IEC 7812), code and expiry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrail_detectors.pii.context import Words

_SEPARATOR = r"(?: ?[\-.] ?| {1,3}| ?\r?\n ?)"
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_])(?<!\d[.,\-])(?:"
    rf"\d{{4}}(?:{_SEPARATOR}\d{{4}}){{3}}(?:{_SEPARATOR}\d{{1,3}})?"
    rf"|\d{{4}}{_SEPARATOR}\d{{6}}{_SEPARATOR}\d{{4,5}}"
    rf"|\d{{4}}{_SEPARATOR}\d{{4}}{_SEPARATOR}\d{{4}}{_SEPARATOR}\d{{1,3}}"
    r"|\d(?:[ \-.]\d){12,18}"
    r"|\d{12,19}"
    r")(?![A-Za-z0-9_])(?![.,\-]\d)"
)
_ISSUERS = re.compile(
    r"4(?:\d{15}|\d{18}|\d{12})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12,15}|220[0-4]\d{12,15}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|62\d{14,17}|(?:60|81|82|508)\d{13,14}|9792\d{12}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"
)
_SURE_LENGTHS = frozenset({15, 16})
CODE = re.compile(r"(?<![\w.,/\-])\d{3,4}(?![\w/\-])(?![.,]\d)")
EXPIRY = re.compile(r"(?<![\w/\-.])(?:0?[1-9]|1[0-2]) ?[/\-] ?(?:20)?[2-4]\d(?![\w/\-])")
BESIDE = 200  # characters from a card's number within which a code or expiry belongs to it


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for index, char in enumerate(reversed(digits)):
        value = int(char) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class Cards:
    """Card numbers, and what is printed beside them."""

    def __init__(self, number: Words, code: Words, expiry: Words) -> None:
        self._number, self._code, self._expiry = number, code, expiry

    def find(self, text: str, lower: str) -> Iterator[tuple[int, int, str, float]]:
        """Start, end, label and score of every number, code and expiry in `text`."""
        places = []
        for match in _NUMBER.finditer(text):
            start, end = match.span()
            digits = re.sub(r"\D", "", match.group())
            if not _ISSUERS.fullmatch(digits) or not luhn(digits) or len(set(digits)) < 2:
                continue
            near = self._number.distance(lower, start, end) is not None
            if near or len(digits) in _SURE_LENGTHS or not match.group().isdigit():
                places.append((start, end))
                yield start, end, "CARD", 0.98 if near else 0.9
        for pattern, words, label in (
            (CODE, self._code, "CARD_CVV"),
            (EXPIRY, self._expiry, "CARD_EXPIRY"),
        ):
            for match in pattern.finditer(text):
                start, end = match.span()
                distance = words.distance(lower, start, end)
                if distance is None or distance > 20:
                    continue
                beside = any(start - BESIDE < e and s < end + BESIDE for s, e in places)
                word = lower[max(0, start - 40) : start]
                if beside or "card" in word or (label == "CARD_CVV" and "cv" in word):
                    yield start, end, label, 0.85
