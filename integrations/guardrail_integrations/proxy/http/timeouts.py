"""How long clients and upstreams may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """How long a client may take, in seconds.

    A head must be complete within `head`, counted from its first byte; between requests a
    connection is kept for `idle`. A body may pause for `pause`, and beyond that time in all it
    must come at `rate` bytes a second. An answer that a client does not take for `write` ends.
    """

    head: float = 15.0
    idle: float = 75.0
    pause: float = 30.0
    rate: float = 10_000.0
    write: float = 120.0


@dataclass(frozen=True)
class Timeouts:
    """Seconds before an exchange is given up; None never does.

    `connect` covers name, TCP and TLS; `pool` is the wait for a free connection; `send` the time
    in which an upstream takes nothing of the request; `head` the wait for the head of the answer;
    `idle` the wait between its pieces, in which a reader that holds it back does not count;
    `total` the whole exchange.
    """

    connect: float | None = 10.0
    pool: float | None = 10.0
    send: float | None = 60.0
    head: float | None = 600.0
    idle: float | None = 300.0
    total: float | None = None
