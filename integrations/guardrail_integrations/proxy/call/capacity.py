"""How much of the proxy is in use, and whether there is room for more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from guardrail_integrations.proxy.http.compression import decompressed
from guardrail_integrations.proxy.verdicts.refusals import NO_ROOM, Refused, refused

if TYPE_CHECKING:
    from guardrail_integrations.proxy.http.exchange import Exchange
    from guardrail_integrations.proxy.settings import Settings


class Capacity:
    """Counts requests under way, calls with pictures among them, and the bytes that are held of
    all bodies, each against its limit in the settings.

    What a request holds, as it comes and unpacks and of its answer, is counted in `Exchange.held`
    as well, and counts until it is let go or the request leaves.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.under_way = self.with_pictures = self.buffered = 0
        self.draining = False  # nothing more is admitted

    def enter(self) -> None:
        """A request is under way, whether it will be admitted or not."""
        self.under_way += 1

    def leave(self, exchange: Exchange) -> None:
        """It is over, and holds nothing more."""
        self.under_way -= 1
        self.let_go(exchange, 0)

    def admit(self) -> None:
        """Raises Refused where there is no room for a further call."""
        if self.draining or self.under_way > self.settings.concurrent:
            raise refused(503, "overloaded", "Too many requests are under way.")

    @contextmanager
    def picture_call(self) -> Iterator[None]:
        """One of the places of calls with pictures or pages. Raises Refused."""
        if self.with_pictures >= self.settings.picture_calls:
            raise refused(503, "overloaded", "Too many calls with pictures are under way.")
        self.with_pictures += 1
        try:
            yield
        finally:
            self.with_pictures -= 1

    def room(self) -> int:
        """How large a body may be now, in bytes. Raises Refused."""
        if self.settings.buffered - self.buffered < self.settings.max_body:
            raise Refused(NO_ROOM)
        return self.settings.max_body

    def holds(self, exchange: Exchange, count: int) -> bool:
        """Hold so many bytes more, where there is room for them."""
        if self.buffered + count > self.settings.buffered:
            return False
        self.buffered += count
        exchange.held += count
        return True

    def hold(self, exchange: Exchange, count: int) -> None:
        """Hold so many bytes more. Raises Refused."""
        if not self.holds(exchange, count):
            raise Refused(NO_ROOM)

    def let_go(self, exchange: Exchange, kept: int) -> None:
        """Of what a request holds only so many bytes are kept."""
        self.buffered -= exchange.held - kept
        exchange.held = kept


def unpacked(
    exchange: Exchange, capacity: Capacity, raw: bytes, encoding: bytes, limit: int
) -> bytes:
    """A body of an exchange without its encodings, held beside what came. Raises Unreadable and
    Refused."""
    if not encoding:
        return raw
    plain = decompressed(raw, encoding, limit)
    if plain is not raw:
        capacity.hold(exchange, len(plain))
    return plain
