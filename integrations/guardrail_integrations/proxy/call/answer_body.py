"""The body of an answer: gathered where there is room for it, unpacked and read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail import ContentError
from guardrail_integrations.proxy.call.capacity import unpacked
from guardrail_integrations.proxy.formats.json_body import BadJson, read_json
from guardrail_integrations.proxy.http.compression import Unreadable
from guardrail_integrations.proxy.reading.extraction import Extraction
from guardrail_integrations.proxy.verdicts.refusals import unreadable_answer

if TYPE_CHECKING:
    from guardrail_integrations.proxy.call.capacity import Capacity
    from guardrail_integrations.proxy.http.exchange import Exchange
    from guardrail_integrations.proxy.interfaces import Response
    from guardrail_integrations.proxy.reading.surface import Surface


async def whole_answer(exchange: Exchange, capacity: Capacity, response: Response) -> bytes:
    """All of an answer. Raises Refused, and as Response.read does."""
    limit = capacity.settings.max_answer
    raw = response.whole()
    if raw is None:
        raw = await _gathered(exchange, capacity, response, limit)
    else:
        capacity.hold(exchange, len(raw))
    if len(raw) > limit:
        raise unreadable_answer("it is over the limit on its size")
    return raw


async def _gathered(
    exchange: Exchange, capacity: Capacity, response: Response, limit: int
) -> bytes:
    """All of an answer, or as much of it as is over the limit."""
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := await response.read()):
        capacity.hold(exchange, len(piece))
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def read_answer(
    exchange: Exchange,
    capacity: Capacity,
    raw: bytes,
    encoding: bytes,
    surface: Surface,
    asked: Extraction,
) -> Extraction:
    """What rules look at in an answer to what was asked. Raises Refused."""
    try:
        body = read_json(unpacked(exchange, capacity, raw, encoding, capacity.settings.max_answer))
        found = Extraction(body, asked.limits, asked.seen)
        if isinstance(body.root, dict):
            found.identify(body.root)
            surface.answer(body.root, found)
        else:
            found.rest(body.root, (), "assistant", "model")
    except (BadJson, Unreadable, ContentError) as error:
        raise unreadable_answer(str(error)) from None
    return found
