"""HTTP/1.1 for clients: bytes to Exchanges, and their answers back to bytes.

The parser is llhttp (through httptools) in its strict mode, which refuses what requests are
smuggled with: bare line feeds, folded lines, spaces before colons, lengths given twice or beside
a transfer encoding. What it lets pass and we do not is refused in `_head_fault`. One exchange of
a connection is answered at a time; of those that were sent ahead, a few are read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httptools

from guardrail_integrations.proxy.interfaces import Buffer, Headers

HELD_BYTES = 256 << 10  # of a body that nobody reads, or of an answer that nobody takes
AHEAD = 16  # requests read ahead of the one that is being answered
MAX_HEAD = 64 << 10  # bytes of a request line and headers
MAX_HEADERS = 200
LINGER_S = 2.0  # an answer before the end of the request: how long the rest is read and dropped

_REASONS = {int(status): status.phrase.encode() for status in HTTPStatus}


@dataclass(frozen=True)
class Clock:
    """How long a client may take, in seconds.

    A head must be complete within `head`, counted from its first byte; between requests a
    connection is kept for `idle`. A body may pause for `pause`, and beyond that time in all it
    must come at `rate` bytes a second. An answer that a client does not take for `write` ends.
    """

    head: float = 15.0
    idle: float = 75.0
    pause: float = 30.0
    rate: float = 10_000.0
    write: float = 120.0


class BodyTooLarge(Exception):
    """A request's body is over the limit."""


class BodyLost(Exception):
    """The rest of a request's body did not come: `status` is 408 where the client was too slow,
    400 where it sent what is not HTTP, or left."""

    def __init__(self, status: int) -> None:
        self.status = status


Handler = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Listener:
    """What all connections share."""

    handle: Handler
    clock: Clock = Clock()
    connections: set[Connection] = field(default_factory=set)
    closing: bool = False

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self)

    async def watch(self) -> None:
        """Close what has run out of time; runs until it is cancelled."""
        while True:
            await asyncio.sleep(0.5)
            now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.look_at(now)

    async def drain(self, seconds: float) -> None:
        """Finish the exchanges under way, for at most so long, and close all connections."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_if_idle()
        end = asyncio.get_running_loop().time() + seconds
        while self.connections and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()


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
        "_waiter",
        "begun",
        "bytes_out",
        "complete",
        "finished",
        "headers",
        "index",
        "keep_alive",
        "method",
        "path",
        "query",
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
        self.index = {name.lower(): value for name, value in headers}
        self.version: str = connection.parser.get_http_version()
        self.keep_alive: bool = connection.parser.should_keep_alive()
        self._expects = self.index.get(b"expect", b"").lower() == b"100-continue"
        self._pieces: list[bytes] = []
        self._size = 0
        self._collects = False
        self._waiter: asyncio.Future[None] | None = None
        self._fault = 0
        self.complete = False  # the request has come whole
        self.begun = False  # the answer has begun
        self.finished = False  # and is over
        self.status = 0
        self.bytes_out = 0
        self._chunked = False

    @property
    def size(self) -> int:
        """The bytes of the body that have come so far."""
        return self._size

    @property
    def client(self) -> str:
        """The address the request came from."""
        peer = self._connection.transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def add(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(piece)
        self._size += len(piece)
        if not self._collects and self._size > HELD_BYTES:
            self._connection.hold(True)
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

    async def body(self, limit: int) -> bytes:
        """All of the body. Raises BodyTooLarge (as early as that is known) and BodyLost."""
        if int(self.index.get(b"content-length", b"0")) > limit:
            raise BodyTooLarge
        self._collects = True
        self._connection.hold(False)
        while not self.complete:
            if self._size > limit:
                raise BodyTooLarge
            if self._fault:
                raise BodyLost(self._fault)
            await self._more()
        if self._size > limit:
            raise BodyTooLarge
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

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

    def start(self, status: int, headers: Headers, *, reason: bytes = b"") -> None:
        """Begin the answer. Without a Content-Length among its headers it is sent in chunks, or
        to a client of HTTP/1.0 until the connection closes."""
        self._connection.transport.write(self._head(status, headers, reason))

    def _head(self, status: int, headers: Headers, reason: bytes) -> bytes:
        self.begun, self.status = True, status
        if not self.complete or self._connection.listener.closing:
            self.keep_alive = False
        lines = [b"HTTP/1.1 %d %b" % (status, reason or _REASONS.get(status, b""))]
        sized = status in (204, 304) or self.method == b"HEAD"
        for name, value in headers:
            lines.append(b"%b: %b" % (name, value))
            sized = sized or name.lower() == b"content-length"
        if not sized:
            if self.version == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:
                self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close")
        elif self.version == "1.0":
            lines.append(b"connection: keep-alive")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    def write(self, data: Buffer) -> None:
        """Send a piece of the answer's body."""
        if not data or self.method == b"HEAD":
            return
        self.bytes_out += len(data)
        if self._chunked:
            self._connection.transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            self._connection.transport.write(data)

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
        if self.method == b"HEAD" or not body:
            self._connection.transport.write(head)
        elif self._chunked:
            tail = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            self._connection.transport.write(head + tail)
        elif len(body) < 65_536:
            self._connection.transport.write(head + body)
        else:
            self._connection.transport.writelines((head, body))
        self.bytes_out += len(body)


