"""Large bodies on their way out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from guardrail_integrations.proxy.interfaces import Buffer

SLICE = 256 * 1024  # bytes of a large body written before its progress is looked at
MOST = 64  # pieces that the kernel is given at once


def bare_socket(transport: Any) -> int:
    """The number of a transport's socket where bytes go out as they are written; -1 where they do
    not (TLS), or where the system cannot take several pieces."""
    connected = transport.get_extra_info("socket")
    if connected is None or transport.get_extra_info("sslcontext") or not hasattr(os, "writev"):
        return -1
    return int(connected.fileno())


def left_of(socket: int, pieces: Sequence[Buffer]) -> Sequence[Buffer]:
    """What is left of them when the kernel has taken what it can at once. One call of it wakes the
    reader on the other side a few times less than a call for each slice, which is most of the
    cost. An error is none here: the transport meets it again and tells of it."""
    try:
        sent = os.writev(socket, pieces[:MOST])
    except OSError:
        return pieces
    left: list[Buffer] = []
    for piece in pieces:
        if sent < len(piece):
            left.append(memoryview(piece)[sent:])
        sent = max(0, sent - len(piece))
    return left


def slices(pieces: Iterable[Buffer]) -> Iterator[Sequence[Buffer]]:
    """The same bytes, SLICE at a time."""
    together: list[Buffer] = []
    room = SLICE
    for piece in pieces:
        rest = memoryview(piece)
        while len(rest):
            part, rest = rest[:room], rest[room:]
            together.append(part)
            room -= len(part)
            if not room:
                yield together
                together, room = [], SLICE
    if together:
        yield together
