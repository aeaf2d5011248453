"""Streams with the time of sending in every chunk; python -m tests.bench.chunks PORT serves."""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.bench.servers import free_port, serving

CHUNKS = 100
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_AT = re.compile(rb'"at":(\d+)')


def event(number: int) -> bytes:
    """An event of a chat stream, with the time at which it is made, as one chunk."""
    choice = b'{"index":0,"delta":{"content":"word %d "},"finish_reason":null}' % number
    made = b'data: {"id":"c","object":"chat.completion.chunk","at":%d,"choices":[%b]}\n\n'
    data = made % (time.monotonic_ns(), choice)
    return b"%x\r\n%b\r\n" % (len(data), data)


class Origin(asyncio.Protocol):
    """Answers every request with a stream, a chunk every millisecond."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.seen = transport, b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, found, body = self.seen.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if found and len(body) >= int(length[1] if length else 0):
            self.seen = b""
            self.transport.write(_HEAD + event(0))
            asyncio.get_running_loop().call_later(0.001, self.more, 1)

    def more(self, number: int) -> None:
        if self.transport.is_closing():
            return
        if number < CHUNKS:
            self.transport.write(event(number))
            asyncio.get_running_loop().call_later(0.001, self.more, number + 1)
        else:
            done = b"data: [DONE]\n\n"
            self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done))


@contextmanager
def origin(core: int | None) -> Iterator[tuple[str, int]]:
    """The origin in a process of its own."""
    port = free_port()
    with serving([sys.executable, "-m", "tests.bench.chunks", str(port)], port, core) as pid:
        yield f"http://127.0.0.1:{port}", pid


async def once(url: str, body: bytes) -> tuple[float, list[float]]:
    """Microseconds from asking to the first chunk, and from sending to receiving each further."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = "POST {} HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n"
    head += "Content-Length: {}\r\n\r\n"
    began = time.monotonic_ns()
    writer.write(head.format(parts.path, len(body)).encode() + body)
    first, late, rest = 0.0, [], b""
    while b"[DONE]" not in rest:
        piece = await reader.read(65536)
        now = time.monotonic_ns()
        assert piece, "the stream ended early"
        rest = rest[-200:] + piece
        for at in _AT.findall(piece):
            if not first:
                first = (now - began) / 1e3
            else:
                late.append((now - int(at)) / 1e3)
    writer.close()
    return first, late


def in_turn(urls: Mapping[str, str], body: str, rounds: int) -> dict[str, tuple[float, float]]:
    """The medians of the first and of each further chunk."""

    async def main() -> dict[str, tuple[float, float]]:
        found: dict[str, list[tuple[float, list[float]]]] = {name: [] for name in urls}
        for turn in range(rounds * 4 + 1):
            for name, url in urls.items():
                seen = await once(url, body.encode())
                if turn:
                    found[name].append(seen)
        return {
            name: (
                statistics.median(first for first, _ in runs),
                statistics.median(one for _, late in runs for one in late),
            )
            for name, runs in found.items()
        }

    return asyncio.run(main())


async def serve(port: int) -> None:
    """Until it is ended."""
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
