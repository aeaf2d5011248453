"""Text in plain characters, with the way back to the original's offsets."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from typing import NamedTuple

# Characters that are written but not seen: soft hyphen, joiners, direction marks, selectors, tags.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_WIDE = "\uff01-\uff5e\U0001d400-\U0001d7ff"
_REMOVE = re.compile(f"[{_INVISIBLE}]+")
_CHANGE = re.compile(rf"[{_SPACES}{_DASHES}{_WIDE}]|[^\x00-\x7f\W\D]")


class Plain(NamedTuple):
    """`text` has `removed[i][1]` characters fewer than the original from `removed[i][0]` on."""

    text: str
    removed: tuple[tuple[int, int], ...] = ()

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The original's offsets of the characters `start` to `end`."""
        if not self.removed:
            return start, end
        return self._shift(start), self._shift(end - 1) + 1

    def _shift(self, offset: int) -> int:
        index = bisect_right(self.removed, (offset, len(self.text) + (1 << 40))) - 1
        return offset + (self.removed[index][1] if index >= 0 else 0)


def plain_text(text: str) -> Plain:
    """`text` without invisible characters, with full-width and mathematical characters, digits of
    all scripts, spaces and dashes as their ASCII equals (Unicode NFKC where that is one
    character)."""
    if text.isascii():
        return Plain(text)
    text = _CHANGE.sub(_ascii, text)
    pieces, removed, last, count = [], [], 0, 0
    for match in _REMOVE.finditer(text):
        pieces.append(text[last : match.start()])
        count += match.end() - match.start()
        last = match.end()
        removed.append((last - count, count))
    if not removed:
        return Plain(text)
    pieces.append(text[last:])
    return Plain("".join(pieces), tuple(removed))


def _ascii(match: re.Match[str]) -> str:
    char = match.group()
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char.isspace():
        return " "
    if (
        unicodedata.category(char) in {"Pd", "Sm"}
        and char not in "\uff0b\uff1d\uff1c\uff1e\uff5c\uff5e"
    ):
        return "-"
    plain = unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 else char
