"""An upstream that answers as a test says, byte by byte, on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trustme

Play = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """One connection as the upstream sees it, and what all connections together have seen."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: Seen

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: its head, and its body by Content-Length or in chunks."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        body = b""
        if b"transfer-encoding" in fields:
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        else:
            body = await self.reader.readexactly(int(fields.get(b"content-length", 0)))
        self.seen.requests.append((head, body))
        return head, body

    async def say(self, *pieces: bytes) -> None:
        """Send the pieces, each by itself."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def left(self) -> None:
        """Wait until the other side has hung up."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.seen.left.set()

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


@dataclass
class Seen:
    """What a scripted upstream has seen."""

    port: int = 0
    connections: int = 0
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def scripted(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Seen]:
    """Serve; `play` is run for each connection, which is closed when it returns."""
    seen = Seen()
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            await play(Peer(reader, writer, seen))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(one(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def certified(host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server with a certificate for this host, and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """A piece of a body that is sent in chunks."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def hangs(peer: Peer) -> None:
    """Take a request, and never answer it."""
    await peer.request()
    await peer.left()


async def rambles(peer: Peer) -> None:
    """Answer with what is no HTTP."""
    await peer.request()
    await peer.say(b"hello?\r\n\r\n")


async def cut_short(peer: Peer) -> None:
    """Answer with the beginning of a body."""
    await peer.request()
    kind = b"content-type: application/json\r\ncontent-length: 99\r\n\r\n"
    await peer.say(b"HTTP/1.1 200 OK\r\n" + kind + b"{")


async def answering(peer: Peer) -> None:
    """Answer every request with its own body."""
    while True:
        head, body = await peer.request()
        length = b"content-length: %d\r\n\r\n" % len(body)
        await peer.say(
            b"HTTP/1.1 200 OK\r\n" + length + (b"" if head.startswith(b"HEAD") else body)
        )
