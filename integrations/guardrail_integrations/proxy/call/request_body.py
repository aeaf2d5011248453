"""The body of a request: received where there is room for it, unpacked and read."""

from __future__ import annotations

from functools import partial

from guardrail_integrations.proxy.call.capacity import Capacity, unpacked
from guardrail_integrations.proxy.call.gathering import Gathering
from guardrail_integrations.proxy.formats.json_body import BadJson, JsonBody, read_json
from guardrail_integrations.proxy.http.compression import Unreadable
from guardrail_integrations.proxy.http.exchange import BodyTooLarge, Exchange
from guardrail_integrations.proxy.interfaces import Body
from guardrail_integrations.proxy.media.pictures import Pictures
from guardrail_integrations.proxy.verdicts.proxy_rules import MALFORMED
from guardrail_integrations.proxy.verdicts.refusals import refused, sentence


async def whole_body(exchange: Exchange, capacity: Capacity) -> bytes:
    """All of a body. Raises Refused, and as Exchange.gather does."""
    return await exchange.body(capacity.room(), partial(capacity.holds, exchange))


async def gathered_body(
    exchange: Exchange, capacity: Capacity, marker: bytes, pictures: Pictures
) -> bytes | Body:
    """All of a body, without a copy of the known pictures behind its markers unless it came at
    once or compressed. Raises as `whole_body` does."""
    room = capacity.room()
    raw = exchange.whole()
    if raw is not None:
        if len(raw) > room:
            raise BodyTooLarge
        capacity.hold(exchange, len(raw))
        return raw
    holds = partial(capacity.holds, exchange)
    if b"content-encoding" in exchange.index:
        return await exchange.body(room, holds)
    gathering = Gathering(marker, pictures)
    await exchange.gather(room, gathering.add, holds)
    return gathering.body()


def plain_body(exchange: Exchange, capacity: Capacity, raw: bytes) -> bytes:
    """A body without its Content-Encoding. Raises Unreadable and Refused."""
    encoding = exchange.index.get(b"content-encoding", b"")
    return unpacked(exchange, capacity, raw, encoding, capacity.settings.max_body)


def read_object(
    exchange: Exchange,
    capacity: Capacity,
    raw: bytes | Body,
    marker: bytes,
    pictures: Pictures,
) -> tuple[JsonBody, bytes]:
    """The JSON object that a body is, and the body as it came where it has a Content-Encoding.
    Raises BadJson, and Refused for a body of another kind."""
    compressed = b""
    if exchange.index.get(b"content-encoding"):
        compressed = raw.whole() if isinstance(raw, Body) else raw
        try:
            raw = plain_body(exchange, capacity, compressed)
        except Unreadable as error:
            raise refused(415, "unsupported_encoding", sentence(error), rule=MALFORMED) from None
    kind = exchange.index.get(b"content-type", b"").lower().lstrip()
    if kind.startswith((b"multipart/", b"application/x-www-form-urlencoded")):
        message = "The body must be application/json."
        raise refused(415, "unsupported_media_type", message, rule=MALFORMED)
    body = read_json(raw, marker, pictures.known)
    if not isinstance(body.root, dict):
        raise BadJson("the body is not a JSON object")
    return body, compressed
