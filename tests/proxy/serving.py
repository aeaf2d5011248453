"""The whole proxy on loopback, in front of an upstream that a test scripts."""

from __future__ import annotations

import base64
import io
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from guardrail import Guard
from guardrail.policy import Policy
from guardrail.testing import CapturedRecords
from guardrail_integrations.proxy.server.serve import Server, bound, serving
from guardrail_integrations.proxy.settings import Settings
from tests.proxy.scripted import Peer, Play, Seen, chunk, scripted

SSE = {"content-type": "text/event-stream"}


@dataclass
class Running:
    """A proxy, the upstream behind it, and the records it made."""

    server: Server
    upstream: Seen
    records: CapturedRecords

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@asynccontextmanager
async def running(
    policy: Policy | str | Mapping[str, Any],
    play: Play,
    settings: Any = None,
    front: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[Running]:
    """Serve the policy in front of the scripted upstream. `settings` is a function of its URL;
    `front` is TLS towards clients."""
    records = CapturedRecords()
    async with scripted(play) as upstream:
        made = (settings or Settings.of)(upstream.url)
        server = serving(Guard(policy, sinks=[records]), made, **options)
        await server.start(bound("127.0.0.1", 0), front)
        try:
            yield Running(server, upstream, records)
        finally:
            await server.stop(2.0)


def tight(**options: Any) -> Any:
    """Settings with narrower bounds."""
    return lambda url: replace(Settings.of(url), **options)


def says(*answers: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Play:
    """An upstream that gives each connection's requests these answers, the last again and again.

    A dict is sent as JSON, bytes as they are; a list of bytes one by one in chunks.
    """

    async def play(peer: Peer) -> None:
        number = 0
        while True:
            await peer.request()
            answer = answers[min(number, len(answers) - 1)]
            number += 1
            await peer.say(*answered(answer, status, headers or {}))

    return play


def answered(answer: Any, status: int, headers: Mapping[str, str]) -> list[bytes]:
    """An answer as the bytes of a response."""
    if isinstance(answer, dict):
        answer = json.dumps(answer).encode()
        headers = {"content-type": "application/json", **headers}
    if isinstance(answer, list):
        headers = {**SSE, **headers, "transfer-encoding": "chunked"}
    else:
        headers = {**headers, "content-length": str(len(answer))}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    if isinstance(answer, list):
        chunks = [chunk(piece) for piece in answer]
        return [head.encode() + b"\r\n", *chunks, b"0\r\n\r\n"]
    return [head.encode() + b"\r\n" + answer]


def chat_answer(text: str, **more: Any) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m-1",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def chat_chunks(*texts: str, usage: bool = False) -> list[bytes]:
    """A streamed chat completion."""
    frame = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "m-1",
    }

    def event(delta: Any, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + json.dumps({**frame, "choices": [choice]}).encode() + b"\n\n"

    events = [event({"role": "assistant", "content": ""})]
    events += [event({"content": text}) for text in texts]
    events.append(event({}, "stop"))
    if usage:
        counted = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
        events.append(
            b"data: " + json.dumps({**frame, "choices": [], "usage": counted}).encode() + b"\n\n"
        )
    return [*events, b"data: [DONE]\n\n"]


def shows(url: str) -> list[bytes]:
    """A chat stream that ends in a picture, as gateways send those of models that draw."""
    chunk = json.loads(chat_chunks("x")[1][6:])
    picture = {"type": "image_url", "index": 0, "image_url": {"url": url}}
    chunk["choices"][0]["delta"] = {"images": [picture]}
    return [
        *chat_chunks("a")[:-2],
        b"data: " + json.dumps(chunk).encode() + b"\n\n",
        b"data: [DONE]\n\n",
    ]


def speaks() -> bytes:
    """An event of a streamed chat completion that holds sound."""
    chunk = json.loads(chat_chunks("x")[1][6:])
    chunk["choices"][0]["delta"] = {"audio": {"id": "a", "data": "AAAA", "transcript": "quiet"}}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def pixel(width: int = 8) -> bytes:
    """A small picture as PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width, width), "navy").save(out, "PNG")
    return out.getvalue()


def data_url(width: int = 8) -> str:
    """A small picture as a data URL."""
    return "data:image/png;base64," + base64.b64encode(pixel(width)).decode()
