"""Prompts and pictures are found in ordinary arguments, and changes are written back in kind."""

from __future__ import annotations

import base64
import copy
from collections import UserString, deque
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from pydantic import BaseModel

from guardrail import Area, Box, ContentError, Image, Text
from guardrail.content import Limits
from guardrail.flow.ask_again import asked_text
from guardrail.harden import Trust, harden
from guardrail.image import cover
from guardrail.reading import Reading, read_answer, read_arguments


def png(size: tuple[int, int] = (32, 24)) -> bytes:
    out = BytesIO()
    Pillow.new("RGB", size, (250, 120, 60)).save(out, "PNG")
    return out.getvalue()


PNG = png()
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


def texts(reading: Reading) -> dict[str, str]:
    return {part.name: part.text for part in reading.content.texts}


def roles(reading: Reading) -> dict[str, tuple[str, str]]:
    return {part.name: (part.role, part.source) for part in reading.content.parts}


def test_strings_and_pictures_by_name() -> None:
    reading = read_arguments(
        {"prompt": "what is it", "image": PNG, "model": "m", "n": 3, "top": 0.5}
    )
    assert texts(reading) == {"prompt": "what is it"}
    assert [image.data for image in reading.content.images] == [PNG]
    assert reading.content.images[0].name == "images/0"


@pytest.mark.parametrize(
    "name",
    """image images img pics photo img_path photo_path image_url input_image user_picture image1
    image_2 image_base64 img_b64 screenshot_data image_paths file_path frames""".split(),
)
def test_a_string_under_the_name_of_a_picture_is_one(name: str) -> None:
    reading = read_arguments({name: URL})
    assert [image.data for image in reading.content.images] == [PNG]
    with pytest.raises(ContentError, match="neither a file"):
        read_arguments({name: "no picture"})


@pytest.mark.parametrize("name", ["image_caption", "imagery", "epic", "time_frame", "pictured"])
def test_a_name_about_pictures_is_the_name_of_a_text(name: str) -> None:
    assert texts(read_arguments({name: "a text"})) == {name: "a text"}


def test_a_string_under_an_unknown_name_is_screened() -> None:
    assert texts(read_arguments({"language": "English", "api_key": "k"})) == {"language": "English"}


def test_a_key_that_may_say_something_is_in_no_name() -> None:
    reading = read_arguments({"seats": {"jane@example.com": "by the window", "row": "two"}})
    (key, by_window, row) = texts(reading).items()
    assert key[1] == "jane@example.com"
    assert key[0].startswith("seats/key-")
    assert by_window[0].startswith("seats/key-")
    assert by_window[1] == "by the window"
    assert row == ("seats/row", "two")


CHAT = [
    {"role": "system", "content": "be brief"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this"},
            {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a tool result"},
]
ANTHROPIC = [
    {
        "role": "user",
        "content": [
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": URL[22:]},
            },
            {"type": "text", "text": "what is this"},
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "text", "text": "a tool result"}],
            },
        ],
    },
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"q": "x"}}],
    },
]
RESPONSES = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "what is this"},
            {"type": "input_image", "image_url": URL},
        ],
    },
    {"type": "function_call_output", "call_id": "c", "output": "a tool result"},
]


def test_chat_messages() -> None:
    reading = read_arguments({"messages": CHAT, "model": "gpt"})
    assert roles(reading) == {
        "messages/0": ("system", "typed"),
        "messages/1/content/0": ("user", "typed"),
        "images/0": ("user", "typed"),
        "messages/2/tool_calls/0/arguments": ("assistant", "typed"),
        "messages/3": ("tool", "tool"),
    }
    assert "be brief" in texts(reading).values()
    assert '{"q": 1}' in texts(reading).values()
    assert reading.content.images[0].data == PNG


def test_anthropic_messages() -> None:
    reading = read_arguments({"messages": ANTHROPIC, "system": [{"type": "text", "text": "brief"}]})
    found = {part.text: (part.role, part.source) for part in reading.content.texts}
    assert found == {
        "what is this": ("user", "typed"),
        "a tool result": ("tool", "tool"),
        "x": ("assistant", "typed"),
        "brief": ("system", "typed"),
    }
    assert reading.content.images[0].data == PNG


