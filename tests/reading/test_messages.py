"""Messages in the forms of all APIs are read part by part."""

from __future__ import annotations

import copy
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from pydantic import BaseModel

from guardrail import ContentError, Image, Text
from guardrail.flow.ask_again import asked_text
from guardrail.harden import Trust, harden
from guardrail.reading import read_arguments
from tests.reading.parts import HIDDEN, PNG, URL, roles, texts

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
