"""Where what clients send is received."""

from __future__ import annotations

from collections.abc import Mapping

ROOM = 256 << 10  # bytes of a body that are received at once
SHORT = 64 << 10  # of anything else, and what is left of a body that is not worth more


class Received:
    """The buffer of all connections of an event loop: what is received is taken out of it before
    anything else is. As it is small and always the same, it stays in the processor's cache."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(ROOM))
        self._short = self._buffer[:SHORT]

    def room(self, left: int) -> memoryview:
        """Room for the rest of a body, or, where none is under way (0), for what comes next."""
        return self._buffer[:left] if left else self._short

    def taken(self, count: int) -> memoryview:
        """So many bytes that were received."""
        return self._buffer[:count]


def length_of(headers: Mapping[bytes, bytes]) -> int:
    """The length of a body whose head was found to be sound; 0 where that does not say it."""
    length = headers.get(b"content-length", b"")
    return int(length) if length.isdigit() and b"transfer-encoding" not in headers else 0