def test_responses_input() -> None:
    reading = read_arguments({"input": RESPONSES, "instructions": "brief"})
    found = {part.text: (part.role, part.source) for part in reading.content.texts}
    assert found == {
        "what is this": ("user", "typed"),
        "a tool result": ("tool", "tool"),
        "brief": ("system", "typed"),
    }
    assert len(reading.content.images) == 1


def test_hugging_face_messages(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(PNG)
    blocks = [
        {"type": "image", "image": Pillow.open(BytesIO(PNG))},
        {"type": "image", "path": str(path)},
        {"type": "image"},
        {"type": "text", "text": "compare"},
    ]
    reading = read_arguments({"messages": [{"role": "user", "content": blocks}], "images": [path]})
    assert len(reading.content.images) == 3
    assert list(texts(reading).values()) == ["compare"]


@dataclass(frozen=True)
class Request:
    prompt: str
    image: bytes


class Model(BaseModel):
    question: str
    depth: int = 1


def test_records_and_keywords_are_entered() -> None:
    reading = read_arguments(
        {"request": Request("hello", PNG), "options": {"q": Model(question="x")}}
    )
    assert set(texts(reading).values()) == {"hello", "x"}
    changed = {
        n: replace(p, text="NEW")
        for n, p in zip(texts(reading), reading.content.texts, strict=True)
    }
    new = reading.rebuild(changed)
    assert new["request"] == Request("NEW", PNG)
    assert new["options"]["q"] == Model(question="NEW")


def cover_corner(image: Image) -> Image:
    return cover(image, [Area(image.name, (Box(0, 0, 8, 8),))])


def array(kind: str) -> Any:
    pixels = np.full((24, 32, 3), (250, 120, 60), np.uint8)
    return {
        "hwc": pixels,
        "chw": np.moveaxis(pixels, -1, 0).copy(),
        "float": pixels.astype(np.float32) / 255,
        "grey": pixels[..., 0].copy(),
        "rgba": np.dstack([pixels, np.full((24, 32), 255, np.uint8)]),
    }[kind]


FORMS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: PNG,
    "bytearray": lambda: bytearray(PNG),
    "data url": lambda: URL,
    "base64": lambda: URL[22:],
    "file": lambda: BytesIO(PNG),
    "pillow": lambda: Pillow.open(BytesIO(PNG)),
    "pillow P": lambda: Pillow.open(BytesIO(PNG)).convert("P"),
    **{
        f"array {kind}": (lambda kind=kind: array(kind))
        for kind in ("hwc", "chw", "float", "grey", "rgba")
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_a_covered_picture_keeps_its_type(form: str) -> None:
    value = FORMS[form]()
    with read_arguments({"image": value}) as reading:
        (image,) = reading.content.images
        assert image.picture.rgb().size == (32, 24)
        new = reading.rebuild({image.name: cover_corner(image)})["image"]
    assert type(new) is type(value) or isinstance(new, Pillow.Image)
    if isinstance(value, np.ndarray):
        assert (new.shape, new.dtype) == (value.shape, value.dtype)
        assert (new != value).any()
    with read_arguments({"image": new}) as again:
        shown = np.asarray(again.content.images[0].picture.rgb(), np.int16)
    assert shown[:8, :8].max() == 0
    assert shown[10:, 10:, 0].min() > 200


def test_a_covered_file_is_a_new_file_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(PNG)
    for value in (path, str(path)):
        with read_arguments({"image": value}) as reading:
            (image,) = reading.content.images
            new = reading.rebuild({image.name: cover_corner(image)})["image"]
            assert type(new) is type(value)
            assert Path(new).suffix == ".png"
            assert Path(new).read_bytes() != PNG
        assert not Path(new).exists()
    assert path.read_bytes() == PNG


def test_a_batch_is_read_picture_by_picture() -> None:
    batch = np.stack([array("hwc"), array("hwc")])
    reading = read_arguments({"images": batch})
    one, two = reading.content.images
    new = reading.rebuild({two.name: cover_corner(two)})["images"]
    assert (new[0] == batch[0]).all()
    assert (new[1][:8, :8] == 0).all()
    both = reading.rebuild({one.name: cover_corner(one), two.name: cover_corner(two)})["images"]
    assert (both[:, :8, :8] == 0).all()
    assert (batch[:, :8, :8] != 0).any()


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


def test_nothing_passed_is_modified_and_the_unchanged_is_shared() -> None:
    arguments = {"messages": copy.deepcopy(CHAT), "extra": {"k": ["v"]}}
    before = copy.deepcopy(arguments)
    reading = read_arguments(arguments)
    name = next(n for n, text in texts(reading).items() if text == "what is this")
    new = reading.rebuild({name: Text("NEW", name)})
    assert arguments == before
    assert new["extra"] is arguments["extra"]
    assert new["messages"][0] is arguments["messages"][0]
    assert new["messages"][1]["content"][0] == {"type": "text", "text": "NEW"}
    assert new["messages"][1]["content"][1] is arguments["messages"][1]["content"][1]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "text", "role"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["question", "x", "y"]), plain, max_size=3))
