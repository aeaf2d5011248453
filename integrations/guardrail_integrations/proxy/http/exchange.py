"""One request of a client and the answer to it: bodies in, heads and pieces out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from guardrail_integrations.proxy.interfaces import Buffer, Headers

if TYPE_CHECKING:
    from guardrail_integrations.proxy.http.connection import Connection

HELD_BYTES = 256 << 10  # of a body that nobody reads, or of an answer that nobody takes
_LENGTH = len(b"content-length")
REASONS = {int(status): status.phrase.encode() for status in HTTPStatus}


class BodyTooLarge(Exception):
    """A request's body is over the limit."""


class BodyLost(Exception):
    """The rest of a request's body did not come: `status` is 408 where the client was too slow,
    400 where it sent what is not HTTP, or left."""

    def __init__(self, status: int) -> None:
        self.status = status


class NoRoom(Exception):
    """There is no room to hold more of a request's body."""


def _always(count: int) -> bool:
    return True


class Exchange:
    """One request and the answer to it."""

    __slots__ = (
        "_chunked",
        "_collects",
        "_connection",
        "_expects",
        "_fault",
        "_pieces",
        "_size",
        "_take",
        "_waiter",
        "_wakes_at",
        "begun",
        "bytes_out",
        "complete",
        "finished",
        "headers",
        "held",
        "index",
        "keep_alive",
        "method",
        "names",
        "path",
        "query",
        "settled",
        "status",
        "target",
        "version",
    )

    def __init__(self, connection: Connection, target: bytes, headers: Headers) -> None:
        self._connection = connection
        self.method: bytes = connection.parser.get_method()
        self.target = target
        path, _, self.query = target.partition(b"?")
        self.path = path.decode("ascii", "replace")
        self.headers = headers
        self.names = [name.lower() for name, _ in headers]
        self.index = {name: value for name, (_, value) in zip(self.names, headers, strict=True)}
        self.version: str = connection.parser.get_http_version()
        self.keep_alive: bool = connection.parser.should_keep_alive()
        self._expects = self.index.get(b"expect", b"").lower() == b"100-continue"
        self._pieces: list[bytes] = []
        self._size = 0
        self._collects = False
        self._take: Callable[[Buffer], None] | None = None
        self._wakes_at = 0  # bytes of the body before whoever waits for it is told
        self._waiter: asyncio.Future[None] | None = None
        self._fault = 0
        self.complete = False  # the request has come whole
        self.begun = False  # the answer has begun
        self.finished = False  # and is over
        self.settled: Callable[[], bool] | None = None  # see http_server.Connection
        self.status = 0
        self.held = 0  # bytes that count against the proxy's limit on what it holds
        self.bytes_out = 0
        self._chunked = False

    @property
    def size(self) -> int:
        """The bytes of the body that have come so far."""
        return self._size

    @property
    def wanted(self) -> bool:
        """Whether somebody takes the body."""
        return self._take is not None or self._waiter is not None

    @property
    def client(self) -> str:
        """The address the request came from."""
        peer = self._connection.transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def add(self, piece: Buffer) -> None:
        """A piece of the body has come, in a buffer that is used again."""
        self._size += len(piece)
        if self._take is not None:
            self._take(piece)
        elif not self._collects:
            self._pieces.append(bytes(piece))
            if self._size > HELD_BYTES:
                self._connection.hold(True)
        if self._size > self._wakes_at:
            self._wake()

    def end(self) -> None:
        """The request is complete."""
        self.complete = True
        self._wake()

    def fail(self, status: int) -> None:
        """The rest of the request will not come."""
        if not self.complete:
            self._fault = status
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        if self._expects and not self.begun:
            self._expects = False
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter
        self._waiter = None

    async def body(self, limit: int, holds: Callable[[int], bool] = _always) -> bytes:
        """All of the body. Raises as `gather` does."""
        pieces: list[bytes] = []
        await self.gather(limit, lambda piece: pieces.append(bytes(piece)), holds)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def gather(
        self,
        limit: int,
        take: Callable[[Buffer], None],
        holds: Callable[[int], bool] = _always,
    ) -> None:
        """Hand all of the body to `take`, piece by piece as it comes, each in a buffer that is used
        again. `holds` is asked before whether there is room for so many bytes. Raises BodyTooLarge
        (as early as that is known), BodyLost and NoRoom."""
        crowded = False

        def taken(piece: Buffer) -> None:
            nonlocal crowded
            if crowded or not holds(len(piece)):
                crowded = True
                self._wake()
            else:
                take(piece)

        self._collects = True
        pieces, self._pieces = self._pieces, []
        if self._size > limit or int(self.index.get(b"content-length", b"0")) > limit:
            raise BodyTooLarge
        for piece in pieces:
            taken(piece)
        if crowded:
            raise NoRoom
        if self.complete:
            return
        self._take, self._wakes_at = taken, limit
        self._connection.hold(False)
        try:
            while not self.complete:
                if self._fault:
                    raise BodyLost(self._fault)
                await self._more()
                if self._size > limit:
                    raise BodyTooLarge
                if crowded:
                    raise NoRoom
        finally:
            self._take = None

    def whole(self) -> bytes | None:
        """All of the body where it has come already and nobody has taken any of it."""
        if not self.complete or self._collects:
            return None
        self._collects = True
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def stream(self, limit: int | None = None) -> AsyncIterator[bytes]:
        """The body as it comes, read no faster than it is taken. Raises as `body` does."""
        taken = 0
        while True:
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                taken += len(piece)
                if limit is not None and taken > limit:
                    raise BodyTooLarge
                yield piece
            if self._pieces:
                continue
            if self.complete:
                return
            if self._fault:
                raise BodyLost(self._fault)
            self._size = 0
            self._connection.hold(False)
            await self._more()

    def start(
        self, status: int, headers: Headers, first: Buffer = b"", *, reason: bytes = b""
    ) -> None:
        """Begin the answer, with the first piece of its body where there is one, since each write
        wakes the client. Without a Content-Length among the headers it is sent in chunks, or to a
        client of HTTP/1.0 until the connection closes."""
        head = self._head(status, headers, reason)
        if not first or self.method == b"HEAD":
            self._connection.transport.write(head)
            return
        self.bytes_out += len(first)
        if self._chunked:
            pieces: tuple[Buffer, ...] = (b"%b%x\r\n" % (head, len(first)), first, b"\r\n")
        else:
            pieces = (head, first)
        self._connection.transport.writelines(pieces)

    def _head(self, status: int, headers: Headers, reason: bytes) -> bytes:
        self.begun, self.status = True, status
        if not self.complete or self._connection.listener.closing:
            self.keep_alive = False
        lines = [b"HTTP/1.1 %d %b\r\n" % (status, reason or REASONS.get(status, b""))]
        sized = status in (204, 304) or self.method == b"HEAD"
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
            if len(name) == _LENGTH and name.lower() == b"content-length":
                sized = True
        if not sized:
            if self.version == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self.version == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def write(self, data: Buffer) -> None:
        """Send a piece of the answer's body."""
        if not data or self.method == b"HEAD":
            return
        self.bytes_out += len(data)
        if self._chunked:
            self._connection.transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            self._connection.transport.write(data)

    def give(self, data: Buffer) -> bool:
        """Send a piece of the body; whether the client takes more at once."""
        self.write(data)
        return self._connection.full is None

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self._connection.full is not None:
            await self._connection.full

    def finish(self) -> None:
        """End the answer."""
        self.finished = True
        if self._chunked:
            self._connection.transport.write(b"0\r\n\r\n")

    def abort(self) -> None:
        """Break the answer off, so that the client sees that it is not whole."""
        self.finished = True
        self.keep_alive = False
        self._connection.abort()

    def answer(
        self, status: int, headers: Headers, body: bytes = b"", *, reason: bytes = b""
    ) -> None:
        """A whole answer at once; Content-Length must be among the headers where it applies."""
        head = self._head(status, headers, reason)
        self.finished = True
        if self._chunked and not body:
            self._connection.transport.write(head + b"0\r\n\r\n")
        elif self.method == b"HEAD" or not body:
            self._connection.transport.write(head)
        elif self._chunked:
            tail = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            self._connection.transport.write(head + tail)
        elif len(body) < 65_536:
            self._connection.transport.write(head + body)
        else:
            self._connection.transport.writelines((head, body))
        self.bytes_out += 0 if self.method == b"HEAD" else len(body)
