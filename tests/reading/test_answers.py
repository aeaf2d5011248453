"""Answers and chunks are read in the forms that models and clients return."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydantic import BaseModel

from guardrail import Action, Area, Blocked, Box, ContentError, Guard, Image, Usage
from guardrail.image import cover
from guardrail.reading import read_answer, read_delta, write_delta
from guardrail.testing import fixed_detector, policy_of, rule

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m-1",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "one"}},
        {
            "index": 1,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "t",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"a":1}'},
                    }
                ],
            },
        },
    ],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
}
MESSAGE = {
    "id": "msg",
    "type": "message",
    "role": "assistant",
    "model": "m-2",
    "stop_reason": "end_turn",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "one"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"place": "two"}},
    ],
    "usage": {"input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": 8},
}
RESPONSE = {
    "id": "resp",
    "object": "response",
    "model": "m-3",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "role": "assistant",
            "id": "x",
            "content": [{"type": "output_text", "text": "one", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
    ],
    "usage": {"input_tokens": 10, "output_tokens": 4},
}


@dataclass(frozen=True)
class Seen:
    title: str
    objects: tuple[str, ...]


class Report(BaseModel):
    title: str
    count: int


def read(value: Any) -> list[str]:
    return [part.text for part in read_answer(value).reply.content.texts]


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("one", ["one"]),
        (None, []),
        (["one", "two"], ["one", "two"]),
        (CHAT, ["one", '{"a":1}']),
        (MESSAGE, ["hm", "one", "two"]),
        (RESPONSE, ["one", '{"a":1}']),
        ([{"generated_text": "one"}], ["one"]),
        ([{"generated_text": [{"role": "assistant", "content": "one"}]}], ["one"]),
        ({"title": "one", "objects": ["two"], "n": 3}, ["one", "two"]),
        ({"type": "person", "name": "one", "id": "two"}, ["person", "one", "two"]),
        (Seen("one", ("two",)), ["one", "two"]),
        (Report(title="one", count=2), ["one"]),
    ],
)
def test_every_text_is_read_and_can_be_exchanged(value: Any, texts: list[str]) -> None:
    before = copy.deepcopy(value)
    answer = read_answer(value)
    parts = answer.reply.content.texts
    assert [part.text for part in parts] == texts
    assert {part.source for part in parts} <= {"model"}
    new = answer.rebuild({part.name: replace(part, text=f"<{part.text}>") for part in parts})
    assert read(new) == [f"<{text}>" for text in texts]
    assert type(new) is type(value)
    assert value == before


def test_usage_and_finish_reason() -> None:
    chat, message, response = (read_answer(v).reply for v in (CHAT, MESSAGE, RESPONSE))
    assert chat.usage == Usage(10, 4, 8, 2)
    assert message.usage == Usage(10, 4, 8, None)
    assert (chat.finish_reason, message.finish_reason) == ("stop", "end_turn")
    assert (response.finish_reason, response.model, response.response_id) == (
        "completed",
        "m-3",
        "resp",
    )


class Words:
    """A tokenizer over a fixed list of words, with the calls that transformers' have."""

    words = ("<pad>", "a", "bad", "cat", "[bad]")

    def batch_decode(self, rows: Any, skip_special_tokens: bool) -> list[str]:
        return [
            " ".join(self.words[int(i)] for i in row if i or not skip_special_tokens)
            for row in rows
        ]

    def __call__(self, texts: list[str], add_special_tokens: bool, **options: Any) -> Any:
        ids = [[self.words.index(word) for word in text.split()] for text in texts]
        return {"input_ids": np.array(ids) if options.get("return_tensors") else ids}


@pytest.mark.parametrize(
    "tokens", [np.array([[1, 2, 3, 0]]), np.array([1, 2, 3]), [1, 2, 3], [[1, 2, 3]]]
)
def test_tokens_are_read_with_the_processor(tokens: Any) -> None:
    with pytest.raises(ContentError, match="processor"):
        read_answer(tokens)
    answer = read_answer(tokens, processor=Words())
    (part,) = answer.reply.content.texts
    assert part.text == "a bad cat"
    new = answer.rebuild({part.name: replace(part, text="a [bad] cat")})
    assert type(new) is type(tokens)
    assert np.array(new).flatten().tolist() == [1, 4, 3]


