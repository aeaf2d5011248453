"""The objects of the real clients and of transformers are read and written back as they are."""

from __future__ import annotations

from typing import Any

import anthropic
import numpy as np
import openai
import pytest
import torch
from anthropic.types import Message, RawContentBlockDeltaEvent, RawMessageDeltaEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseTextDeltaEvent
from transformers import BatchFeature

from guardrail import Action, Area, Box, ContentError, Guard, Usage
from guardrail.image import cover
from guardrail.reading import read_answer, read_arguments, read_delta, write_delta
from guardrail.testing import fixed_detector, policy_of, rule
from tests.reading.test_answers import CHAT, MESSAGE, RESPONSE, chat_chunk

ANSWERS = {
    "openai chat": ChatCompletion.model_validate({"created": 1, **CHAT}),
    "openai responses": Response.model_validate(
        {
            "created_at": 1,
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
            **RESPONSE,
            "output": [{**item, "status": "completed"} for item in RESPONSE["output"]],  # type: ignore[attr-defined]
            "usage": {
                "input_tokens": 10,
                "output_tokens": 4,
                "total_tokens": 14,
                "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
        }
    ),
    "anthropic": Message.model_validate({"stop_sequence": None, **MESSAGE}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_client_answers_keep_their_type(name: str) -> None:
    answer = read_answer(ANSWERS[name])
    texts = [part.text for part in answer.reply.content.texts]
    assert "one" in texts
    part = next(part for part in answer.reply.content.texts if part.text == "one")
    new = answer.rebuild({part.name: type(part)("[x]", part.name, part.role, part.source)})
    assert type(new) is type(ANSWERS[name])
    assert "[x]" in [p.text for p in read_answer(new).reply.content.texts]
    assert "one" in [p.text for p in read_answer(ANSWERS[name]).reply.content.texts]
    assert answer.reply.usage.input_tokens == 10
    assert answer.reply.usage.cached_tokens == 8


def test_what_a_client_leaves_out_is_no_content() -> None:
    arguments = {"prompt": "hello", "audio": openai.omit, "voice": openai.NOT_GIVEN}
    arguments["metadata"] = anthropic.NOT_GIVEN
    content = read_arguments(arguments).content
    assert [part.name for part in content.parts] == ["prompt"]


def test_client_chunks_keep_their_type() -> None:
    chunks: list[Any] = [
        ChatCompletionChunk.model_validate(
            {"created": 1, "object": "chat.completion.chunk", **chat_chunk(content="one")}
        ),
        RawContentBlockDeltaEvent.model_validate(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "one"},
            }
        ),
        ResponseTextDeltaEvent.model_validate(
            {
                "type": "response.output_text.delta",
                "item_id": "i",
                "output_index": 0,
                "content_index": 0,
                "sequence_number": 1,
                "logprobs": [],
                "delta": "one",
            }
        ),
    ]
    for chunk in chunks:
        ((key, text),) = read_delta(chunk).parts
        assert text == "one"
        new = write_delta(chunk, {key: "two"})
        assert type(new) is type(chunk)
        assert read_delta(new).parts == ((key, "two"),)
        assert read_delta(chunk).parts == ((key, "one"),)
    last = RawMessageDeltaEvent.model_validate(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 3},
        }
    )
    assert read_delta(last).usage == Usage(None, 3)
    assert read_delta(last).finish_reason == "end_turn"


def test_a_redacted_client_answer_is_still_the_clients() -> None:
    redact = rule(fixed_detector({"one": 0.9}), Action.REDACT, when=["output"])
    guarded = Guard(policy_of(redact))(lambda prompt: ANSWERS["openai chat"])
    answer = guarded("hi")
    assert isinstance(answer, ChatCompletion)
    assert answer.choices[0].message.content == "[one]"
    assert answer.usage is not None


@pytest.mark.parametrize("form", ["chw", "hwc", "float", "batch"])
def test_tensors_keep_their_kind(form: str) -> None:
    pixels = torch.full((24, 32, 3), 200, dtype=torch.uint8)
    tensor = {
        "hwc": pixels,
        "chw": pixels.permute(2, 0, 1),
        "float": pixels.permute(2, 0, 1).float() / 255,
        "batch": torch.stack([pixels.permute(2, 0, 1)] * 2),
    }[form]
    reading = read_arguments({"image": tensor})
    image = reading.content.images[-1]
    covered = cover(image, [Area(image.name, (Box(0, 0, 8, 8),))])
    new = reading.rebuild({image.name: covered})["image"]
    assert isinstance(new, torch.Tensor)
    assert (new.shape, new.dtype, new.device) == (tensor.shape, tensor.dtype, tensor.device)
    assert (new != tensor).any()
    shown = np.asarray(read_arguments({"image": new}).content.images[-1].picture.rgb())
    assert shown[:8, :8].max() == 0
    assert shown[10:, 10:].min() >= 199


def test_processed_inputs_are_refused_with_advice() -> None:
    features = BatchFeature({"pixel_values": torch.zeros(1, 3, 8, 8)})
    for arguments in ({"inputs": features}, {"pixel_values": torch.zeros(1, 3, 8, 8) - 1}):
        with pytest.raises(ContentError, match="before the processor"):
            read_arguments(arguments)


def test_token_tensors_are_read_with_a_processor() -> None:
    from tests.reading.test_answers import Words

    class Torch(Words):
        def __call__(self, texts: list[str], add_special_tokens: bool, **options: Any) -> Any:
            ids = super().__call__(texts, add_special_tokens)["input_ids"]
            return {"input_ids": torch.tensor(ids)}

    answer = read_answer(torch.tensor([[1, 2, 3]]), processor=Torch())
    (part,) = answer.reply.content.texts
    assert part.text == "a bad cat"
    new = answer.rebuild({part.name: type(part)("a [bad] cat", part.name, "assistant", "model")})
    assert isinstance(new, torch.Tensor)
    assert new.tolist() == [[1, 4, 3]]
