"""A request as it is handled, and what is to be told of it in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from guardrail import Context, Guard
    from guardrail.hosting import Ended
    from guardrail_integrations.proxy.call.guarded import GuardedCall
    from guardrail_integrations.proxy.http.exchange import Exchange
    from guardrail_integrations.proxy.reading.surface import Surface
    from guardrail_integrations.proxy.verdicts.refusals import Refusal


class RequestState:
    """What is known of a request, and why it ended as it did.

    `call` is there while a guarded call is under way; what is told of it behind that holds none of
    its bodies. `refusal` is set where it was refused, or passed on, without being looked at.
    """

    __slots__ = (
        "call",
        "code",
        "context",
        "ended_ns",
        "exchange",
        "guard",
        "over",
        "refusal",
        "route",
        "span",
        "started_ns",
        "streams",
        "surface",
    )

    def __init__(
        self, exchange: Exchange, surface: Surface | None, guard: Guard, started_ns: int
    ) -> None:
        self.exchange, self.surface, self.guard = exchange, surface, guard
        self.started_ns, self.ended_ns = started_ns, 0
        self.call: GuardedCall | None = None
        self.context: Context | None = None
        self.span: Span | None = None
        self.over: Ended | None = None
        self.refusal: Refusal | None = None
        self.code = self.route = ""
        self.streams = False