def test_an_unknown_object_is_an_error() -> None:
    with pytest.raises(ContentError) as caught:
        read_answer(object())
    assert caught.value.code == "unreadable_answer"


def chat_chunk(**delta: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }


CHUNKS: list[tuple[Any, list[tuple[str, str]]]] = [
    ("piece", [("output", "piece")]),
    (
        chat_chunk(tool_calls=[{"function": {"arguments": text}} for text in ("one", "two")]),
        [("output/tool_calls/0", "one"), ("output/tool_calls/1", "two")],
    ),
    (
        chat_chunk(
            tool_calls=[{"index": 0, "function": {"arguments": text}} for text in ("one", "two")]
        ),
        [("output/tool_calls/0", "one"), ("output/tool_calls/0+1", "two")],
    ),
    (chat_chunk(content="piece"), [("output", "piece")]),
    (chat_chunk(role="assistant"), []),
    (
        chat_chunk(tool_calls=[{"index": 2, "function": {"arguments": '{"a'}}]),
        [("output/tool_calls/2", '{"a')],
    ),
    ({"choices": [{"index": 1, "text": "piece"}]}, [("output/1", "piece")]),
    ({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}, []),
    (
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "text_delta", "text": "piece"},
        },
        [("output/1/text", "piece")],
    ),
    (
        {"type": "content_block_delta", "index": 0, "delta": {"partial_json": '{"a'}},
        [("output/0/partial_json", '{"a')],
    ),
    ({"type": "ping"}, []),
    (
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 3},
        },
        [],
    ),
    (
        {
            "type": "response.output_text.delta",
            "output_index": 0,
            "content_index": 0,
            "delta": "piece",
        },
        [("output/0/0/response.output_text.delta", "piece")],
    ),
    (
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "all"},
        [("output/0/0/response.output_text.done/text", "all")],
    ),
    (
        {"type": "response.completed", "response": RESPONSE},
        [
            ("output//response.completed/response/output/0/content/0/text", "one"),
            ("output//response.completed/response/output/1/arguments", '{"a":1}'),
        ],
    ),
]


@pytest.mark.parametrize(("chunk", "pieces"), CHUNKS)
def test_chunks_are_read_and_written(chunk: Any, pieces: list[tuple[str, str]]) -> None:
    before = copy.deepcopy(chunk)
    assert list(read_delta(chunk).parts) == pieces
    new = write_delta(chunk, {key: f"<{text}>" for key, text in pieces})
    assert list(read_delta(new).parts) == [(key, f"<{text}>") for key, text in pieces]
    assert chunk == before
    assert write_delta(chunk, {}) is chunk


