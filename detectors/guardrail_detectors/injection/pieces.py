"""Word pieces: the most probable split of a text under a unigram vocabulary (Kudo 2018)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from math import inf
from typing import NamedTuple

SPACE = "\u2581"  # SentencePiece's mark for the start of a word
UNKNOWN = 3

LONGEST_WORD = 64  # characters; what is longer is read as several
_WORD = re.compile(rf"\S{{1,{LONGEST_WORD}}}")
_REMEMBERED = 50_000  # words whose split is kept


class Chunk(NamedTuple):
    """Characters `start` to `end` of a text and their pieces."""

    start: int
    end: int
    ids: tuple[int, ...]


class NewWords(Exception):
    """There are more words to be split than may be."""


class Pieces:
    """Splits words into ids. `scores` are log probabilities, `normal` exchanges characters."""

    def __init__(
        self, pieces: Sequence[str], scores: Sequence[float], normal: Mapping[str, str]
    ) -> None:
        self._ids = {
            piece: (index, score)
            for index, (piece, score) in enumerate(zip(pieces, scores, strict=True))
            if index > UNKNOWN
        }
        self._longest: dict[str, int] = {}  # the characters of a piece, by its first one
        for piece in self._ids:
            self._longest[piece[0]] = max(self._longest.get(piece[0], 0), len(piece))
        self._unknown = min(scores) - 10
        self._normal = str.maketrans(dict(normal))
        self._known: dict[str, tuple[int, ...]] = {}

    def word(self, word: str) -> tuple[int, ...]:
        """The ids of one word (no space inside)."""
        ids = self._known.get(word)
        if ids is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            seen = word.translate(self._normal)
            ids = self._known[word] = tuple(self._split(SPACE + seen)) if seen else ()
        return ids

    def _split(self, text: str) -> list[int]:
        text = text.replace(" ", SPACE)
        best = [0.0] + [-1e30] * len(text)
        back = [(0, UNKNOWN)] * (len(text) + 1)
        for start in range(len(text)):
            here = best[start]
            if here + self._unknown > best[start + 1]:
                best[start + 1], back[start + 1] = here + self._unknown, (start, UNKNOWN)
            longest = self._longest.get(text[start], 0)
            for end in range(start + 1, min(start + longest, len(text)) + 1):
                known = self._ids.get(text[start:end])
                if known is not None and here + known[1] > best[end]:
                    best[end], back[end] = here + known[1], (start, known[0])
        ids: list[int] = []
        at = len(text)
        while at:
            at, piece = back[at]
            if piece != UNKNOWN or not ids or ids[-1] != UNKNOWN:  # a run of them counts once
                ids.append(piece)
        return ids[::-1]

    def _spelt(self, words: list[str]) -> list[int]:
        """The ids of words of which some were never split."""
        short = (piece for word in words for piece in _WORD.findall(word))
        return [piece for word in short for piece in self.word(word)]

    def chunks(self, text: str, limit: int, most_new: float = inf) -> Iterator[Chunk]:
        """The text in chunks of whole sentences, each of at most `limit` pieces.

        Only a sentence that is longer than that is cut. Words whose split is not known yet may
        have `most_new` characters together; raises NewWords beyond that.
        """
        known = self._known.__getitem__
        start, end = 0, 0
        ids: list[int] = []
        for first, last in sentences(text):
            words = text[first:last].split()
            if not words:
                continue
            try:
                whole = [*chain.from_iterable(map(known, words))]
            except KeyError:
                most_new -= sum([len(word) for word in {*words}.difference(self._known)])
                if most_new < 0:
                    raise NewWords from None
                whole = self._spelt(words)
            if ids and len(ids) + len(whole) > limit:
                yield _chunk(text, start, end, ids)
                start, ids = first, []
            if len(whole) <= limit:
                if whole:
                    ids += whole
                    end = last
                continue
            for match in _WORD.finditer(text, first, last):
                begun, ended, pieces = match.start(), match.end(), self.word(match[0])
                if ids and len(ids) + len(pieces) > limit:
                    yield _chunk(text, start, end, ids)
                    start, ids = begun, []
                ids += pieces[:limit]
                end = ended
        if ids:
            yield _chunk(text, start, end, ids)


def _chunk(text: str, start: int, end: int, ids: list[int]) -> Chunk:
    return Chunk(start, start + len(text[start:end].rstrip()), tuple(ids))


# It begins with one set of characters, which the engine skips to, and looks at a run of marks from
# its beginning only, which keeps this linear.
_END = re.compile(
    r"[.!?\n\u3002\uff01\uff1f\u0964]"
    r"(?:(?<=[.!?])(?<![.!?]{2})[.!?]*+[\"')\]]*\s+|(?<=\n)\n*|(?<=[^.!?\n])[\u3002\uff01\uff1f\u0964]*)"
)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where sentences and lines start and end; together they cover the text."""
    ends = [match.end() for match in _END.finditer(text)]
    if text and (not ends or ends[-1] < len(text)):
        ends.append(len(text))
    return zip([0, *ends], ends, strict=False)
