"""A client that sends exactly the bytes a test gives it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Got:
    """An answer: its status line, its headers as they came, and its body without framing."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b": ")
            if key.lower() == name.lower().encode():
                return value.decode()
        return None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"].get("code"))


@dataclass
class Wire:
    """A connection to a proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def get(self) -> Got:
        """The next answer, read to its end."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        status = int(head.split(b" ")[1])
        fields = {
            line.partition(b":")[0].lower(): line.partition(b":")[2].strip()
            for line in head.split(b"\r\n")[1:]
        }
        if status == 100:
            return Got(status, head, b"")
        if fields.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int(await asyncio.wait_for(self.reader.readline(), 10), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        elif b"content-length" in fields:
            length = int(fields[b"content-length"])
            body = await asyncio.wait_for(self.reader.readexactly(length), 10)
        else:
            body = await asyncio.wait_for(self.reader.read(), 10)
        return Got(status, head, body)

    async def closed(self) -> bool:
        """Whether the proxy hangs up within ten seconds."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 26)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def post(
    body: bytes | Any, path: str = "/v1/chat/completions", more: str = "", length: bool = True
) -> bytes:
    """A request with this body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: guard\r\nContent-Type: application/json\r\n{more}"
    if length:
        head += f"Content-Length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


def chat(text: Any = "hello", **more: Any) -> dict[str, Any]:
    """A chat call."""
    return {"model": "m-1", "messages": [{"role": "user", "content": text}], **more}


async def ask(url: str, data: bytes) -> Got:
    """One request and its answer."""
    async with wire(url) as one:
        one.send(data)
        return await one.get()
