"""Hashed n-grams of characters and words (feature hashing, Weinberger et al. 2009).

All grams of a text are found at once, each with the place where it starts, so that the sum over
any window of the text is one subtraction of running sums.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS = 18
CHARS = (3, 4, 5)  # lengths of character grams, one after the other
WORDS = (1, 2, 3)  # lengths of word grams

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2**64
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_ONE, _SHIFT, _REST = np.uint64(1), np.uint64(29), np.uint64(64 - BITS)
_CHAR_SALTS = np.array([[length] for length in CHARS], np.uint64)
_WORD_SALTS = np.array([[16 + length] for length in WORDS], np.uint64)

Codes = NDArray[np.unsignedinteger[Any]]
Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]
Buckets = NDArray[np.int64]


class Hashed(NamedTuple):
    """The buckets of all grams of a text, with a row for each length.

    A row of `chars` has a column for each character and one of `words` for each word, whose
    characters begin at `starts`. As many columns at the end of a row as its grams are longer than
    one stand for none.
    """

    chars: Buckets
    starts: Places
    words: Buckets


def code_points(text: str) -> Codes:
    """A text as numbers; white space of all kinds is one number."""
    if text.isascii():
        return np.maximum(np.frombuffer(text.encode("ascii"), np.uint8), 32)
    return np.maximum(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), 32)


def grams(codes: Codes) -> tuple[Places, Buckets]:
    """Start and bucket of every gram."""
    chars, starts, words = hashed(codes)
    rows = [(starts, row, length) for row, length in zip(words, WORDS, strict=True)]
    every = np.arange(len(codes))
    rows += [(every, row, length) for row, length in zip(chars, CHARS, strict=True)]
    counts = [max(0, len(row) - length + 1) for _, row, length in rows]
    return (
        np.concatenate([at[:count] for (at, _, _), count in zip(rows, counts, strict=True)]),
        np.concatenate([row[:count] for (_, row, _), count in zip(rows, counts, strict=True)]),
    )


def hashed(codes: Codes) -> Hashed:
    """All grams of a text. Hashes are polynomials modulo 2**64, so that one of any stretch follows
    from two running sums."""
    size = len(codes)
    powers, inverses, lifted = _tables(size + 1)
    running = np.zeros(size + 1 + max(CHARS), np.uint64)
    terms = codes + _ONE
    terms *= powers[:size]
    terms.cumsum(out=running[1 : size + 1])

    starts, ends = _words(codes)
    count = len(starts)
    hashes = np.zeros(len(CHARS) * size + len(WORDS) * count, np.uint64)
    chars = hashes[: len(CHARS) * size].reshape(len(CHARS), size)
    words = hashes[len(CHARS) * size :].reshape(len(WORDS), count)
    beyond = np.ndarray((len(CHARS), size), np.uint64, running, 8 * CHARS[0], (8, 8))
    np.subtract(beyond, running[:size], out=chars)
    chars *= lifted[:size]
    word = running.take(ends)
    word -= running.take(starts)
    word *= inverses.take(starts)
    words[0] = word
    for more in range(1, min(len(WORDS), count)):
        longer = words[more, :-more]
        np.multiply(words[more - 1, :-more], _MIX, out=longer)
        longer += word[more:]

    hashes ^= hashes >> _SHIFT
    chars ^= _CHAR_SALTS
    words ^= _WORD_SALTS
    hashes *= _MIX
    hashes >>= _REST
    return Hashed(chars.view(np.int64), starts, words.view(np.int64))


def _words(codes: Codes) -> tuple[Places, Places]:
    """Where words start and end."""
    inside = np.zeros(len(codes) + 2, bool)
    inside[1:-1] = _is_letter(codes)
    (edges,) = (inside[1:] != inside[:-1]).nonzero()
    return edges[::2], edges[1::2]


def _is_letter(codes: Codes) -> NDArray[np.bool_]:
    """Letters and digits; outside ASCII, all but the blocks of punctuation."""
    if codes.dtype == np.uint8:
        return _ASCII[codes]
    small = _ASCII[np.minimum(codes, 127)]
    beyond = ((codes >= 0x2000) & (codes < 0x2070)) | ((codes >= 0x3000) & (codes < 0x3030))
    return np.where(codes < 128, small, ~(beyond | ((codes >= 0xFF00) & (codes < 0xFF10))))


_ASCII = np.array([chr(code).isalnum() for code in range(128)])


@lru_cache(maxsize=4)
def _powers(count: int) -> tuple[Hashes, Hashes, Hashes]:
    up, down = np.full(count, _BASE), np.full(count, _INVERSE)
    up[0] = down[0] = _ONE
    up, down = np.cumprod(up), np.cumprod(down)
    return up, down, down * _BASE


def _tables(count: int) -> tuple[Hashes, Hashes, Hashes]:
    """Powers of the base, of its inverse, and these times the base; at least `count` of each."""
    return _powers(max(1024, 1 << (count - 1).bit_length()))
