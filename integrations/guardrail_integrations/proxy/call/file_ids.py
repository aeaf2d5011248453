"""Files that a call names by their id, read from the upstream's files API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardrail_integrations.proxy.call.forward import behind, upstream_headers
from guardrail_integrations.proxy.http.headers import without
from guardrail_integrations.proxy.interfaces import Request
from guardrail_integrations.proxy.media.files import Remote
from guardrail_integrations.proxy.verdicts.proxy_rules import FILE_IDS
from guardrail_integrations.proxy.verdicts.refusals import refused

if TYPE_CHECKING:
    from guardrail_integrations.proxy.http.exchange import Exchange
    from guardrail_integrations.proxy.interfaces import Upstream
    from guardrail_integrations.proxy.reading.surface import Surface
    from guardrail_integrations.proxy.settings import Target

_FILE_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._~-]*)*")
_DEPLOYMENT = re.compile(r"/deployments/[^/]+$")  # Azure's files belong to none
_OF_THE_CALL = (b"content-length", b"content-type", b"content-encoding", b"accept-encoding")


async def uploaded(
    remote: Remote,
    exchange: Exchange,
    surface: Surface,
    target: Target,
    upstream: Upstream,
    limit: float,
) -> bytes:
    """An uploaded file of up to `limit` bytes or a piece more, read with the key that the call
    has. Raises Refused."""
    if not _FILE_ID.fullmatch(remote.address):
        message = f"{remote.name}: not a file id."
        raise refused(400, "file_unreadable", message, remote.name, FILE_IDS)
    headers = without(upstream_headers(exchange, target), *_OF_THE_CALL)
    path = _beside(exchange, surface, target) + b"/files/%b/content" % remote.address.encode()
    query = b"?" + exchange.query if exchange.query else b""
    request = Request(b"GET", behind(target, path + query), headers)
    response = await upstream.send(request)
    try:
        if response.status != 200:
            message = f"{remote.name}: the upstream does not hand this file out; send its bytes."
            raise refused(400, "file_unreadable", message, remote.name, FILE_IDS)
        pieces: list[bytes] = []
        while sum(map(len, pieces)) <= limit and (piece := await response.read()):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        response.close()


def _beside(exchange: Exchange, surface: Surface, target: Target) -> bytes:
    """What stands before an API's paths: /v1, or the like of gateways and Azure."""
    before = exchange.path.removesuffix(surface.path)
    if before == exchange.path or not _PLAIN.fullmatch(before):
        return b"/v1"
    if not before and not target.prefix.endswith(b"/v1"):
        return b"/v1"
    return _DEPLOYMENT.sub("", before).encode()