def test_the_end_of_a_stream_is_heard() -> None:
    last = read_delta({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    assert last.finish_reason == "length"
    usage = read_delta({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    assert usage.usage == Usage(1, 2)
    anthropic = read_delta(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens"},
            "usage": {"output_tokens": 3},
        }
    )
    assert (anthropic.finish_reason, anthropic.usage.output_tokens) == ("max_tokens", 3)
    started = read_delta({"type": "message_start", "message": MESSAGE})
    assert (started.model, started.response_id) == ("m-2", "msg")


def test_an_unknown_chunk_is_an_error() -> None:
    with pytest.raises(ContentError):
        read_delta(object())


def _chat(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


CALL = {"index": 2, "function": {"arguments": "{"}}


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ("text", ()),
        (_chat(content=""), ()),
        (_chat(content="a"), ("output/reasoning_content", "output/reasoning")),
        (
            _chat(1, tool_calls=[CALL]),
            (
                "output/1/reasoning_content",
                "output/1/reasoning",
                "output/1",
                "output/1/refusal",
                "output/1/tool_calls/0",
                "output/1/tool_calls/1",
            ),
        ),
        (
            _chat(finish="stop"),
            (
                "output/reasoning_content",
                "output/reasoning",
                "output",
                "output/refusal",
                "output/tool_calls/*",
            ),
        ),
        ({"type": "content_block_delta", "index": 1, "delta": {"text": "a"}}, ()),
        (
            {"type": "content_block_stop", "index": 1},
            ("output/1/*", "output/1/content_block_stop/*"),
        ),
        (
            {
                "type": "response.output_text.done",
                "output_index": 0,
                "content_index": 0,
                "text": "a",
            },
            ("output/0/0/response.output_text.delta", "output/0/0/response.output_text.done/*"),
        ),
        (
            {"type": "response.completed", "response": {}},
            ("output/*", "output//response.completed/*"),
        ),
    ],
)
def test_what_a_chunk_ends(chunk: Any, expected: tuple[str, ...]) -> None:
    assert read_delta(chunk).ends == expected


def test_a_key_of_an_answer_is_in_no_error() -> None:
    with pytest.raises(ContentError) as caught:
        read_answer({"jane@example.com": object()})
    assert "jane" not in str(caught.value)


def test_an_answer_within_itself_is_an_error() -> None:
    inside: list[Any] = []
    inside.append(inside)
    with pytest.raises(ContentError, match="inside itself"):
        read_answer({"lines": inside})


HIDDEN = "what is hidden"


@pytest.mark.parametrize(
    "value",
    [
        {HIDDEN: 1},
        {"a": [{("b", HIDDEN): 1}]},
        {**MESSAGE, "content": [{"type": "tool_use", "name": "f", "input": {HIDDEN: 1}}]},
        {**MESSAGE, "content": [{"type": "tool_use", "name": HIDDEN, "input": {}}]},
        {**MESSAGE, "content": [{"type": "text", "text": "", "annotations": [{"title": HIDDEN}]}]},
    ],
)
def test_no_name_hides_a_text_of_an_answer(value: Any) -> None:
    assert any(HIDDEN in text for text in read(value))


def test_keys_of_an_answer_are_redacted() -> None:
    answer = read_answer({"jane@example.com": {"seat": "jane"}})
    parts = answer.reply.content.texts
    new = answer.rebuild({part.name: replace(part, text="[x]") for part in parts})
    assert new == {"[x]": {"seat": "[x]"}}


def spelt(*tokens: str) -> dict[str, Any]:
    return {"content": [{"token": token, "logprob": -1.0} for token in tokens]}


def test_log_probabilities_do_not_spell_out_what_was_redacted() -> None:
    message = {"role": "assistant", "content": "a secret"}
    choices = [{"index": i, "message": message, "logprobs": spelt("a", "secret")} for i in (0, 1)]
    answer = read_answer({"choices": choices})
    first = answer.reply.content.texts[0]
    new = answer.rebuild({first.name: replace(first, text="a [x]")})
    assert new["choices"][0]["logprobs"] is None
    assert new["choices"][1]["logprobs"] == spelt("a", "secret")
    chunk = chat_chunk(content="secret")
    chunk["choices"][0]["logprobs"] = spelt("secret")
    assert "secret" not in str(write_delta(chunk, {"output": "[x]"}))
    event = {"type": "response.output_text.delta", "delta": "secret", "logprobs": [spelt("secret")]}
    ((key, _),) = read_delta(event).parts
    assert write_delta(event, {key: "[x]"}) == {**event, "delta": "[x]", "logprobs": []}


@pytest.mark.parametrize(
    "chunk",
    [
        chat_chunk(function_call={"arguments": HIDDEN}),
        chat_chunk(audio={"transcript": HIDDEN}),
        chat_chunk(reasoning_details=[{"type": "reasoning.text", "text": HIDDEN}]),
        chat_chunk(annotations=[{"type": "url_citation", "url_citation": {"title": HIDDEN}}]),
        chat_chunk(tool_calls=[{"index": 0, "custom": {"name": "f", "input": HIDDEN}}]),
        chat_chunk(tool_calls=[{"index": 0, "function": {"name": HIDDEN, "arguments": ""}}]),
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": HIDDEN}}]},
        {"choices": [{"index": 1, "delta": {}, "matched": HIDDEN}]},
        {"choices": [], "search_results": [{"title": HIDDEN}]},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "citations_delta", "citation": {"cited_text": HIDDEN}},
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {
                "type": "web_search_tool_result",
                "content": [{"type": "web_search_result", "title": HIDDEN}],
            },
        },
        {
            "type": "response.output_text.annotation.added",
            "annotation": {"type": "url_citation", "title": HIDDEN},
        },
        {
            "type": "response.output_item.done",
            "item": {"type": "mcp_call", "error": "", "x": HIDDEN},
        },
    ],
)
def test_every_text_of_a_chunk_is_read(chunk: Any) -> None:
    delta = read_delta(chunk)
    (key,) = [key for key, text in delta.parts if text == HIDDEN]
    if "citation" in key or "annotation" in key or "beside" in key:
        assert any(key.startswith(end.rstrip("*")) for end in delta.ends)
    assert HIDDEN not in str(write_delta(chunk, {key: "[x]"}))


