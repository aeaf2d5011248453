"""Text as it reads, with the way back to the characters it came from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b"
    "\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2065\u2066\u2067\u2068\u2069\u206a\u206b\u206c"
    "\u206d\u206e\u206f\u3164\ufeff\uffa0\u180b\u180c\u180d\u180f\ufff9\ufffa\ufffb"
    "\U0001bca0\U0001bca1\U0001bca2\U0001bca3\U0001d173\U0001d174\U0001d175\U0001d176\U0001d177"
    "\U0001d178\U0001d179\U0001d17a"
)

# Control characters that are no white space, and lone surrogates.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Normalised:
    """A text and, for each of its characters, the span it stands for in the original.

    `spans` is None where every character stands for itself.
    """

    text: str
    spans: tuple[tuple[int, int], ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the original that `start` to `end` stand for."""
        if self.spans is None or start >= end:
            return start, end
        first, last = self.spans[start], self.spans[end - 1]
        return min(first[0], last[0]), max(first[1], last[1])  # a text may be read backwards

    def map(self, change: Callable[[str], str]) -> Normalised:
        """Each character exchanged for what `change` makes of it, which may be nothing."""
        changed = [change(char) for char in self.text]
        if all(len(new) == 1 for new in changed):
            return Normalised("".join(changed), self.spans)
        pieces: list[str] = []
        spans: list[tuple[int, int]] = []
        for index, new in enumerate(changed):
            pieces.append(new)
            spans += [self.span(index, index + 1)] * len(new)
        return Normalised("".join(pieces), tuple(spans))


@lru_cache(maxsize=20_000)
def plain_char(char: str) -> str:
    """A character in compatibility form (UAX #15, NFKC), nothing for one that is not seen."""
    if char in INVISIBLE or "\ufe00" <= char <= "\ufe0f" or _UNSEEN.match(char):
        return ""
    if "\U000e0020" <= char <= "\U000e007e":  # tag characters spell ASCII unseen
        return chr(ord(char) - 0xE0000)
    if "\U000e0000" <= char <= "\U000e0fff" or "\ufff0" <= char <= "\ufff8":
        return ""
    return unicodedata.normalize("NFKC", char)


@lru_cache(maxsize=20_000)
def folded_char(char: str) -> str:
    """A character as words are compared: plain, without case or accents."""
    decomposed = unicodedata.normalize("NFKD", plain_char(char).casefold())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", bare)


def plain(text: str) -> Normalised:
    """Compatibility forms resolved and unseen characters dropped."""
    return Normalised(text) if _is_plain(text) else Normalised(text).map(plain_char)


def folded(text: str) -> Normalised:
    """Plain, without case or accents."""
    return Normalised(text.lower()) if _is_plain(text) else Normalised(text).map(folded_char)


def cased_and_folded(text: str) -> tuple[Normalised, Normalised]:
    """Both, for one look at the text."""
    if _is_plain(text):
        return Normalised(text), Normalised(text.lower())
    return plain(text), folded(text)


def _is_plain(text: str) -> bool:
    return text.isascii() and not _UNSEEN.search(text)


def utf8(text: str) -> bytes:
    """UTF-8 for the byte engines; a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace")


_INSIDE = bytes(range(0x80, 0xC0))  # bytes of UTF-8 with which no character begins


class CodePoints:
    """From offsets in the UTF-8 of a text to offsets in code points."""

    def __init__(self, text: str) -> None:
        self._data = None if text.isascii() else utf8(text)
        self._byte = self._point = 0

    def __call__(self, offset: int) -> int:
        """Offsets are quickest asked for in rising order."""
        if self._data is None:
            return offset
        if offset < self._byte:
            self._byte = self._point = 0
        piece = self._data[self._byte : offset]
        self._point += len(piece.translate(None, _INSIDE))
        self._byte = offset
        return self._point
