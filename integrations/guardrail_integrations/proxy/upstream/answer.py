"""An answer of an upstream, as far as it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from guardrail_integrations.proxy.interfaces import Headers, Sink, UpstreamError, UpstreamFault

if TYPE_CHECKING:
    from guardrail_integrations.proxy.upstream.connection import Connection

HIGH_WATER = 256 * 1024  # bytes of an answer kept unread before the upstream is held back


class Answer:
    """See interfaces.Response."""

    __slots__ = (
        "_connection",
        "_fault",
        "_pieces",
        "_sink",
        "_size",
        "_waiter",
        "ended",
        "headers",
        "reason",
        "status",
    )

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.reason = b""
        self.headers: Headers = []
        self.ended = False
        self._connection = connection
        self._pieces: list[bytes] = []
        self._size = 0
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._fault: tuple[UpstreamFault, str] | None = None  # no error: it would lead back here

    def whole(self) -> bytes | None:
        """See interfaces.Response."""
        return self._take() if self.ended else None

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        return data

    async def read(self) -> bytes:
        """See interfaces.Response."""
        while not self._pieces:
            if self._fault is not None:
                raise UpstreamError(*self._fault)
            if self.ended:
                return b""
            await self._news()
        data = self._take()
        if not self.ended:
            self._connection.resume()
        return data

    async def pour(self, sink: Sink, ready: Callable[[], Awaitable[None]]) -> None:
        """See interfaces.Response."""
        while True:
            if self._pieces and not sink(await self.read()):
                await ready()
            elif not self._pieces:
                if self._fault is not None:
                    raise UpstreamError(*self._fault)
                if self.ended:
                    return
                self._sink = sink  # what comes now need not wake anybody
                try:
                    await self._news()
                finally:
                    self._sink = None
                await ready()
                self._connection.resume()

    async def _news(self) -> None:
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """See interfaces.Response."""
        if not self.ended and self._fault is None:
            self._connection.abort()

    def take(self, piece: bytes) -> bool:
        """Hand a piece of the body on or keep it; False asks to hold the upstream back."""
        if self._sink is not None and not self._pieces:
            try:
                if self._sink(piece):
                    return True
            except UpstreamError as error:
                self._fault = error.fault, str(error)
            self._sink = None
            self._wake()
            return False
        self._pieces.append(piece)
        self._size += len(piece)
        self._wake()
        return self._size < HIGH_WATER

    def end(self, error: UpstreamError | None = None) -> None:
        """The last of the body has come, or nothing more will."""
        if error is None:
            self.ended = True
        elif not self.ended:
            self._fault = error.fault, str(error)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