def _png() -> bytes:
    out = BytesIO()
    Pillow.new("RGB", (32, 24), (250, 120, 60)).save(out, "PNG")
    return out.getvalue()


PNG = _png()
BASE64 = base64.b64encode(PNG).decode()
URL = f"data:image/png;base64,{BASE64}"
SHOWN = {"role": "assistant", "content": "", "images": [{"image_url": {"url": URL}}]}


@pytest.mark.parametrize(
    "value",
    [
        URL,
        {"choices": [{"index": 0, "message": SHOWN}]},
        {"object": "response", "output": [{"type": "image_generation_call", "result": BASE64}]},
        {"created": 1, "data": [{"b64_json": BASE64}]},
    ],
)
def test_pictures_of_an_answer_are_screened_and_covered(value: Any) -> None:
    answer = read_answer(value)
    (image,) = answer.reply.content.images
    assert (image.data, image.source) == (PNG, "model")
    covered = cover(image, [Area(image.name, (Box(0, 0, 8, 8),))])
    new = answer.rebuild({image.name: covered})
    assert type(new) is type(value)
    (again,) = read_answer(new).reply.content.images
    assert again.data == covered.data
    assert BASE64 not in str(new)
    policy = policy_of(rule(fixed_detector({"IHDR": 0.9}, reads="image"), when=["output"]))
    with pytest.raises(Blocked):
        Guard(policy)(lambda prompt: value)("hi")


@pytest.mark.parametrize("text", [f"{URL} and more", "data:image/png;base64,@", "/etc/hostname"])
def test_words_of_an_answer_are_no_picture(text: str) -> None:
    assert read(text) == [text]
    with pytest.raises(ContentError, match="damaged"):
        read_answer({"data": [{"b64_json": "/etc/host-name"}]})


DRAWN = {"type": "image_generation_call", "result": BASE64}


@pytest.mark.parametrize(
    "chunk",
    [
        chat_chunk(images=[{"type": "image_url", "image_url": {"url": URL}}]),
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": BASE64},
        {"type": "response.output_item.done", "output_index": 0, "item": DRAWN},
        {"type": "response.completed", "response": {"output": [DRAWN]}},
    ],
)
def test_pictures_of_a_stream_are_screened_and_covered(chunk: Any) -> None:
    delta = read_delta(chunk)
    assert [data for _, data in delta.pictures] == [PNG]
    assert BASE64 not in str(delta.parts)
    finds = rule(fixed_detector({"IHDR": 0.9}, reads="image"), Action.REDACT, when=["output"])
    said = list(Guard(policy_of(finds))(lambda prompt: iter([chunk]))("hi"))
    assert BASE64 not in str(said)
    ((_, data),) = read_delta(said[0]).pictures
    assert Image(data).picture.rgb().getpixel((3, 3)) == (0, 0, 0)
    finds = rule(fixed_detector({"IHDR": 0.9}, reads="image"), when=["output"])
    with pytest.raises(Blocked):
        list(Guard(policy_of(finds))(lambda prompt: iter([chunk]))("hi"))
