"""One connection to an upstream: HTTP/1.1 (RFC 9112) on asyncio and httptools.

A connection carries one exchange at a time. Heads, lines and chunk headers are bounded, the
answer is read only as fast as it is taken, and every wait has a limit.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from guardrail_integrations.proxy.http.request_head import encode_head
from guardrail_integrations.proxy.http.sending import bare_socket, left_of, slices
from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.interfaces import (
    Buffer,
    Headers,
    Request,
    UpstreamError,
    UpstreamFault,
)
from guardrail_integrations.proxy.upstream.answer import Answer

if TYPE_CHECKING:
    from httptools import HttpResponseParser

TOGETHER = 64 * 1024  # head and body up to this size leave in one write
MAX_FIELDS = 500
FRESH_S = 0.05


class Connection(asyncio.Protocol):
    """A connection and the exchange that is under way on it.

    `freed` is called when an exchange is over and the connection can carry another, `lost` once
    when it is gone. `name` stands in errors.
    """

    def __init__(
        self,
        name: str,
        timeouts: Timeouts,
        max_head: int,
        freed: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.name, self._timeouts, self._max_head = name, timeouts, max_head
        self._freed, self._lost = freed, lost
        self.made = False
        self.uses = 0
        self.idle_since = 0.0
        self.answered = False  # a byte of the present answer has come
        self._transport: asyncio.Transport
        self._parser: HttpResponseParser
        self._socket = -1  # which may be written to beside the transport
        self._peek: select.poll | None = None
        self._gone = False
        self._paused = False
        self._answer: Answer | None = None
        self._head: asyncio.Future[Answer] | None = None
        self._bodiless = False
        self._interim = False
        self._head_size = 0
        self._silent = 0
        self._body_seen = False
        self._sender: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")
        self._ends = float("inf")
        self._awaited = "to connect"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and a way to see whether the other side has hung up."""
        self._transport, self.made = cast(asyncio.Transport, transport), True
        self._socket = bare_socket(transport)
        self._new_parser()
        connected = transport.get_extra_info("socket")
        if connected is not None and hasattr(select, "poll"):
            self._peek = select.poll()
            self._peek.register(connected.fileno(), select.POLLIN | select.POLLHUP)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        if self._answer is None:
            self._fail("garbage", "sent more than its answer")
            return
        self.answered = True
        self._body_seen = False
        try:
            self._parser.feed_data(data)
        except Exception as error:  # httptools.HttpParserError, and what its callbacks raised
            self._fail("garbage", f"its answer is not HTTP ({type(error).__name__})")
            return
        answer = self._answer
        if answer is None or self._gone:
            return
        self._silent = 0 if self._body_seen else self._silent + len(data)
        if self._silent > self._max_head:
            self._fail("garbage", f"more than {self._max_head} bytes without any of the body")
        elif self._head is None and not self._paused:
            self._await(self._timeouts.idle, "for more of the answer")

    def eof_received(self) -> None:
        """Closing follows."""

    def pause_writing(self) -> None:
        """The upstream takes nothing at the moment."""
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """The upstream takes more."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None
            if self._sender is None and not self._gone:
                self._await_answer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was under way: an answer without a length ends here as it should."""
        answer, self._gone = self._answer, True
        del self._parser  # it leads back here
        if answer is not None:
            if exc is None and self._head is None and not _has_length(answer.headers):
                self._finish(reuse=False)
            else:
                self._settle(self._error("closed", "closed the connection before its answer ended"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.resume_writing()
        self._lost(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """An answer, or an interim one before it."""

    def on_status(self, reason: bytes) -> None:
        """The words after the status code, perhaps in pieces."""
        assert self._answer is not None
        self._answer.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head or of the trailer, which is dropped."""
        assert self._answer is not None
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._max_head:
            raise ValueError("the head is too large")
        if self._head is not None:
            self._answer.headers.append((name, value))
            if len(self._answer.headers) > MAX_FIELDS:
                raise ValueError("the head has too many fields")

    def on_headers_complete(self) -> None:
        """The head has come."""
        answer, head = self._answer, self._head
        assert answer is not None
        status = self._parser.get_status_code()
        if status == 101:
            raise ValueError("an upgrade was not asked for")
        if status < 200:
            self._interim = True
            answer.headers.clear()
            answer.reason = b""
            return
        answer.status = status
        self._head = None
        if head is not None and not head.done():
            head.set_result(answer)
        if self._bodiless:  # httptools cannot be told that none will come
            reuse = self._parser.get_http_version() == "1.1" and not _closes(answer.headers)
            self._new_parser()
            self._finish(reuse=reuse)

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._body_seen = True
        if self._answer is not None and not self._answer.take(piece) and not self._paused:
            self._paused = True
            self._transport.pause_reading()
            self._await(None, "")

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._interim:
            self._interim = False
        elif self._answer is not None:
            self._finish(reuse=self._parser.should_keep_alive())

    # What the pool and the answer call.

    def alive(self, keep_s: float) -> bool:
        """Whether an idle connection can be used again: not old, not closed by the other side.

        The socket itself is asked, as the event loop may not have seen its end yet; this is what
        makes sure that a request is only written to a connection which is open at that moment.
        One that has just answered is not asked: no server ends it for being idle yet.
        """
        if self._gone or self._transport.is_closing():
            return False
        idle = self.loop.time() - self.idle_since
        if idle > keep_s:
            return False
        return self._peek is None or idle < FRESH_S or not self._peek.poll(0)

    async def exchange(self, request: Request) -> Answer:
        """Send a request and wait for the head of its answer; see interfaces.Upstream.send."""
        head = encode_head(request)
        if self._gone:
            raise self._error("closed", "closed the connection")
        self.uses += 1
        self.answered = False
        answer = self._answer = Answer(self)
        waiter = self._head = self.loop.create_future()
        self._bodiless = request.method == b"HEAD"
        self._head_size = self._silent = 0
        total = self._timeouts.total
        self._ends = float("inf") if total is None else self.loop.time() + total
        self._send(head, request)
        try:
            await waiter
        except BaseException:
            if self._answer is answer:  # else it is over, and another may be under way
                self.abort()
            raise
        finally:
            del waiter  # or its error would hold this frame, and so itself
        return answer

    def resume(self) -> None:
        """The answer's buffer is empty again."""
        if self._paused and not self._gone:
            self._paused = False
            self._await(self._timeouts.idle, "for more of the answer")
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, which tells the upstream to stop."""
        self._gone = True
        if self._answer is not None:
            self._settle(self._error("closed", "the exchange was given up"))
        self._transport.abort()

    # Sending.

    def _send(self, head: bytes, request: Request) -> None:
        body = request.body
        if isinstance(body, AsyncIterator):
            self._transport.write(head)
            chunked = any(name.lower() == b"transfer-encoding" for name, _ in request.headers)
            self._send_on(self._pour(body, chunked))
            return
        if len(head) + (size := sum(map(len, body))) <= TOGETHER:
            self._transport.write(b"".join((head, *body)) if size else head)
        elif (rest := self._offer((head, *body))) is not None:
            self._send_on(self._pour_rest(rest))
            return
        self._await(self._timeouts.head, "for an answer")

    def _send_on(self, rest: Coroutine[Any, Any, None]) -> None:
        self._sender = self.loop.create_task(rest)
        self._sender.add_done_callback(self._sent)

    def _offer(self, pieces: Sequence[Buffer]) -> Iterator[Sequence[Buffer]] | None:
        """Write what the upstream takes at once; the rest is given back. The transport holds back
        nothing that would have to go out before, as all earlier requests have been answered."""
        transport = self._transport
        held = transport.is_closing() or transport.get_write_buffer_size()
        if self._socket >= 0 and not held:
            pieces = left_of(self._socket, pieces)
        rest = slices(pieces)
        for together in rest:
            self._transport.writelines(together)
            if self._writable is not None:
                return rest
        return None

    async def _pour_rest(self, rest: Iterator[Sequence[Buffer]]) -> None:
        for pieces in rest:
            await self._taken()
            if self._gone:
                return
            self._transport.writelines(pieces)

    async def _pour(self, body: AsyncIterator[Buffer], chunked: bool) -> None:
        async for piece in body:
            if not piece:
                continue
            await self._taken()
            if self._gone:
                return
            if chunked:
                self._transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
            else:
                self._transport.write(piece)
        if chunked:
            self._transport.write(b"0\r\n\r\n")

    async def _taken(self) -> None:
        if self._writable is not None:
            self._await(self._timeouts.send, "to take the request")
            await self._writable
            self._await(None, "")

    def _sent(self, sender: asyncio.Task[None]) -> None:
        """All of the request is on its way, or its source failed."""
        self._sender = None
        if sender.cancelled():
            return
        if (error := sender.exception()) is not None:
            if self._head is not None and not self._head.done():
                self._head.set_exception(error)
            self.abort()
        elif self._writable is not None:
            self._await(self._timeouts.send, "to take the request")
        else:
            self._await_answer()

    def _await_answer(self) -> None:
        if self._head is not None:
            self._await(self._timeouts.head, "for an answer")
        elif self._answer is not None and not self._paused:
            self._await(self._timeouts.idle, "for more of the answer")

    # The end of an exchange.

    def _finish(self, *, reuse: bool) -> None:
        answer, self._answer = self._answer, None
        self._due = self._ends = float("inf")
        if self._sender is not None:  # answered before it had all of the request
            self._sender.cancel()
            reuse = False
        if answer is not None:
            answer.end()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if not reuse or self._gone:
            self._gone = True
            self._transport.abort()
        else:
            self.idle_since = self.loop.time()
            self._freed(self)

    def _settle(self, error: UpstreamError) -> None:
        answer, self._answer = self._answer, None
        head, self._head = self._head, None
        if self._sender is not None:
            self._sender.cancel()
        if head is not None and not head.done():
            head.set_exception(error)
        if answer is not None:
            answer.end(error)

    def _fail(self, fault: UpstreamFault, what: str) -> None:
        self._gone = True
        self._settle(self._error(fault, what))
        self._transport.abort()

    def _error(self, fault: UpstreamFault, what: str) -> UpstreamError:
        return UpstreamError(fault, f"{self.name}: {what}")

    def _new_parser(self) -> None:
        from httptools import HttpResponseParser

        self._parser = HttpResponseParser(self)

    # Time limits: one timer, which is moved on only when it runs out.

    def _await(self, seconds: float | None, what: str) -> None:
        self._awaited = what
        due = float("inf") if seconds is None else self.loop.time() + seconds
        self._due = min(due, self._ends)
        if self._due < float("inf") and (self._timer is None or self._timer.when() > self._due):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._gone or self._due == float("inf"):
            return
        if self.loop.time() < self._due:
            self._timer = self.loop.call_at(self._due, self._tick)
            return
        self._fail("timeout", f"waited too long {self._awaited or 'for the exchange to end'}")


def _closes(headers: Headers) -> bool:
    return any(
        name.lower() == b"connection" and b"close" in value.lower() for name, value in headers
    )


def _has_length(headers: Headers) -> bool:
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in headers)
