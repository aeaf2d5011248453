"""Which arguments are read, and what cannot be read."""

from __future__ import annotations

from collections import UserString
from decimal import Decimal
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from guardrail import ContentError
from guardrail.reading import read_arguments
from tests.reading.parts import PNG, texts


def test_strings_and_pictures_by_name() -> None:
    reading = read_arguments(
        {"prompt": "what is it", "image": PNG, "model": "m", "n": 3, "top": 0.5}
    )
    assert texts(reading) == {"prompt": "what is it"}
    assert [image.data for image in reading.content.images] == [PNG]
    assert reading.content.images[0].name == "images/0"


def test_a_string_under_an_unknown_name_is_screened() -> None:
    assert texts(read_arguments({"language": "English", "api_key": "k"})) == {"language": "English"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"pixel_values": np.zeros((1, 3, 8, 8), np.float32)}, "already_processed"),
        ({"image": np.full((3, 8, 8), -1.5, np.float32)}, "already_processed"),
        ({"image": np.full((8, 8, 3), 300.0)}, "already_processed"),
        ({"x": np.zeros(7)}, "already_processed"),
        ({"x": np.zeros((2, 9), np.int64)}, "already_processed"),
        ({"image_url": "https://example.com/cat.png"}, "remote_picture"),
        ({"image": "no such file"}, "unreadable"),
        ({"image": "data:image/png;base64,@@@"}, "unreadable"),
        ({"image": "data:image/svg+xml,<svg/>"}, "unreadable"),
        ({"thing": object()}, "unreadable_argument"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "unreadable"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "unscreenable"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "remote_picture",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": {"type": "url", "url": "https://e.com/a"}}
                        ],
                    }
                ]
            },
            "remote_picture",
        ),
    ],
)
def test_what_cannot_be_read_is_an_error(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(ContentError) as caught:
        read_arguments(arguments)
    assert caught.value.code == code


def test_only_the_named_parameters_are_read() -> None:
    arguments = {"a": "x", "b": object(), "rest": {"question": "y"}, "model": "named"}
    assert texts(read_arguments(arguments, only=["a", "question", "model"])) == {
        "a": "x",
        "question": "y",
        "model": "named",
    }


def test_numbers_of_any_kind_say_nothing() -> None:
    arguments = {"top": np.float32(0.5), "most": np.int64(3), "price": Decimal("2.50")}
    assert not read_arguments(arguments).content.parts


def _closed() -> BytesIO:
    file = BytesIO(PNG)
    file.close()
    return file


def _closed_picture() -> Pillow.Image:
    picture = Pillow.open(BytesIO(PNG))
    picture.close()
    return picture


def _within_itself() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (_closed(), "unreadable"),
        (_closed_picture(), "damaged"),
        (Pillow.open(BytesIO(PNG[:60])), "truncated"),
        (Pillow.new("RGB", (0, 4)), "empty"),
        (_within_itself(), "unreadable_argument"),
        (UserString("x"), "unreadable_argument"),
    ],
)
def test_an_object_that_fails_when_it_is_read_is_an_error_of_the_call(
    value: Any, code: str
) -> None:
    with pytest.raises(ContentError) as caught:
        read_arguments({"image": value})
    assert caught.value.code == code
    assert caught.value.part in ("image", "arguments")