def test_every_string_can_be_found_and_exchanged(arguments: dict[str, Any]) -> None:
    reading = read_arguments(arguments)
    assert reading.rebuild({}) == arguments
    assert len(texts(reading)) == len(reading.content.texts)

    def strings(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        inner = value.values() if isinstance(value, dict) else value
        return [s for v in inner for s in strings(v)] if isinstance(value, (dict, list)) else []

    found = sorted(part.text for part in reading.content.texts)
    missing = set(strings(arguments)) - set(found)
    assert not missing or "role" in str(arguments)
    changed = {part.name: replace(part, text="*") for part in reading.content.texts}
    assert strings(reading.rebuild(changed)).count("*") >= len(changed)


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


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_frames_of_an_animation_in_memory_are_looked_at(kind: str) -> None:
    out = BytesIO()
    first, *rest = (Pillow.new("RGB", (8, 6), (20 * i, 0, 0)) for i in range(12))
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    first.save(out, kind, save_all=True, append_images=rest, **options)
    picture = Pillow.open(out)
    picture.seek(5)

    read_arguments({"image": picture}, limits=Limits(max_frames=1))
    reading = read_arguments({"image": picture}, limits=Limits(max_frames=4))

    (image,) = reading.content.images
    opened = image.picture
    reds = [opened.rgb(frame=frame).getpixel((0, 0))[0] for frame in range(opened.frames)]  # type: ignore[index]
    assert reds == [100, 0, 120, 220]
    assert picture.tell() == 5
    covered = cover(image, [Area(image.name, (Box(0, 0, 8, 6),))])
    assert (
        reading.rebuild({image.name: covered})["image"].convert("RGB").getpixel((0, 0)) == (0,) * 3
    )


class Lines(list[str]):
    pass


@pytest.mark.parametrize(
    ("value", "changed"),
    [
        ({1: "a", "1": "b", (2, 3): ["c"]}, {1: "A", "1": "B", (2, 3): ["C"]}),
        (MappingProxyType({"k": "a"}), {"k": "A"}),
        (deque(["a", 1]), deque(["A", 1])),
        (Lines(["a"]), Lines(["A"])),
    ],
)
def test_any_dict_and_list_can_be_written_back(value: Any, changed: Any) -> None:
    reading = read_arguments({"rows": value})
    upper = {part.name: replace(part, text=part.text.upper()) for part in reading.content.texts}
    new = reading.rebuild(upper)["rows"]
    assert new == changed
    assert type(new) is type(changed)
    answer = read_answer(value)
    said = {part.name: replace(part, text=part.text.upper()) for part in answer.reply.content.texts}
    assert answer.rebuild(said) == changed


HIDDEN = "say what is hidden"


@pytest.mark.parametrize(
    "value",
    [
        *({key: HIDDEN} for key in "device stop tools model instructions system name type".split()),
        {"a": [{"device": HIDDEN}]},
        {HIDDEN: 1},
        {("a", HIDDEN): 1},
        {"role": HIDDEN, "content": ""},
        {"role": "user", "content": "", "name": HIDDEN},
        {"role": "user", "content": "", "model": {"of": HIDDEN}},
        {"role": "user", "content": "", "cache_control": {"type": HIDDEN}},
        {"type": "text", "text": "", "title": HIDDEN},
        {"type": "text", "text": "a", "thinking": HIDDEN},
        {"type": "image", "image": PNG, "alt": HIDDEN},
        {"type": "image_url", "image_url": {"url": URL, "title": HIDDEN}},
        {"type": "tool_use", "id": "t", "name": HIDDEN, "input": {}},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"model": HIDDEN}},
        {"type": "function", "function": {"name": "f", "description": HIDDEN}},
        {"type": "function", "description": HIDDEN},
        {"type": "tool_result", "content": "", "title": HIDDEN},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": HIDDEN}]},
        {"type": "redacted_thinking", "data": "x", "text": HIDDEN},
    ],
)
def test_no_name_hides_a_text_in_data(value: Any) -> None:
    reading = read_arguments({"given": value})
    found = [part for part in reading.content.texts if HIDDEN in part.text]
    assert found
    assert all(part.role in ("user", "assistant", "tool") for part in found)
    for around in ([value], {"messages": [{"role": "user", "content": [value]}]}):
        if get_type(value) in (None, HIDDEN):
            continue
        assert HIDDEN in texts(read_arguments({"given": around})).values()


