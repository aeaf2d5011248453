"""Hashed n-grams of characters and words (feature hashing, Weinberger et al. 2009).

All grams of a text are found at once, each with the place where it starts, so that the sum over
any window of the text is one subtraction of running sums.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BITS = 18
CHARS = (3, 4, 5)  # lengths of character grams
WORDS = (1, 2, 3)  # lengths of word grams

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2**64
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
_MIX = np.uint64(0xBF58476D1CE4E5B9)

Places = NDArray[np.int64]
Buckets = NDArray[np.int64]


def code_points(text: str) -> NDArray[np.uint32]:
    """A text as numbers; white space of all kinds is one number."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.where(codes <= 32, np.uint32(32), codes)


def grams(codes: NDArray[np.uint32]) -> tuple[Places, Buckets]:
    """Start and bucket of every gram."""
    places, found = words(codes)
    every = chars(codes)
    return (
        np.concatenate([places, *(np.arange(len(buckets)) for buckets in every)]),
        np.concatenate([found, *every]),
    )


def chars(codes: NDArray[np.uint32]) -> list[Buckets]:
    """The buckets of the grams of characters, by their length; one starts at each character."""
    with np.errstate(over="ignore"):
        wide = codes.astype(np.uint64) + np.uint64(1)
        powers, _ = _tables(max(CHARS))
        found = []
        rolling = np.zeros(len(wide), np.uint64)
        for length in range(1, min(max(CHARS), len(wide)) + 1):
            rolling = rolling[: len(wide) - length + 1] + wide[length - 1 :] * powers[length]
            if length in CHARS:
                found.append(_bucket(rolling, length))
    return found


def words(codes: NDArray[np.uint32]) -> tuple[Places, Buckets]:
    """Start and bucket of every gram of words."""
    with np.errstate(over="ignore"):
        return _words(codes, codes.astype(np.uint64) + np.uint64(1))


def _words(codes: NDArray[np.uint32], wide: NDArray[np.uint64]) -> tuple[Places, Buckets]:
    inside = np.zeros(len(codes) + 2, bool)
    inside[1:-1] = _is_letter(codes)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    powers, inverses = _tables(len(wide) + 1)
    running = np.concatenate([[np.uint64(0)], np.cumsum(wide * powers[: len(wide)])])
    word = (running[ends] - running[starts]) * inverses[starts]
    places, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    rolling = np.zeros(len(word), np.uint64)
    for length in range(1, max(WORDS) + 1):
        if length > len(word):
            break
        rolling = rolling[: len(word) - length + 1] * _MIX + word[length - 1 :]
        if length in WORDS:
            places.append(starts[: len(rolling)])
            found.append(_bucket(rolling, 16 + length))
    return np.concatenate(places), np.concatenate(found)


def _is_letter(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Letters and digits; outside ASCII, all but the blocks of punctuation."""
    if not len(codes) or codes.max() < 128:
        return _ASCII[codes]
    small = _ASCII[np.minimum(codes, 127)]
    beyond = ((codes >= 0x2000) & (codes < 0x2070)) | ((codes >= 0x3000) & (codes < 0x3030))
    return np.where(codes < 128, small, ~(beyond | ((codes >= 0xFF00) & (codes < 0xFF10))))


_ASCII = np.array([chr(code).isalnum() for code in range(128)])


@lru_cache(maxsize=4)
def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    with np.errstate(over="ignore"):
        ones = np.ones(1, np.uint64)
        up = np.cumprod(np.full(count - 1, _BASE))
        down = np.cumprod(np.full(count - 1, _INVERSE))
    return np.concatenate([ones, up]), np.concatenate([ones, down])


def _tables(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of the base and of its inverse, at least `count` of them."""
    return _powers(max(1024, 1 << (count - 1).bit_length()))


def _bucket(hashes: NDArray[np.uint64], salt: int) -> Buckets:
    mixed = (hashes ^ (hashes >> np.uint64(29)) ^ np.uint64(salt)) * _MIX
    return (mixed >> np.uint64(64 - BITS)).astype(np.int64)
