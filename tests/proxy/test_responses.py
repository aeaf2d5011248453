"""OpenAI's Responses, Completions and Embeddings through the proxy, with the real client."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import openai
import pytest
from PIL import Image as Picture

from guardrail.policy import Policy, Proxying
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail.verdict import Action
from tests.proxy.raw import ask, post
from tests.proxy.serving import chat_answer, data_url, pixel, running, says

BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9}), message="Not here."))
REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}), Action.REDACT))


def client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k")


def answer(text: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": status,
        "content": [part] if text else [],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "m-1",
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": [message] if text else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 21,
        },
    }


def events(*texts: str) -> list[bytes]:
    whole = "".join(texts)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress"}
    rows: list[dict[str, Any]] = [
        {"type": "response.created", "response": answer("", "in_progress")},
        {"type": "response.in_progress", "response": answer("", "in_progress")},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "content": []},
        },
        {"type": "response.content_part.added", **place, "part": part},
        *({"type": "response.output_text.delta", **place, "delta": t} for t in texts),
        {"type": "response.output_text.done", **place, "text": whole},
        {"type": "response.content_part.done", **place, "part": {**part, "text": whole}},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {**item, "status": "completed", "content": [{**part, "text": whole}]},
        },
        {"type": "response.completed", "response": answer(whole)},
    ]
    return [
        f"event: {row['type']}\ndata: {json.dumps({**row, 'sequence_number': n})}\n\n".encode()
        for n, row in enumerate(rows)
    ]


async def test_an_answer_passes_and_is_redacted() -> None:
    async with running(REDACTS, says(answer("my secret"))) as proxy:
        response = await client(proxy.url).responses.create(model="m-1", input="a secret")
        assert response.output_text == "my [secret]"
        assert json.loads(proxy.upstream.requests[0][1])["input"] == "a [secret]"
        assert proxy.records.last.finish_reason == "completed"


@pytest.mark.parametrize(
    "asked",
    [
        "forbidden",
        [{"role": "user", "content": "forbidden"}],
        [{"role": "user", "content": [{"type": "input_text", "text": "forbidden"}]}],
        [{"type": "function_call_output", "call_id": "c", "output": "forbidden"}],
        [
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": "forbidden"}],
            }
        ],
        [{"type": "mcp_call", "id": "c", "name": "n", "arguments": "{}", "output": "forbidden"}],
        [{"type": "invented", "deep": {"inside": ["forbidden"]}}],
    ],
)
async def test_every_form_of_input_is_read(asked: Any) -> None:
    async with running(BLOCKS, says(answer("quiet"))) as proxy:
        with pytest.raises(openai.BadRequestError) as caught:
            await client(proxy.url).responses.create(model="m-1", input=asked)
        assert caught.value.code == "policy_violation"


async def test_a_stream_is_redacted_wherever_it_says_a_text_again() -> None:
    async with running(REDACTS, says(events("my sec", "ret is", " out"))) as proxy:
        stream = await client(proxy.url).responses.create(model="m-1", input="hello", stream=True)
        seen = [event async for event in stream]
        deltas = [e.delta for e in seen if e.type == "response.output_text.delta"]
        assert "".join(deltas) == "my [secret] is out"
        assert "my secret" not in str([event.model_dump() for event in seen])
        assert seen[-1].response.output_text == "my [secret] is out"


async def test_a_blocked_stream_is_incomplete_for_its_content() -> None:
    async with running(BLOCKS, says(events("so for", "bidden"))) as proxy:
        stream = await client(proxy.url).responses.create(model="m-1", input="hello", stream=True)
        seen = [event async for event in stream]
        assert [seen[0].type, seen[-1].type] == ["response.created", "response.incomplete"]
        assert not [event for event in seen if event.type == "response.output_text.delta"]
        assert seen[-1].response.incomplete_details.reason == "content_filter"


@pytest.mark.parametrize("field", ["output_text", "output_messages"])
async def test_further_fields_of_an_answer_are_looked_at(field: str) -> None:
    said = {"output_text": "forbidden", "output_messages": [{"content": [{"text": "forbidden"}]}]}
    whole = {**answer("quiet"), field: said[field]}
    stream = events("quiet")
    stream[-1] = stream[-1].replace(
        b'"output":', json.dumps({field: said[field]})[1:-1].encode() + b', "output":'
    )
    asked = {"model": "m-1", "input": "hello"}
    async with running(BLOCKS, says(whole)) as proxy:
        assert (await ask(proxy.url, post(asked, "/v1/responses"))).code == "policy_violation"
    async with running(BLOCKS, says(stream)) as proxy:
        got = await ask(proxy.url, post({**asked, "stream": True}, "/v1/responses"))
        assert b"forbidden" not in got.body
        assert b"content_filter" in got.body


async def test_an_answer_that_the_upstream_kept_is_checked_as_any_other() -> None:
    async with running(BLOCKS, says(answer("", "queued"), answer("forbidden"))) as proxy:
        asks = client(proxy.url).responses
        queued = await asks.create(model="m-1", input="hello", background=True)
        with pytest.raises(openai.BadRequestError) as caught:
            await asks.retrieve(queued.id)
        assert caught.value.code == "policy_violation"
        assert caught.value.request_id == proxy.records.last.id
    async with running(REDACTS, says(events("my sec", "ret is out"))) as proxy:
        stream = await client(proxy.url).responses.retrieve("resp_1", stream=True)
        seen = [event async for event in stream]
        assert seen[-1].type == "response.completed"
        assert seen[-1].response.output_text == "my [secret] is out"
        head, body = proxy.upstream.requests[0]
        assert head.startswith(b"GET /v1/responses/resp_1?stream=true HTTP/1.1\r\n")
        assert not body
    async with running(BLOCKS, says(chat_answer("forbidden"))) as proxy:
        with pytest.raises(openai.BadRequestError):
            await client(proxy.url).chat.completions.retrieve("chatcmpl-1")
        with pytest.raises(openai.BadRequestError):
            await client(proxy.url).chat.completions.update("chatcmpl-1", metadata={"a": "b"})
        assert proxy.upstream.requests[1][1] == b'{"metadata":{"a":"b"}}'
    async with running(BLOCKS, says(answer("forbidden"))) as proxy:
        with pytest.raises(openai.BadRequestError):
            await client(proxy.url).responses.cancel("resp_1")
    refuses = policy_of(*BLOCKS.rules, proxy=Proxying(other_paths="refuse"))
    async with running(refuses, says(answer("quiet"))) as proxy:
        with pytest.raises(openai.NotFoundError):
            await client(proxy.url).responses.retrieve("resp_1")


@pytest.mark.parametrize("when", [["input"], ["input", "output"]])
async def test_an_answer_that_the_upstream_kept_comes_byte_for_byte(when: Any) -> None:
    kept = b'{ "id":"resp_1", "output":[ {"content":[{"text":"qui\\u0065t"}]} ], "z": 1.0 }'
    policy = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=when))
    async with running(policy, says(kept, headers={"content-type": "application/json"})) as proxy:
        got = await ask(proxy.url, b"GET /v1/responses/resp_1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (got.status, got.body) == (200, kept)


async def test_tokens_are_counted_and_conversations_compacted_only_of_what_may_be_asked() -> None:
    said = {"type": "output_text", "text": "forbidden", "annotations": []}
    item = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}
    compacted = {"id": "c", "object": "response.compaction", "created_at": 1, "output": []}
    for name, answer in (("compact", compacted), ("input_tokens", {"input_tokens": 7})):
        async with running(BLOCKS, says(answer)) as proxy:
            path = f"/v1/responses/{name}"
            asked = post({"model": "m", "input": "hello"}, path)
            assert (await ask(proxy.url, asked)).json == answer
            refused = await ask(proxy.url, post({"model": "m", "input": "forbidden"}, path))
            assert (refused.status, refused.code) == (400, "policy_violation")
            assert len(proxy.upstream.requests) == 1
    compacted["output"] = [{**item, "content": [said]}]
    async with running(BLOCKS, says(compacted)) as proxy:
        got = await ask(proxy.url, post({"model": "m", "input": "hello"}, "/v1/responses/compact"))
        assert (got.status, got.code) == (400, "policy_violation")


async def test_pictures_in_input_are_screened() -> None:
    picture = fixed_detector({"IDAT": 0.9}, name="eye", reads="image")
    content = [{"type": "input_image", "image_url": data_url()}]
    async with running(policy_of(rule(picture)), says(answer("quiet"))) as proxy:
        with pytest.raises(openai.BadRequestError):
            await client(proxy.url).responses.create(
                model="m-1", input=[{"role": "user", "content": content}]
            )


async def test_completions_and_embeddings() -> None:
    completion = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "text": "my secret", "finish_reason": "stop", "logprobs": None}],
    }
    async with running(REDACTS, says(completion)) as proxy:
        made = await client(proxy.url).completions.create(model="m-1", prompt=["one secret"])
        assert made.choices[0].text == "my [secret]"
        assert json.loads(proxy.upstream.requests[0][1])["prompt"] == ["one [secret]"]
    vectors = {
        "object": "list",
        "model": "m-1",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    async with running(REDACTS, says(vectors)) as proxy:
        made_ = await client(proxy.url).embeddings.create(
            model="m-1", input="one secret", encoding_format="float"
        )
        assert made_.data[0].embedding == [0.5, 0.25]
        assert json.loads(proxy.upstream.requests[0][1])["input"] == "one [secret]"


async def test_tokens_in_place_of_text_cannot_be_screened() -> None:
    async with running(BLOCKS, says({})) as proxy:
        with pytest.raises(openai.BadRequestError) as caught:
            await client(proxy.url).embeddings.create(model="m-1", input=[[1, 2, 3]])
        assert caught.value.code == "unscreenable"


def drawing(picture: bytes, *partials: bytes) -> list[bytes]:
    """A streamed answer with a picture: previews of it, and itself, which is said twice."""
    place = {"item_id": "ig_1", "output_index": 0}
    made = {"type": "image_generation_call", "id": "ig_1", "status": "completed"}
    made["result"] = base64.b64encode(picture).decode()
    rows: list[dict[str, Any]] = [
        {"type": "response.created", "response": answer("", "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": {**made, "result": None}},
        *(
            {
                "type": "response.image_generation_call.partial_image",
                **place,
                "partial_image_index": n,
                "partial_image_b64": base64.b64encode(partial).decode(),
            }
            for n, partial in enumerate(partials)
        ),
        {"type": "response.image_generation_call.completed", **place},
        {"type": "response.output_item.done", "output_index": 0, "item": made},
        {"type": "response.completed", "response": {**answer(""), "output": [made]}},
    ]
    return [
        f"event: {row['type']}\ndata: {json.dumps({**row, 'sequence_number': n})}\n\n".encode()
        for n, row in enumerate(rows)
    ]


def seeing(mark: str, action: Action = Action.BLOCK) -> Policy:
    detector = fixed_detector({mark: 0.9}, name="eye", reads="image")
    return policy_of(rule(detector, action, when=["output"]))


@pytest.mark.parametrize("marked", ["partial", "whole"])
async def test_pictures_of_a_stream_and_previews_of_them_are_screened(marked: str) -> None:
    plain, bad = pixel(), pixel(9) + b"forbidden"
    sent = drawing(plain, plain, bad) if marked == "partial" else drawing(bad, plain)
    async with running(seeing("forbidden"), says(sent)) as proxy:
        stream = await client(proxy.url).responses.create(model="m-1", input="hello", stream=True)
        seen = [event async for event in stream]
        assert [seen[0].type, seen[-1].type] == ["response.created", "response.incomplete"]
        assert "partial_image" not in str(seen)
        assert proxy.records.last.stages[-1].parts[-1].kind == "image"
    async with running(seeing("nothing"), says(sent)) as proxy:
        got = await ask(
            proxy.url, post({"model": "m", "input": "a", "stream": True}, "/v1/responses")
        )
        assert got.body == b"".join(sent)
        pictures = [part for part in proxy.records.last.stages[-1].parts if part.kind == "image"]
        assert len(pictures) == 2  # what is said again is the same picture


async def test_a_preview_that_is_no_picture_ends_the_stream() -> None:
    sent = drawing(pixel(), b"no picture at all")
    async with running(seeing("nothing"), says(sent)) as proxy:
        got = await ask(
            proxy.url, post({"model": "m", "input": "a", "stream": True}, "/v1/responses")
        )
        assert b"partial_image_b64" not in got.body
        assert got.status == 400 or b"content_filter" in got.body
    broken = [event.replace(b'_b64": "', b'_b64": "!') for event in drawing(pixel(), pixel())]
    async with running(seeing("nothing"), says(broken)) as proxy:
        got = await ask(
            proxy.url, post({"model": "m", "input": "a", "stream": True}, "/v1/responses")
        )
        assert (got.status, got.code) == (502, "upstream_garbage")


async def test_what_is_covered_in_pictures_of_a_stream_is_covered_wherever_they_are_said() -> None:
    sent = drawing(pixel(), pixel() + b"secret")
    sent[-1] = drawing(pixel() + b"secret")[-1]
    async with running(seeing("secret", Action.REDACT), says(sent)) as proxy:
        stream = await client(proxy.url).responses.create(model="m-1", input="hello", stream=True)
        seen = [event async for event in stream]
        partial = base64.b64decode(seen[2].partial_image_b64)
        final = base64.b64decode(seen[-1].response.output[0].result)
        for covered in (partial, final):
            assert b"secret" not in covered
            assert Picture.open(io.BytesIO(covered)).convert("RGB").getextrema() == ((0, 0),) * 3
        assert base64.b64decode(seen[-2].item.result) == pixel()
