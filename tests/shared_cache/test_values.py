"""What the shared cache writes can be read again, and nothing else can."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from guardrail import Area, Box, Finding, Ignored, Region, Span, Text
from guardrail_integrations.values import decode, encode

numbers = st.integers(-(2**40), 2**40)
texts = st.text(max_size=20)
boxes = st.builds(Box, numbers, numbers, numbers, numbers)
places = st.one_of(
    st.none(),
    st.builds(Span, texts, numbers, numbers),
    st.builds(Area, texts, st.lists(boxes, max_size=3).map(tuple), numbers),
)
findings = st.builds(Finding, texts, texts, st.floats(0, 1), places, texts)
read = st.builds(
    Text,
    texts,
    texts,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    texts,
    st.none() | texts,
    st.lists(st.builds(Region, numbers, numbers, boxes, numbers), max_size=3).map(tuple),
)


@given(st.lists(findings, max_size=4).map(tuple))
def test_findings_come_back(value: tuple[Finding, ...]) -> None:
    assert decode(encode(value)) == value


@given(st.lists(read, max_size=4).map(tuple))
def test_texts_come_back_where_they_are_kept(value: tuple[Text, ...]) -> None:
    assert decode(encode(value, texts=True)) == value
    assert not value or encode(value) is None


@given(st.lists(read | st.builds(Ignored, texts), min_size=1, max_size=4).map(tuple))
def test_what_was_left_unread_comes_back(value: tuple[Text | Ignored, ...]) -> None:
    assert decode(encode(value, texts=True)) == value
    kept = encode(value)
    assert kept is None if any(isinstance(one, Text) for one in value) else decode(kept) == value


@given(st.dictionaries(texts, st.none() | texts | numbers | st.booleans()))
def test_facts_come_back(value: dict) -> None:
    assert decode(encode(value)) == value


@given(
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(["float16", "float32", "float64", "int8", "uint8", "int32", "int64"]),
)
def test_arrays_come_back(shape: list[int], dtype: str) -> None:
    value = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    back = decode(encode(value))
    assert back.dtype == value.dtype
    assert back.shape == value.shape
    assert np.array_equal(back, value)


def test_other_values_are_not_kept() -> None:
    for value in (object(), (object(),), {"a": object()}, {1: 2}, "text", np.array([object()])):
        assert encode(value, texts=True) is None


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=12,
)
kinds = st.sampled_from(["findings", "texts", "facts", "array", "pickle", ""])


@given(
    st.binary(max_size=60)
    | st.builds(
        lambda kind, value, raw: json.dumps({"kind": kind, "value": value}).encode() + raw,
        kinds,
        json_like,
        st.sampled_from([b"", b"\n", b"\nabcd"]),
    )
)
def test_any_bytes_are_a_value_or_none(data: bytes) -> None:
    value = decode(data)
    assert value is None or isinstance(value, (tuple, dict, np.ndarray))
    if isinstance(value, tuple):
        assert all(isinstance(item, (Finding, Text, Ignored)) for item in value)


@given(st.lists(findings, min_size=1, max_size=3).map(tuple), st.data())
def test_a_changed_byte_is_no_crash(value: tuple[Finding, ...], data: st.DataObject) -> None:
    raw = bytearray(encode(value) or b"")
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    decode(bytes(raw))
    assert decode(bytes(raw[:at])) is None
