"""What listens for clients: it makes their connections, and ends them when their time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from guardrail_integrations.proxy.http.connection import Connection
from guardrail_integrations.proxy.http.exchange import Exchange
from guardrail_integrations.proxy.http.receiving import Received
from guardrail_integrations.proxy.http.timeouts import Clock

Handler = Callable[[Exchange], Awaitable[None]]


@dataclass
class Listener:
    """What all connections share. Those over `most` are turned away."""

    handle: Handler
    clock: Clock = Clock()
    most: int = 10_000
    connections: set[Connection] = field(default_factory=set)
    settling: set[asyncio.Task[None]] = field(default_factory=set)  # whose client has left
    received: Received = field(default_factory=Received)
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
        while (self.connections or self.settling) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