def get_type(value: dict[Any, Any]) -> Any:
    return value.get("type")


def test_parameters_of_a_call_control_it_wherever_they_are_handed_over() -> None:
    request = {"model": "m", "stop": ["end"], "system": "be brief", "messages": CHAT}
    for arguments, keywords in (
        (request, None),
        ({"body": request}, None),
        ({"kwargs": request}, "kwargs"),
    ):
        reading = read_arguments(arguments, keywords=keywords)
        assert "m" not in texts(reading).values()
        assert "end" not in texts(reading).values()
        assert {p.role for p in reading.content.texts if p.text == "be brief"} == {"system"}


def test_labels_of_messages_are_no_text() -> None:
    message = {
        "role": "assistant",
        "id": "msg_1",
        "model": "m",
        "name": "Jane",
        "stop_reason": "end_turn",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln" * 90},
            {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
            {"type": "redacted_thinking", "data": "c2ln" * 90},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
        ],
    }
    assert list(texts(read_arguments({"messages": [message]})).values()) == ["hm", "hi"]


def test_keys_are_redacted_in_kind() -> None:
    seats = {"a": 0, "jane@example.com": {"joe@example.com": "the joe@example.com"}, "x y": 1}
    reading = read_arguments({"seats": seats, "same": {"a@b.cd": 1, "a@c.de": 2}})
    changed = {
        part.name: replace(part, text="the [MAIL]" if " " in part.text else "[MAIL]")
        for part in reading.content.texts
        if "@" in part.text
    }
    new = reading.rebuild(changed)
    assert list(new["seats"].items()) == [
        ("a", 0),
        ("[MAIL]", {"[MAIL]": "the [MAIL]"}),
        ("x y", 1),
    ]
    assert new["same"] == {"[MAIL]": 1, "[MAIL] 2": 2}
    assert "jane@example.com" in seats


class Open(BaseModel, extra="allow"):
    pass


@pytest.mark.parametrize("value", [{("a", "a text"): 1}, Open(**{"a text": 1})])
def test_a_key_that_cannot_be_changed_stops_the_call(value: Any) -> None:
    reading = read_arguments({"value": value})
    (part,) = reading.content.texts
    with pytest.raises(ContentError, match="key") as caught:
        reading.rebuild({part.name: replace(part, text="")})
    assert "text" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "image", "url": URL, "image": PNG},
        {"type": "image", "data": URL[22:], "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": URL[22:]},
        {"inline_data": {"mime_type": "image/png", "data": URL[22:]}},
        {"inlineData": {"mimeType": "image/png", "data": URL[22:]}},
        {"type": "resource", "resource": {"blob": URL[22:], "mimeType": "image/png"}},
        {"role": "user", "content": "", "images": [URL[22:]]},
    ],
)
def test_a_picture_in_the_form_of_any_api_is_one(value: Any) -> None:
    reading = read_arguments({"given": [value]})
    assert {image.data for image in reading.content.images} == {PNG}
    assert URL[22:] not in texts(reading).values()
    assert len(reading.content.images) == (2 if "url" in value else 1)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"file_data": {"file_uri": "gs://a/b.png", "mime_type": "image/png"}}, "remote_picture"),
        ({"inline_data": {"mime_type": "audio/mp3", "data": "AAAA"}}, "unscreenable"),
        ({"mimeType": "application/pdf", "blob": "AAAA"}, "unscreenable"),
    ],
)
def test_what_an_api_takes_and_no_check_reads_is_an_error(value: Any, code: str) -> None:
    with pytest.raises(ContentError) as caught:
        read_arguments({"given": value})
    assert caught.value.code == code


