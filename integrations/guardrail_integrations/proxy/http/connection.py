"""HTTP/1.1 for clients: bytes to Exchanges, and their answers back to bytes.

The parser is llhttp (through httptools) in its strict mode, which refuses what requests are
smuggled with: bare line feeds, folded lines, spaces before colons, lengths given twice or beside
a transfer encoding. What it lets pass and we do not is refused in request_head.py. One exchange of
a connection is answered at a time; of those that were sent ahead, a few are read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from guardrail_integrations.proxy.http.exchange import HELD_BYTES, REASONS, Exchange
from guardrail_integrations.proxy.http.receiving import SHORT, length_of
from guardrail_integrations.proxy.http.request_head import FAULTS, MAX_HEAD, BadHead, head_fault
from guardrail_integrations.proxy.interfaces import Buffer, Headers

if TYPE_CHECKING:
    from guardrail_integrations.proxy.http.listener import Listener

AHEAD = 16  # requests read ahead of the one that is being answered
SETTLE_S = 30.0  # how long an answer that a client has had may still be looked at
LINGER_S = 2.0  # how long a client that is answered before its end may go on sending


class Connection(asyncio.BufferedProtocol):
    """A client's connection.

    What comes is read into the one buffer that all connections share, and is taken out of it at
    once. The parser is not asked about the bulk of a body of a known length: it has said where
    that ends.
    """

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
        self._left = 0  # bytes of a body that are to come, where their number is known
        self._past_parser = False  # they do not go through it
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
        others = len(self.listener.connections)
        self.listener.connections.add(self)
        if others >= 2 * self.listener.most:
            self.abort()
        elif others >= self.listener.most:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.listener.connections.discard(self)
        self._broken = True
        self.parser = None  # it leads back here
        self.resume_writing()
        self._waiting.clear()
        if self._reading is not None:
            self._reading.fail(400)
        if self._task is None:
            return
        settled = self._current.settled if self._current is not None else None
        if settled is not None and settled():
            # who has had all of an answer may leave: what is still made of it is no less true
            self.transport = _Nowhere()
            self._loop.call_later(SETTLE_S, self._task.cancel)
            self.listener.settling.add(self._task)
            self._task.add_done_callback(self.listener.settling.discard)
        else:
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

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio."""
        return self.listener.received.room(self._left if self._past_parser else 0)

    def buffer_updated(self, count: int) -> None:
        """See asyncio."""
        if self._broken or self._deaf:
            return
        data = self.listener.received.taken(count)
        if self._past_parser:
            self._last = self._loop.time()
            self._body(data)
        else:
            self._parse(data)

    def _parse(self, data: Buffer) -> None:
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
            self._without_upgrade(bytes(data)[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            inner = error.__context__
            self._refuse(inner.status if isinstance(inner, BadHead) else 400)
            return
        if self._in_head and self._reading is None and self._head_bytes > MAX_HEAD:
            self._refuse(431)
        if self._left > SHORT:
            self._past_parser = True
            if self._reading is not None and not self._reading.wanted:
                self._hold()

    def _body(self, data: memoryview) -> None:
        """A piece of a body that the parser does not see. What comes behind the body is read by
        a parser that has seen nothing, which is where this one would be."""
        self.on_body(data)
        if not self._left:
            self._past_parser = False
            self.parser = httptools.HttpRequestParser(self)
            self._complete()

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
        self._head_bytes = 0  # what is behind it in the same piece is not counted
        if self._resumed:
            return
        exchange = Exchange(self, self._url, self._headers)
        fault = head_fault(exchange)
        if fault:
            raise BadHead(fault)
        self._reading = exchange
        # behind a request that is the last one, the parser refuses whatever comes
        self._left = length_of(exchange.index) if exchange.keep_alive else 0
        self._waiting.append(exchange)
        self._next()
        if len(self._waiting) > AHEAD:
            self._hold()

    def on_body(self, body: Buffer) -> None:
        """See httptools."""
        self._left -= len(body)
        if self._reading is not None and self._lingers is None:
            self._reading.add(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._resumed or not self.parser.should_upgrade():
            self._complete()

    def _complete(self) -> None:
        if self._reading is not None:
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
        self._parse(b"POST / HTTP/1.1\r\nhost: -\r\n" + b"".join(framing) + b"\r\n" + rest)

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
        elif self._deaf:
            self._linger()
        elif not exchange.keep_alive or self.listener.closing:
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
            kind = b"server_error" if status == 503 else b"invalid_request_error"
            body = b'{"error": {"message": "%b", "type": "%b"}}' % (
                FAULTS.get(status, FAULTS[400]),
                kind,
            )
            again = b"retry-after: 1\r\n" if status == 503 else b""
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"%bconnection: close\r\n\r\n%b" % (status, REASONS[status], len(body), again, body)
            )
            self._linger()

    def _linger(self) -> None:
        """Close soon: what a client still sends to a closed connection resets it, and with it
        goes the answer that was not read yet."""
        self._lingers = self._loop.time() + LINGER_S
        self._resume()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()

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


class _Nowhere:
    """Stands for the transport of a client that has left."""

    def write(self, data: Any) -> None:
        """See asyncio, as the others."""

    def writelines(self, data: Any) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def is_closing(self) -> bool:
        return True

    def get_extra_info(self, name: str) -> None:
        return None
