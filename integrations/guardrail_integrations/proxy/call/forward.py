"""Requests on their way to an upstream, and its answers on their way back."""

from __future__ import annotations

from collections.abc import Callable, Collection

from guardrail_integrations.proxy.http.exchange import Exchange
from guardrail_integrations.proxy.http.headers import connection_only, end_to_end
from guardrail_integrations.proxy.interfaces import Headers, Request, Response
from guardrail_integrations.proxy.settings import Target
from guardrail_integrations.proxy.verdicts.headers import OURS

KEYS = frozenset((b"authorization", b"x-api-key", b"api-key"))


def upstream_headers(exchange: Exchange, target: Target, drop: Collection[bytes] = ()) -> Headers:
    """The request's headers as the upstream gets them: as they came, but for Host, the key where
    one is set, our own, and those of the names in `drop`."""
    headers: Headers = []
    credential = target.credential
    stays = connection_only(exchange.index.get(b"connection", b"")).union(drop)
    if credential is not None:
        stays |= KEYS
    for lower, header in zip(exchange.names, exchange.headers, strict=True):
        if lower == b"host":
            headers.append((header[0], target.authority))
        elif lower not in stays and not lower.startswith(OURS):
            headers.append(header)
    if b"host" not in exchange.index:
        headers.insert(0, (b"host", target.authority))
    if credential is not None:
        headers.append((target.key_header.lower().encode(), credential))
    return headers


def target_of(exchange: Exchange, target: Target) -> bytes:
    """The request's target as the upstream gets it."""
    return behind(target, exchange.target)


def behind(target: Target, path: bytes) -> bytes:
    """A path behind the upstream's own. An upstream given as .../v1 is the same as one given
    without, for paths that begin with /v1/."""
    prefix = target.prefix
    if prefix.endswith(b"/v1") and path.startswith(b"/v1/"):
        prefix = prefix[:-3]
    return prefix + path


def streaming_request(exchange: Exchange, target: Target, limit: int) -> Request:
    """The request as it comes, its body read no faster than the upstream takes it."""
    headers = upstream_headers(exchange, target)
    whole = exchange.whole()
    if whole is not None:
        if b"transfer-encoding" in exchange.index:
            headers.append((b"content-length", b"%d" % len(whole)))
        return Request(
            exchange.method, target_of(exchange, target), headers, [whole] if whole else ()
        )
    if b"transfer-encoding" in exchange.index:
        headers.append((b"transfer-encoding", b"chunked"))
        return Request(
            exchange.method, target_of(exchange, target), headers, exchange.stream(limit)
        )
    if int(exchange.index.get(b"content-length", b"0")) > 0:
        return Request(
            exchange.method, target_of(exchange, target), headers, exchange.stream(limit)
        )
    return Request(exchange.method, target_of(exchange, target), headers)


def redirected(headers: Headers, target: Target) -> Headers:
    """The headers with a redirect to the upstream's own address as one to ours: a client that
    followed it would call past the proxy."""
    led = []
    for name, value in headers:
        scheme, _, place = value.partition(b"//")
        if name.lower() == b"location" and scheme.lower() in (b"", b"http:", b"https:"):
            authority, slash, path = place.partition(b"/")
            if authority.lower() == target.authority.lower():
                value = (slash + path).removeprefix(target.prefix.removesuffix(b"/v1")) or b"/"
        led.append((name, value))
    return led


async def pass_back(
    exchange: Exchange,
    response: Response,
    target: Target,
    extra: Headers,
    see: Callable[[bytes], None] | None = None,
) -> None:
    """The answer to the client as it comes, read no faster than the client takes it, and then
    closed. `see` is shown each piece of its body."""

    def give(piece: bytes) -> bool:
        if see is not None:
            see(piece)
        return exchange.give(piece)

    try:
        headers = end_to_end(response.headers) + extra
        if 300 <= response.status < 400:
            headers = redirected(headers, target)
        whole = response.whole()
        piece = await response.read() if whole is None else whole
        if see is not None:
            see(piece)
        if response.ended and len(piece) < 262_144:
            exchange.answer(response.status, headers, piece, reason=response.reason)
            return
        exchange.start(response.status, headers, piece, reason=response.reason)
        await exchange.drain()
        await response.pour(give, exchange.drain)
        exchange.finish()
    finally:
        response.close()