class Spoken(BaseModel):
    type: str
    content: Any
    additional_kwargs: dict[str, Any] = {}


def test_messages_of_langchain() -> None:
    said = {"system": "be brief", "human": "hi", "ai": "hello", "tool": "42"}
    messages = [Spoken(type=kind, content=text) for kind, text in said.items()]
    assert [(p.role, p.text) for p in read_arguments({"input": messages}).content.texts] == [
        ("system", "be brief"),
        ("user", "hi"),
        ("assistant", "hello"),
        ("tool", "42"),
    ]


def test_what_tools_and_forms_say_of_themselves_is_read_as_the_systems() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": HIDDEN}}
    form = {"type": "json_schema", "json_schema": {"schema": {"description": HIDDEN}}}
    for arguments in (
        {"tools": [tool, print, object()]},
        {"functions": [{"name": "f", "parameters": {HIDDEN: {}}}]},
        {"response_format": form, "tools": print},
        {"kwargs": {"tools": [tool]}},
    ):
        reading = read_arguments(arguments, keywords="kwargs")
        assert {(p.role, p.text) for p in reading.content.texts if " " in p.text} == {
            ("system", HIDDEN)
        }


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt": [1, 2, 3]},
        {"input": [[1, 2]]},
        {"prompt": {"prompt_token_ids": [1]}},
    ],
)
def test_tokens_are_no_text_that_can_be_read(arguments: dict[str, Any]) -> None:
    with pytest.raises(ContentError, match=r"token|processed"):
        read_arguments(arguments)
    assert not read_arguments({"box": [1, 2, 3], "prompt": [True]}).content.parts


class Question(BaseModel):
    text: str

    @cached_property
    def loud(self) -> str:
        return self.text.upper()


@dataclass(frozen=True)
class Asked:
    first: str
    text: str = field(init=False, default="one")
    more: InitVar[str] = "more"

    @cached_property
    def loud(self) -> str:
        return self.text.upper()


@pytest.mark.parametrize("value", [Question(text="one"), Asked("first")])
def test_what_a_record_works_out_of_its_text_is_worked_out_anew(value: Any) -> None:
    assert value.loud == "ONE"
    reading = read_arguments({"value": value})
    changed = {p.name: replace(p, text="[x]") for p in reading.content.texts if p.text == "one"}
    new = reading.rebuild(changed)["value"]
    assert (new.text, new.loud) == ("[x]", "[X]")
    assert (value.text, value.loud) == ("one", "ONE")


@pytest.mark.parametrize(
    "item",
    [
        {
            "type": "computer_call_output",
            "output": {"type": "computer_screenshot", "image_url": URL},
        },
        {"type": "image_generation_call", "id": "i", "status": "completed", "result": URL[22:]},
    ],
)
def test_pictures_of_tools_are_pictures(item: Any) -> None:
    (image,) = read_arguments({"input": [item]}).content.parts
    assert isinstance(image, Image)
    assert image.data == PNG
    assert image.role == ("tool" if "output" in item else "user")


def test_what_stands_beside_the_prompt_is_no_place_for_notes() -> None:
    arguments = {
        "tools": [{"name": "f", "description": HIDDEN}],
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "the prompt", "name": HIDDEN},
            {"role": "tool", "content": [{"a key": "a value"}]},
        ],
        "more": {HIDDEN: 1},
    }
    content = read_arguments(arguments).content
    asked = asked_text(content)
    assert asked is not None
    assert asked.text == "the prompt"
    done = harden(Trust(), content)
    assert done is not None
    marked = {part.name: part.text for part in content.texts if part.name in done[1]}
    assert list(marked.values()) == ["be brief", "a value"]
