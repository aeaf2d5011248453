"""A picture that comes again is known by its base64, and nothing else is taken for it."""

from __future__ import annotations

import base64
import json
import os

import pytest

from guardrail import ContentError, Limits
from guardrail_integrations.proxy.formats.json_body import BadJson, read_json
from guardrail_integrations.proxy.media.pictures import ALIKE, Pictures

LIMITS = Limits()


def body(*payloads: str) -> bytes:
    return json.dumps({"pictures": [f"data:image/png;base64,{one}" for one in payloads]}).encode()


def data_of(raw: bytes, seen: Pictures) -> list[bytes]:
    """The bytes of the pictures of a body."""
    read = read_json(raw, known=seen.known)
    found = []
    for value in read.root["pictures"]:
        taken = read.payload(value)
        assert taken is not None
        assert taken[0] == "data:image/png;base64,"
        found.append(seen.image(taken[1], "p", "user", "typed", LIMITS).data)
    return found


def picture(*ends: bytes) -> tuple[bytes, ...]:
    """Pictures that begin alike."""
    begins = os.urandom(3_000)
    return tuple(begins + end for end in ends)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_what_comes_again_is_the_same() -> None:
    seen, pictures = Pictures(), picture(b"one", b"two", b"three three")
    raw = body(*map(encoded, pictures))
    for _ in range(4):
        assert data_of(raw, seen) == list(pictures)
    assert seen.known(raw, raw.index(b"base64,") + 7) == encoded(pictures[0]).encode()


def test_one_that_goes_on_is_another() -> None:
    seen, (short, long) = Pictures(), picture(b"xyz", b"xyzxyz")
    for _ in range(3):
        data_of(body(encoded(short)), seen)
    for _ in range(3):
        assert data_of(body(encoded(long), encoded(short)), seen) == [long, short]


def test_many_that_begin_alike_are_told_apart() -> None:
    seen = Pictures()
    pictures = picture(*(b"%03d" % number for number in range(3 * ALIKE)))
    for _ in range(3):
        assert data_of(body(*map(encoded, pictures)), seen) == list(pictures)


def test_behind_a_known_one_the_body_is_still_read_strictly() -> None:
    seen, (one,) = Pictures(), picture(b"one")
    raw = body(encoded(one))
    for _ in range(3):
        data_of(raw, seen)
    for broken in (raw[:-2], raw[:-1] + b", 1}", raw.replace(b'"]', b"\x01]")):
        with pytest.raises((BadJson, ContentError)):
            data_of(broken, seen)


def test_changes_are_written_around_a_known_one() -> None:
    seen, (one,) = Pictures(), picture(b"one")
    raw = b'{"a": "x", ' + body(encoded(one))[1:-1] + b', "b": "y"}'
    for _ in range(3):
        data_of(raw, seen)
    read = read_json(raw, known=seen.known)
    changed = b"".join(read.spliced({("a",): "long text", ("b",): "z"}))
    assert changed == raw.replace(b'"x"', b'"long text"').replace(b'"y"', b'"z"')
