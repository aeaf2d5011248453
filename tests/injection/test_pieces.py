"""Word pieces, chunks and hashed grams."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail_detectors.injection.encoder import LIMIT, load_pieces
from guardrail_detectors.injection.grams import BITS, code_points, grams
from guardrail_detectors.injection.linear import Linear, spans
from guardrail_detectors.injection.pieces import NewWords, Pieces, sentences

SMALL = Pieces(
    ["<s>", "<pad>", "</s>", "<unk>", "\u2581ab", "\u2581a", "b", "c", "\u2581", "a"],
    [0, 0, 0, 0, -1, -2, -2, -3, -4, -4],
    {"\u00aa": "a"},
)
any_text = st.text(st.characters(codec=None), max_size=300)


def test_the_most_probable_split_wins() -> None:
    assert SMALL.word("ab") == (4,)
    assert SMALL.word("abc") == (4, 7)
    assert SMALL.word("ba") == (8, 6, 9)


def test_characters_are_normalised_and_unknown_ones_counted() -> None:
    assert SMALL.word("\u00aab") == SMALL.word("ab")
    assert SMALL.word("\u4e00") == (8, 3)


@settings(max_examples=200, deadline=None)
@given(any_text, st.integers(1, 40))
def test_chunks_hold_every_word_once(text: str, limit: int) -> None:
    pieces = load_pieces()
    chunks = list(pieces.chunks(text, limit))
    assert all(0 < len(chunk.ids) <= limit for chunk in chunks)
    covered = sorted((chunk.start, chunk.end) for chunk in chunks)
    assert all(a[1] <= b[0] for a, b in pairwise(covered))
    outside = "".join(text[i] for i in range(len(text)) if not _inside(i, covered))
    assert not any(map(pieces.word, outside.split()))


def _inside(index: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= index < end for start, end in spans)


def test_a_short_text_is_one_chunk() -> None:
    (chunk,) = load_pieces().chunks("Hello there. How are you?", LIMIT)
    assert (chunk.start, chunk.end) == (0, 25)


def test_words_that_were_never_split_are_bounded_and_known_ones_are_not() -> None:
    pieces = Pieces([*"0123", "\u2581ab"], [0, 0, 0, 0, -1], {})
    text = "ab " * 50 + "abab ababab. ab abab"
    with pytest.raises(NewWords):
        list(pieces.chunks(text, LIMIT, 12))
    (chunk,) = Pieces([*"0123", "\u2581ab"], [0, 0, 0, 0, -1], {}).chunks(text, LIMIT, 13)
    assert list(pieces.chunks(text, LIMIT)) == [chunk]
    assert list(pieces.chunks(text, LIMIT, 0)) == [chunk]


@given(any_text)
def test_sentences_cover_the_text(text: str) -> None:
    assert "".join(text[start:end] for start, end in sentences(text)) == text


@settings(max_examples=100, deadline=None)
@given(any_text)
def test_grams_stand_inside_the_text(text: str) -> None:
    places, buckets = grams(code_points(text))
    assert len(places) == len(buckets)
    assert ((places >= 0) & (places < max(1, len(text)))).all()
    assert ((buckets >= 0) & (buckets < 1 << BITS)).all()


@settings(max_examples=200, deadline=None)
@given(any_text | st.text("ab .\n\u00e9\u3002\u200b", max_size=40))
def test_grams_are_those_that_the_weights_were_learnt_for(text: str) -> None:
    places, buckets = grams(code_points(text))
    found = sorted(zip(places.tolist(), buckets.tolist(), strict=True))
    assert found == sorted(_grams_one_by_one(text))


def _grams_one_by_one(text: str) -> Iterator[tuple[int, int]]:
    """Place and bucket of every gram, by the definition."""
    codes = [max(32, ord(char)) for char in text]
    for length in (3, 4, 5):
        for at in range(len(codes) - length + 1):
            yield at, _bucket(_polynomial(codes[at : at + length]) * BASE, length)
    letters = "".join("a" if is_letter else " " for is_letter in map(_is_letter, codes))
    words = [(word.start(), word.end()) for word in re.finditer("a+", letters)]
    for length in (1, 2, 3):
        for first in range(len(words) - length + 1):
            value = 0
            for start, end in words[first : first + length]:
                value = value * MIX + _polynomial(codes[start:end])
            yield words[first][0], _bucket(value, 16 + length)


BASE, MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9


def _polynomial(codes: list[int]) -> int:
    return sum((code + 1) * pow(BASE, place, 1 << 64) for place, code in enumerate(codes))


def _bucket(value: int, salt: int) -> int:
    value %= 1 << 64
    return (value ^ (value >> 29) ^ salt) * MIX % (1 << 64) >> (64 - BITS)


def _is_letter(code: int) -> bool:
    if code < 128:
        return chr(code).isalnum()
    return not (0x2000 <= code < 0x2070 or 0x3000 <= code < 0x3030 or 0xFF00 <= code < 0xFF10)


@settings(max_examples=100, deadline=None)
@given(any_text | st.text("ab .\n", max_size=80))
def test_a_window_adds_up_the_grams_that_start_in_it(text: str) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(-127, 127, (2, 1 << BITS)).astype(np.int8)
    windows = Linear(table, (0.01, 0.02), (0.5, -0.5)).windows(text, typed=True)
    places, buckets = grams(code_points(text))
    for start, end, logit in zip(windows.starts, windows.ends, windows.logits, strict=True):
        inside = buckets[(places >= start) & (places < end)]
        size = np.sqrt(max(1, len(inside)))
        assert logit == int(table[0][inside].sum(dtype=np.int64)) * 0.01 / size + 0.5


def test_grams_do_not_depend_on_where_they_stand() -> None:
    alone = set(grams(code_points("ignore all"))[1])
    assert alone <= set(grams(code_points("please ignore all of it"))[1])


def test_a_window_is_scored_as_if_it_stood_alone() -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(-127, 127, (2, 1 << BITS)).astype(np.int8)
    model = Linear(tables, (0.02, 0.01), (0.5, -0.5))
    text = "one two three. four five six. seven eight."
    windows = model.windows(text, typed=False)
    whole = np.flatnonzero((windows.starts == 0) & (windows.ends == len(text)))[0]
    places, buckets = grams(code_points(text))
    expected = tables[1][buckets].sum() * 0.01 / np.sqrt(len(places)) - 0.5
    assert abs(windows.logits[whole] - expected) < 1e-9


def test_long_sentences_are_cut() -> None:
    starts, ends = spans("a" * 30_000)
    assert (ends - starts).max() <= 12_000