class Connection(asyncio.Protocol):
    """A client's connection."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.parser: Any = httptools.HttpRequestParser(self)
        self.transport: Any = None
        self.full: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._reading: Exchange | None = None  # whose body is coming
        self._task: asyncio.Task[None] | None = None
        self._url = b""
        self._headers: Headers = []
        self._head_bytes = 0
        self._in_head = False
        self._resumed = False
        self._held = False
        self._broken = False  # nothing more can be written
        self._deaf = False  # nothing more is read
        self._since = self._last = self._loop.time()
        self._lingers: float | None = None

    # what asyncio tells us

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        self.transport = transport
        transport.set_write_buffer_limits(HELD_BYTES)
        self.listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.listener.connections.discard(self)
        self._broken = True
        self.resume_writing()
        self._waiting.clear()
        if self._reading is not None:
            self._reading.fail(400)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """See asyncio."""
        if self.full is None:
            self.full = self._loop.create_future()
            self._last = self._loop.time()

    def resume_writing(self) -> None:
        """See asyncio."""
        if self.full is not None:
            if not self.full.done():
                self.full.set_result(None)
            self.full = None

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._broken or self._deaf:
            return
        now = self._last = self._loop.time()
        if not self._in_head and self._reading is None:
            self._since = now
            self._in_head = True
            self._head_bytes = 0
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            inner = error.__context__
            self._refuse(inner.status if isinstance(inner, _BadHead) else 400)
            return
        if self._in_head and self._reading is None and self._head_bytes > MAX_HEAD:
            self._refuse(431)

    def eof_received(self) -> bool:
        """See asyncio."""
        return False

    # what the parser tells us

    def on_message_begin(self) -> None:
        """See httptools."""
        self._in_head = True
        if self._resumed:
            return
        self._url, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        if not self._resumed:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Trailers come this way as well and are dropped."""
        if self._in_head and not self._resumed:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head = False
        if self._resumed:
            return
        exchange = Exchange(self, self._url, self._headers)
        fault = _head_fault(exchange)
        if fault:
            raise _BadHead(fault)
        self._reading = exchange
        self._waiting.append(exchange)
        self._next()
        if len(self._waiting) > AHEAD:
            self._hold()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._reading is not None and self._lingers is None:
            self._reading.add(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._reading is not None and (self._resumed or not self.parser.should_upgrade()):
            self._resumed = False
            self._reading.end()
            self._reading = None

    def _without_upgrade(self, rest: bytes) -> None:
        """An Upgrade that was asked for is passed over: read on as if it had not been. The body,
        which the parser leaves to the other protocol, is read behind a head of its length only."""
        exchange = self._reading
        self.parser = httptools.HttpRequestParser(self)
        if exchange is None:
            self._refuse(400)
            return
        framing = [
            b"%b: %b\r\n" % (name, value)
            for name, value in exchange.headers
            if name.lower() in (b"content-length", b"transfer-encoding")
        ]
        self._resumed = True
        self.data_received(b"POST / HTTP/1.1\r\nhost: -\r\n" + b"".join(framing) + b"\r\n" + rest)

    # exchanges, one after the other

    def _next(self) -> None:
        if self._current is None and self._waiting and not self._broken:
            self._current = self._waiting.popleft()
            self._task = self._loop.create_task(self._serve(self._current))

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self.listener.handle(exchange)
        finally:
            self._task = None
            if not exchange.finished and not self._broken:
                self.abort()
            self._over(exchange)

    def _over(self, exchange: Exchange) -> None:
        self._current = None
        if self._broken:
            return
        if not exchange.complete and not self._deaf:
            self._lingers = self._loop.time() + LINGER_S
            self._resume()
        elif self._deaf or not exchange.keep_alive or self.listener.closing:
            self.close()
        else:
            self._since = self._last = self._loop.time()
            self._resume()
            self._next()

    def _refuse(self, status: int) -> None:
        """What came is not a request: answer that, or let the exchange under way be the last."""
        self._deaf = True
        if self._reading is not None:
            self._reading.fail(status)
        elif self._current is None:
            body = b'{"error": {"message": "%b", "type": "invalid_request_error"}}' % (
                _FAULTS.get(status, _FAULTS[400])
            )
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, _REASONS[status], len(body), body)
            )
            self.close()

    # flow control and ends

    def hold(self, held: bool) -> None:
        """Stop or go on reading."""
        if held:
            self._hold()
        else:
            self._resume()

    def _hold(self) -> None:
        if not self._held and not self.transport.is_closing():
            self._held = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._held and len(self._waiting) <= AHEAD and not self.transport.is_closing():
            self._held = False
            self._last = self._loop.time()
            self.transport.resume_reading()

    def close(self) -> None:
        """Close once all is written."""
        self._broken = True
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._broken = True
        self.transport.abort()

    def close_if_idle(self) -> None:
        """Close unless an exchange is under way."""
        if self._current is None and not self._in_head:
            self.close()

    def look_at(self, now: float) -> None:
        """Close the connection if its time is up."""
        clock = self.listener.clock
        if self._lingers is not None:
            if now > self._lingers:
                self.close()
        elif self.full is not None:
            if now - self._last > clock.write:
                self.abort()
        elif self._reading is not None and not self._held:
            slow = now - self._since > clock.pause + self._reading.size / clock.rate
            if slow or now - self._last > clock.pause:
                self._refuse(408)
        elif self._in_head:
            if now - self._since > clock.head:
                self._refuse(408)
        elif self._current is None and now - self._last > clock.idle:
            self.close()


class _BadHead(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


_FAULTS = {
    400: b"This is not a valid HTTP/1.1 request.",
    408: b"The head of the request took too long.",
    431: b"The head of the request is too large.",
    501: b"This transfer encoding is not supported.",
    505: b"Only HTTP/1.0 and HTTP/1.1 are spoken here.",
}


def _head_fault(exchange: Exchange) -> int:
    """The status for a head that llhttp lets pass and we do not, or 0."""
    if exchange.version not in ("1.1", "1.0"):
        return 505
    size = len(exchange.target) + sum(len(name) + len(value) for name, value in exchange.headers)
    if len(exchange.headers) > MAX_HEADERS or size > MAX_HEAD:
        return 431
    encoding = exchange.index.get(b"transfer-encoding")
    if encoding is not None:
        if exchange.version == "1.0":
            return 400
        if encoding.strip().lower() != b"chunked":
            return 501
    hosts = sum(name.lower() == b"host" for name, _ in exchange.headers)
    encodings = sum(name.lower() == b"transfer-encoding" for name, _ in exchange.headers)
    if hosts > 1 or encodings > 1 or (hosts == 0 and exchange.version == "1.1"):
        return 400
    return 0 if exchange.target.startswith(b"/") or exchange.target == b"*" else 400
