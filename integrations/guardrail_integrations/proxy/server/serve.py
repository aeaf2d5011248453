"""Serving a proxy: a socket to listen on, and an end without dropped calls."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from guardrail import Guard
from guardrail_integrations.proxy.http.listener import Listener
from guardrail_integrations.proxy.http.tls import client_tls
from guardrail_integrations.proxy.interfaces import Fetcher, Observer
from guardrail_integrations.proxy.server.app import Endpoint, Proxy
from guardrail_integrations.proxy.server.endpoints import ENDPOINTS
from guardrail_integrations.proxy.settings import Settings, Target
from guardrail_integrations.proxy.upstream.fetch import SafeFetcher
from guardrail_integrations.proxy.upstream.pool import HttpUpstream

BACKLOG = 2_048


@dataclass
class Server:
    """A proxy that listens. `port` is known once it has started."""

    proxy: Proxy
    listener: Listener
    port: int = 0
    _server: asyncio.Server | None = None
    _watch: asyncio.Task[None] | None = None

    async def start(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a bound socket."""
        loop = asyncio.get_running_loop()
        self.port = int(sock.getsockname()[1])
        self._server = await loop.create_server(self.listener, sock=sock, ssl=tls, backlog=BACKLOG)
        self._watch = loop.create_task(self.listener.watch())

    async def stop(self, seconds: float) -> None:
        """Take no new calls, finish those under way for at most so long, and close."""
        self.proxy.capacity.draining = True
        if self._server is not None:
            self._server.close()
        await self.listener.drain(seconds)
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        for upstream in self.proxy.upstreams.values():
            await upstream.close()


def serving(
    guard: Guard,
    settings: Settings,
    *,
    fetcher: Fetcher | None = None,
    endpoints: Mapping[str, Endpoint] | None = None,
    observers: Sequence[Observer] = (),
) -> Server:
    """A server for a guard; call it on the event loop that it will run on."""
    proxy = Proxy(
        guard,
        settings,
        {name: _upstream(target) for name, target in settings.targets.items()},
        fetcher=fetcher or SafeFetcher(settings.fetch),
        endpoints={**ENDPOINTS, **(endpoints or {})},
        observers=observers,
    )
    return Server(proxy, Listener(proxy.handle, settings.clock, settings.connections))


def tls_of(target: Target) -> ssl.SSLContext | None:
    """TLS towards an upstream, where it is spoken. Raises ValueError."""
    if not target.url.lower().startswith("https:"):
        return None
    return client_tls(target.ca, target.certificate, target.certificate_key)


def _upstream(target: Target) -> HttpUpstream:
    return HttpUpstream(target.url, tls=tls_of(target), timeouts=target.timeouts)


def bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address; several processes may share it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    return sock
