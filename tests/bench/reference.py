"""A proxy as most are built in Python: ASGI on uvicorn, httpx towards the upstream."""

from __future__ import annotations

import os
from typing import Any

import httpx

ORIGIN = os.environ.get("BENCH_ORIGIN", "")
client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=600)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pass a request and its answer on."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = [(k, v) for k, v in scope["headers"] if k not in (b"host", b"content-length")]
    request = client.build_request(
        scope["method"], ORIGIN + scope["path"], content=body, headers=headers
    )
    answer = await client.send(request, stream=True)
    await send(
        {"type": "http.response.start", "status": answer.status_code, "headers": answer.headers.raw}
    )
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
