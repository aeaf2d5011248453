"""Text that is JSON, such as the arguments of a tool call, whole or from somewhere inside.

Detectors see what its escapes stand for, and edits leave it JSON (RFC 8259).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_BEGIN = re.compile(r'\s*(?:[\[\s]*\{\s*(?:["}]|$)|\[\s*")')
# Python's writer makes NaN and Infinity, which no standard knows.
_SCALAR = re.compile(r"-?(?:\d[\d.eE+\-]*|Infinity)|NaN|true|false|null")
ESCAPE = r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])'
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|" + ESCAPE)
_REST = re.compile(r'(?:[^"\\]|\\.?)*', re.DOTALL)
_TOKEN = re.compile(r'"((?:[^"\\]|\\.?)*)"?|([^\s{}\[\]:,"]+)', re.DOTALL)


def is_json(text: str) -> bool:
    """Whether a text begins as a JSON object does, or a list of objects or of strings."""
    return _BEGIN.match(text) is not None


@dataclass(frozen=True)
class Unescaped:
    """A text with its escapes resolved; `ends[i]` and `shifts[i]` say where an escape ended and
    by how many characters all after it has moved."""

    text: str
    ends: tuple[int, ...] = ()
    shifts: tuple[int, ...] = ()

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the original that `start` to `end` stand for."""
        return self._source(start), self._source(end - 1, last=True) if end > start else start

    def _source(self, at: int, last: bool = False) -> int:
        index = bisect_right(self.ends, at) - 1
        before = self.shifts[index] if index >= 0 else 0
        if not last:
            return at + before
        inside = index + 1 < len(self.ends) and self.ends[index + 1] == at + 1
        return at + 1 + (self.shifts[index + 1] if inside else before)


def unescaped(text: str) -> Unescaped:
    """`text` as it is meant: every escape of JSON exchanged for what it stands for."""
    if "\\" not in text:
        return Unescaped(text)
    pieces: list[str] = []
    ends: list[int] = []
    shifts: list[int] = []
    last = length = shift = 0
    for match in _ESCAPE.finditer(text):
        meant = json.loads(f'"{match.group()}"')
        length += match.start() - last + len(meant)
        shift += match.end() - match.start() - len(meant)
        pieces += [text[last : match.start()], meant]
        last = match.end()
        ends.append(length)
        shifts.append(shift)
    return Unescaped("".join([*pieces, text[last:]]), tuple(ends), tuple(shifts))


def inside_string(text: str, inside: bool) -> bool:
    """Whether the end of `text`, which cuts no escape, stands in a string; `inside` says it of
    the beginning."""
    at = _REST.match(text).end() + 1 if inside else 0  # type: ignore[union-attr]
    if inside and at > len(text):
        return True
    tokens = list(_TOKEN.finditer(text, at))
    return bool(tokens) and tokens[-1][1] is not None and tokens[-1].end(1) == len(text)


Cut = tuple[int, int, str]  # start, end, text in its place


def fitted(changes: Iterable[Cut], text: str, inside: bool = False) -> list[Cut]:
    """Cuts of JSON made so that it stays JSON: in strings the new text is escaped, a number
    becomes a string, and what stands between values is kept."""
    changes = list(changes)
    if not changes:
        return changes
    values = list(_values(text, inside))
    made: list[Cut] = []
    for start, end, new in changes:
        written = json.dumps(new, ensure_ascii=False)[1:-1]
        for first, last, string in values:
            if first >= end or last <= start:
                continue
            if string or not _SCALAR.fullmatch(text, first, last):
                made.append((max(start, first), min(end, last), written))
            elif not made or made[-1][1] <= first:
                made.append((first, last, f'"{written}"'))
            written = ""
    return made


def _values(text: str, inside: bool) -> Iterator[tuple[int, int, bool]]:
    """The insides of strings, and the other scalars, by position; True for strings."""
    at = 0
    if inside:
        at = _REST.match(text).end()  # type: ignore[union-attr]
        yield 0, at, True
        at += 1
    for match in _TOKEN.finditer(text, at):
        group = 1 if match[1] is not None else 2
        yield match.start(group), match.end(group), group == 1
