"""A body that is put together as it comes says the same as one that came at once."""

from __future__ import annotations

import base64
import random
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardrail import Limits
from guardrail_integrations.proxy.call.gathering import Gathering
from guardrail_integrations.proxy.formats.json_body import BadJson, JsonBody, read_json
from guardrail_integrations.proxy.interfaces import Body
from guardrail_integrations.proxy.media.pictures import ALIKE, Pictures

PLAIN, KEYED = b";base64,", b'"data"'


def payload(seed: int, size: int = 3_000, begins: int = 0) -> bytes:
    """Base64 that begins as any other with this `begins`."""
    head = random.Random(begins).randbytes(1_500)
    return base64.b64encode(head + random.Random(seed).randbytes(size - 1_500))


KNOWN = [payload(1), payload(2), payload(3, begins=1), payload(1) + b"QUJD", payload(4, 6_000, 2)]
NEW = [payload(9), payload(9, begins=1), payload(8, 5_000, 3), b"QUJD", b""]


def pictures() -> Pictures:
    """A memory that compares with the known pictures."""
    made = Pictures()
    for _ in range(3):
        for one in KNOWN:
            made.image(memoryview(one), "p", "user", "typed", Limits())
    return made


def gathered(raw: bytes, splits: list[int], marker: bytes, seen: Pictures) -> bytes | Body:
    """The body as it is put together from pieces that lie in one buffer after the other."""
    gathering = Gathering(marker, seen)
    buffer = bytearray(len(raw) + 1)
    ends = [*sorted(split % (len(raw) + 1) for split in splits), len(raw)]
    at = 0
    for end in ends:
        buffer[: end - at] = raw[at:end]
        gathering.add(memoryview(buffer)[: end - at])
        buffer[:] = bytes(len(buffer))
        at = end
    return gathering.body()


def told(body: JsonBody) -> tuple[Any, bytes]:
    """What a body says, and what it becomes when a string before and one behind change."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            cut = body.payload(value)
            return (cut[0], bytes(cut[1])) if cut else body.text(value)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    changes = {("first",): "another", ("last",): "words"}
    return plain(body.root), b"".join(body.spliced(changes))


urls = st.sampled_from(KNOWN + NEW).map(lambda one: b'"data:image/png;base64,%b"' % one)
blocks = st.builds(
    lambda space, one: b'{"data"%b"%b"}' % (space, one),
    st.sampled_from([b":", b": ", b"\n:\t", b":" + b" " * 80]),
    st.sampled_from(KNOWN + NEW),
)
odd = st.sampled_from(
    [
        b'"a;base64,"',
        b'"plain text"',
        b'"data"',
        b'";base64,;base64,%b"' % KNOWN[0],
        b'"%b;base64,%b"' % (KNOWN[1], KNOWN[0]),
        b'"x;base64,%b and more"' % KNOWN[0],
        b'"x;base64,%b\\u0041"' % KNOWN[0],
        b'"data:;base64,%b"' % KNOWN[0][:-1],
        b'{";base64,": 1}',
    ]
)
values = st.lists(urls | blocks | odd, max_size=5)
splits = st.lists(st.integers(0, 40_000), max_size=8)


@given(values, splits, st.sampled_from([PLAIN, KEYED]))
def test_it_says_the_same_however_it_was_split(
    items: list[bytes], splits: list[int], marker: bytes
) -> None:
    raw = b'{"first": "one", "list": [' + b", ".join(items) + b'], "last": "two"}'
    seen = pictures()
    body = gathered(raw, splits, marker, seen)
    assert (body.whole() if isinstance(body, Body) else body) == raw
    assert len(body) == len(raw)
    read = read_json(body, marker, seen.known)
    assert told(read) == told(read_json(raw, marker, seen.known)) == told(read_json(raw, marker))
    assert b"".join(read.pieces) == raw


@given(st.binary(max_size=300), st.sampled_from(KNOWN), splits)
@example(b'"', KNOWN[0], [5])
def test_what_is_no_json_is_refused_alike(tail: bytes, known: bytes, splits: list[int]) -> None:
    raw = b'{"url": "data:image/png;base64,' + known + tail
    seen = pictures()
    body = gathered(raw, splits, PLAIN, seen)
    assert (body.whole() if isinstance(body, Body) else body) == raw
    try:
        expected = told(read_json(raw))
    except BadJson as error:
        with pytest.raises(BadJson, match=str(error)):
            read_json(body, PLAIN, seen.known)
    else:
        assert told(read_json(body, PLAIN, seen.known)) == expected


@pytest.mark.parametrize("marker", [PLAIN, KEYED])
def test_a_known_picture_is_not_kept_twice(marker: bytes) -> None:
    seen = pictures()
    known = [KNOWN[0], KNOWN[2], KNOWN[4]]  # no two of them begin alike
    item = b'"data:image/png;base64,%b"' if marker == PLAIN else b'{"data": "%b"}'
    raw = b'{"a": [' + b", ".join(item % one for one in (*known[:2], NEW[2], known[2])) + b"]}"
    body = gathered(raw, list(range(0, len(raw), 700)), marker, seen)
    assert isinstance(body, Body)
    kept = [body.pieces[place] for place in sorted(body.known)]
    assert kept == known
    recent = [one for alike in seen._recent.values() for one, _ in alike]
    assert all(any(piece is one for one in recent) for piece in kept)
    read = read_json(body, marker, seen.known)
    assert "raw" not in vars(read), "it was not joined either"


def test_a_text_without_pictures_is_kept_as_it_came() -> None:
    raw = b'{"text": "' + b"word ;base64 word " * 50_000 + b'"}'
    assert gathered(raw, list(range(0, len(raw), 65_536)), PLAIN, pictures()) == raw


def test_those_that_begin_alike_are_told_apart() -> None:
    seen = Pictures()
    alike = [payload(number, begins=7) for number in range(2 * ALIKE)]
    for _ in range(3):
        for one in alike:
            seen.image(memoryview(one), "p", "user", "typed", Limits())
    for one in alike:
        raw = b'{"url": "data:image/png;base64,%b"}' % one
        for splits in ([], [1_500], [2_300], [len(raw) - 3]):
            body = gathered(raw, splits, PLAIN, seen)
            assert told_url(read_json(body, PLAIN, seen.known)) == one


def told_url(body: JsonBody) -> bytes:
    """The payload of a body of one address."""
    cut = body.payload(body.root["url"])
    assert cut is not None
    return bytes(cut[1])


@pytest.mark.parametrize("before", [b'{"url": "', b'{"url": "data:;base64,x', b'{";base64,": "'])
def test_a_known_piece_where_no_payload_stands_is_read_as_any_other(before: bytes) -> None:
    body = Body((before, KNOWN[0], b'"}'), frozenset((1,)))
    read = read_json(body, PLAIN, pictures().known)
    assert told(read) == told(read_json(body.whole(), PLAIN))
    assert KNOWN[0] in b"".join(read.spliced({}))


@pytest.mark.parametrize("item", [b"x;base64,", b";base64," + KNOWN[0][:1_500]])
def test_time_grows_with_length_alone(item: bytes) -> None:
    seen, times = pictures(), []
    for size in (200_000, 800_000):
        raw = b"[" + b", ".join([b'"%b"' % item] * (size // len(item))) + b"]"
        took = []
        for _ in range(3):
            began = time.process_time()
            gathered(raw, [], PLAIN, seen)
            took.append(time.process_time() - began)
        times.append(min(took))
    assert times[1] < 10 * max(times[0], 0.01)
