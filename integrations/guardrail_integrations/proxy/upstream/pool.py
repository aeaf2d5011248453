"""An upstream: a pool of connections to one origin, with TLS, limits and time limits.

A request goes out on the connection that fell free last, or on a new one. It is sent again, once
and on a new connection, only where that cannot make the upstream do the work twice:

- a kept connection is asked for its end right before it is used, so one that the upstream has
  closed meanwhile is thrown away before a byte is written, whatever the method;
- where it closes at that very moment, with no byte answered, the request is repeated only if its
  method is idempotent (RFC 9110, section 9.2.2) or it carries an Idempotency-Key. Any other may
  have been acted on: it ends as UpstreamError("closed").
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.http.tls import client_tls
from guardrail_integrations.proxy.interfaces import Request, UpstreamError
from guardrail_integrations.proxy.upstream.answer import Answer
from guardrail_integrations.proxy.upstream.connection import Connection

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))


@dataclass(frozen=True)
class Pooling:
    """How many connections an upstream gets, and how long an idle one is kept.

    `keep_s` is below the five seconds after which uvicorn, and so vLLM, closes an idle
    connection. `max_head` bounds the head of an answer, and any run of bytes between two pieces
    of its body, in bytes.
    """

    connections: int = 2_000
    idle: int = 200
    keep_s: float = 4.0
    max_head: int = 64 * 1024


class HttpUpstream:
    """See interfaces.Upstream. `url` is an http or https origin; a path in it is not used.

    `address` is connected to instead of the URL's host, which still names the peer for TLS.
    Belongs to the event loop that it is first used on.
    """

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts | None = None,
        pooling: Pooling | None = None,
        tls: ssl.SSLContext | None = None,
        address: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an upstream is an http or https address")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._address = address or self._host
        self._tls = (tls or client_tls()) if parts.scheme == "https" else None
        self._name = f"{self._host}:{self._port}"
        self._timeouts, self._pooling = timeouts or Timeouts(), pooling or Pooling()
        self._idle: list[Connection] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def open(self) -> int:
        """How many connections there are, idle ones among them."""
        return self._open

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection."""
        return len(self._waiting)

    async def send(self, request: Request) -> Answer:
        """See interfaces.Upstream."""
        connection = self._take_idle() or await self._connection()
        kept = connection.uses > 0
        try:
            return await connection.exchange(request)
        except UpstreamError as error:
            again = kept and error.fault == "closed" and not connection.answered
            if not again or not _repeatable(request):
                raise
        return await (await self._connection(fresh=True)).exchange(request)

    async def close(self) -> None:
        """See interfaces.Upstream."""
        self._closed = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive(self._pooling.keep_s):
                return connection
            connection.abort()
        return None

    async def _connection(self, *, fresh: bool = False) -> Connection:
        while self._open >= self._pooling.connections:
            if (freed := await self._wait()) is None:
                continue
            if not fresh and freed.alive(self._pooling.keep_s):
                return freed
            freed.abort()
        self._open += 1
        connection = Connection(
            self._name, self._timeouts, self._pooling.max_head, self._freed, self._lost
        )
        try:
            await self._connect(connection)
        except BaseException:
            if connection.made:  # then it will be lost
                connection.abort()
            else:
                self._lost(connection)
            raise
        return connection

    async def _connect(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        name = self._host if self._tls is not None else None
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await loop.create_connection(
                    lambda: connection,
                    self._address,
                    self._port,
                    ssl=self._tls,
                    server_hostname=name,
                )
        except TimeoutError as error:
            raise UpstreamError(
                "unreachable", f"{self._name}: no connection in {self._timeouts.connect:g} s"
            ) from error
        except (OSError, ssl.SSLError, UnicodeError) as error:
            raise UpstreamError(
                "unreachable", f"{self._name}: no connection ({type(error).__name__})"
            ) from error

    async def _wait(self) -> Connection | None:
        """A connection that fell free, or None where there may be room for a new one."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._timeouts.pool):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # its turn came too late for this one
                given = turn.result()
                self._wake(None) if given is None else self._freed(given)
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise UpstreamError(
                    "busy", f"{self._name}: none of {self._open} connections fell free in time"
                ) from None
            raise

    def _wake(self, connection: Connection | None) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def _freed(self, connection: Connection) -> None:
        if self._wake(connection):
            return
        if self._closed or len(self._idle) >= self._pooling.idle:
            connection.abort()
            return
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self._pooling.keep_s, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        kept = []
        for connection in self._idle:
            if connection.alive(self._pooling.keep_s):
                kept.append(connection)
            else:
                connection.abort()
        self._idle = kept
        if kept:
            loop = kept[0].loop
            self._sweeper = loop.call_later(self._pooling.keep_s / 2, self._sweep)

    def _lost(self, connection: Connection) -> None:
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake(None)


def _repeatable(request: Request) -> bool:
    if isinstance(request.body, AsyncIterator):
        return False
    return request.method in IDEMPOTENT or any(
        name.lower() == b"idempotency-key" for name, _ in request.headers
    )
