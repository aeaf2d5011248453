"""Pictures in base64 that are known again by it."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail import ContentError, Image, Limits
from guardrail.cache import Digester
from guardrail_integrations.proxy.media.pictures import Pictures

KEY, OTHER = b"k" * 32, b"o" * 32


def image(pictures: Pictures, data: bytes, name: str = "a") -> Image:
    return pictures.image(base64.b64encode(data), name, "user", "typed", Limits())


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_a_picture_is_what_its_base64_says_however_often_it_comes(datas: list[bytes]) -> None:
    pictures, digester = Pictures(), Digester()
    for data in datas * 2:
        seen, plain = image(pictures, data), Image(data, "a")
        assert (seen.size, seen.digest(KEY), seen.digest(OTHER)) == (
            len(data),
            plain.digest(KEY),
            plain.digest(OTHER),
        )
        assert digester.of_part(seen) == digester.of_part(plain)
        assert (seen.data, seen.sha256) == (data, plain.sha256)


def test_one_that_was_seen_is_not_decoded_for_its_digest_and_size() -> None:
    pictures = Pictures()
    first = image(pictures, b"a picture")
    digest = first.digest(KEY)
    again = image(pictures, b"a picture", "b")
    assert (again.size, again.digest(KEY), again.name) == (9, digest, "b")
    assert "data" not in vars(again)


def test_one_that_comes_often_is_compared_and_one_much_like_it_is_another() -> None:
    pictures = Pictures()
    for _ in range(3):
        assert image(pictures, b"a" * 99 + b"x").data == b"a" * 99 + b"x"
        assert image(pictures, b"a" * 99 + b"y").data == b"a" * 99 + b"y"


def test_an_edited_one_is_another_picture() -> None:
    edited = replace(image(Pictures(), b"a picture"), data=b"covered")
    assert edited.data == b"covered"
    assert edited.digest(KEY) == Image(b"covered").digest(KEY)
    assert edited.size == 7


@pytest.mark.parametrize("payload", [b"YQ=", b"YQ==YQ==", b"Y!==", b"Y"])
def test_a_damaged_one_is_refused_each_time(payload: bytes) -> None:
    pictures = Pictures()
    for _ in range(2):
        with pytest.raises(ContentError, match="damaged or cut off"):
            pictures.image(payload, "a", "user", "typed", Limits())
