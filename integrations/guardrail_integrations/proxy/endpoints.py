"""The proxy's own paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrail_integrations.proxy.app import Endpoint, Proxy
    from guardrail_integrations.proxy.http_server import Exchange


async def healthz(proxy: Proxy, exchange: Exchange) -> None:
    """Whether the process answers at all."""
    exchange.answer(200, [(b"content-type", b"text/plain"), (b"content-length", b"3")], b"ok\n")


ENDPOINTS: dict[str, Endpoint] = {"/healthz": healthz}
