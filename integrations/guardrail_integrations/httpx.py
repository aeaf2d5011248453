"""The proxy's transport under httpx: httpx's API at a fraction of its cost a request.

    client = httpx.AsyncClient(transport=HttpxTransport())

HTTP/1.1 only, and no proxies between; everything else that httpx does stays httpx's.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

from guardrail import MissingExtra
from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.interfaces import Request, Response, UpstreamError
from guardrail_integrations.proxy.upstream.pool import HttpUpstream, Pooling

try:
    import httpx
except ImportError as error:
    raise MissingExtra("httpx", "proxy") from error

if TYPE_CHECKING:
    Key = tuple[str, float | None, float | None, float | None, float | None]

_ERRORS: dict[str, type[httpx.TransportError]] = {
    "unreachable": httpx.ConnectError,
    "timeout": httpx.ReadTimeout,
    "closed": httpx.RemoteProtocolError,
    "garbage": httpx.RemoteProtocolError,
    "busy": httpx.PoolTimeout,
}


class HttpxTransport(httpx.AsyncBaseTransport):
    """A pool of connections for each origin, and each set of time limits, that a client uses."""

    def __init__(
        self, *, pooling: Pooling | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._pooling, self._tls = pooling, tls
        self._upstreams: dict[Key, HttpUpstream] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx; what goes wrong is raised as httpx's own errors."""
        stream = request.stream
        body: list[bytes] | AsyncIterator[bytes]
        if isinstance(stream, httpx.ByteStream):
            body = list(stream)
        else:
            assert isinstance(stream, httpx.AsyncByteStream)
            body = aiter(stream)
        asked = Request(
            request.method.encode("ascii"), request.url.raw_path, request.headers.raw, body
        )
        try:
            answer = await self._upstream(request).send(asked)
        except UpstreamError as error:
            raise _ERRORS[error.fault](str(error), request=request) from error
        except ValueError as error:
            raise httpx.LocalProtocolError(str(error), request=request) from error
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Stream(answer, request),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": answer.reason},
        )

    async def aclose(self) -> None:
        """Close all connections that are not in use."""
        for upstream in self._upstreams.values():
            await upstream.close()

    def _upstream(self, request: httpx.Request) -> HttpUpstream:
        given = request.extensions.get("timeout", {})
        connect, read, write, pool = (given.get(n) for n in ("connect", "read", "write", "pool"))
        url = request.url
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        key = (origin, connect, read, write, pool)
        if key not in self._upstreams:
            limits = replace(
                Timeouts(), connect=connect, pool=pool, send=write, head=read, idle=read
            )
            self._upstreams[key] = HttpUpstream(
                origin, timeouts=limits, pooling=self._pooling, tls=self._tls
            )
        return self._upstreams[key]


class _Stream(httpx.AsyncByteStream):
    def __init__(self, answer: Response, request: httpx.Request) -> None:
        self._answer, self._request = answer, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._answer.read():
                yield piece
        except UpstreamError as error:
            raise _ERRORS[error.fault](str(error), request=self._request) from error

    async def aclose(self) -> None:
        self._answer.close()
