"""Streams of the real clients, guarded, are used as the clients' own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import openai
import pytest

from guardrail import Blocked, ContentError, Guard
from guardrail.testing import CapturedRecords, fixed_detector, policy_of, rule

WORDS = ("one ", "two ", "three ", "four ") * 30
CHAT: list[dict[str, Any]] = [
    {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}],
    }
    for word in WORDS
]
MESSAGE: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    *(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in WORDS
    ),
    {"type": "content_block_stop", "index": 0},
    {"type": "message_stop"},
]
ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class Endpoint(BaseHTTPRequestHandler):
    """Streams the words in the form of the API that is asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("x-request-id", "r1")
        self.send_header("request-id", "r1")
        self.end_headers()
        with suppress(ConnectionError):  # whoever asked has left
            self.say()

    def say(self) -> None:
        chat = "chat" in self.path
        for event in CHAT if chat else MESSAGE:
            named = "" if chat else f"event: {event['type']}\n"
            self.wfile.write(f"{named}data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n" if chat else b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


RECORDS = CapturedRecords()
GUARD = Guard(policy_of(rule(fixed_detector({"bad": 0.9}, window=8))), sinks=[RECORDS])
STRICT = Guard(policy_of(rule(fixed_detector({"two": 0.9}, window=8))))


def said(chunks: list[Any]) -> str:
    return "".join(
        chunk.choices[0].delta.content if hasattr(chunk, "choices") else chunk.delta.text
        for chunk in chunks
        if hasattr(chunk, "choices") or chunk.type == "content_block_delta"
    )


@pytest.fixture(params=["openai", "anthropic"])
def create(url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    client: Any
    if request.param == "openai":
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        made = client.chat.completions.create
    else:
        client = anthropic.Anthropic(base_url=url, api_key="none")
        made = client.messages.create
    with client:
        yield made


def asked(create: Any) -> Any:
    more = {"max_tokens": 9} if "anthropic" in create.__module__ else {}
    return {**ASKED, **more, "stream": True}


def test_a_guarded_stream_is_a_context_manager(create: Any) -> None:
    count = len(RECORDS)
    with GUARD(create)(**asked(create)) as stream:
        assert stream.response.headers["x-request-id"] == "r1"
        assert stream.response.status_code == 200
        assert said(list(stream)) == "".join(WORDS)
    assert stream.response.is_closed
    assert len(RECORDS) == count + 1
    with pytest.raises(Blocked), STRICT(create)(**asked(create)) as stream:
        list(stream)
    assert stream.response.is_closed


@pytest.mark.parametrize("taken", [0, 1])
def test_closing_a_guarded_stream_closes_the_models(create: Any, taken: int) -> None:
    count = len(RECORDS)
    stream = GUARD(create)(**asked(create))
    for _ in range(taken):
        next(stream)
    assert not stream.response.is_closed
    stream.close()
    assert stream.response.is_closed
    assert list(stream) == []
    assert len(RECORDS) == count + 1


@pytest.mark.parametrize("name", ["_iterator", "_client", "_decoder", "text_stream", "read"])
def test_a_guarded_stream_hands_out_nothing_unguarded(create: Any, name: str) -> None:
    with GUARD(create)(**asked(create)) as stream:
        with pytest.raises(AttributeError, match="iterate it"):
            getattr(stream, name)
        for of_body in ("iter_bytes", "iter_lines", "read", "content", "text", "stream"):
            with pytest.raises(AttributeError, match="headers"):
                getattr(stream.response, of_body)


async def test_the_streams_of_async_clients(url: str) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client,
        anthropic.AsyncAnthropic(base_url=url, api_key="none") as other,
    ):
        for create in (client.chat.completions.create, other.messages.create):
            guarded: Any = GUARD(create)
            async with await guarded(**asked(create)) as stream:
                assert stream.response.headers["x-request-id"] == "r1"
                assert said([chunk async for chunk in stream]) == "".join(WORDS)
            assert stream.response.is_closed
            for taken in (0, 1):
                for end in ("close", "aclose"):
                    stream = await guarded(**asked(create))
                    for _ in range(taken):
                        await anext(stream)
                    await getattr(stream, end)()
                    assert stream.response.is_closed


def test_helpers_of_the_clients_are_refused_with_advice(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    other = anthropic.Anthropic(base_url=url, api_key="none")
    for call in (
        GUARD(client.chat.completions.stream),
        GUARD(client.chat.completions.with_raw_response.create),
        GUARD(client.chat.completions.with_streaming_response.create),
        lambda **asked: GUARD(other.messages.stream)(**asked, max_tokens=9),
    ):
        with pytest.raises(ContentError, match="method `create`, with stream=True"):
            call(**ASKED)
    client.close()
    other.close()
