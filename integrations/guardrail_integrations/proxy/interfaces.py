"""What the parts of the proxy hand to each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from guardrail import GuardrailError

Buffer = bytes | bytearray | memoryview
Headers = list[tuple[bytes, bytes]]  # as sent: order, case and repetitions are kept


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body in pieces. Those at the places `known` are base64 of pictures as they are
    kept in memory, and a quote follows each."""

    pieces: Sequence[bytes] = field(repr=False)
    known: frozenset[int]

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def whole(self) -> bytes:
        """The body in one piece."""
        return b"".join(self.pieces)


UpstreamFault = Literal[
    "unreachable",  # no connection: name not found, refused, TLS failed
    "timeout",  # connected, but too slow to take the request, to begin or to go on answering
    "closed",  # the connection ended before the answer did
    "garbage",  # what came is not HTTP, or over a limit on head or line length
    "busy",  # no connection of the pool was free in time
]


class UpstreamError(GuardrailError):
    """An upstream gave no answer, or only the beginning of one. Says nothing of its content."""

    def __init__(self, fault: UpstreamFault, message: str) -> None:
        self.fault = fault
        super().__init__(message)


class FetchError(GuardrailError):
    """An address that was not fetched: `code` is one of forbidden, unreachable, timeout,
    too_large, wrong_type, status, redirects. Says nothing of the address but its host."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(slots=True)
class Request:
    """A request for an upstream, complete: it is written as it stands.

    `target` is the path with its query. `headers` hold Host, and Content-Length or
    Transfer-Encoding: chunked where there is a body. `body` is all of it in pieces that are
    written one after the other, or an iterator that is read only as fast as the upstream takes
    it; of an iterator beside Transfer-Encoding each item becomes a chunk.
    """

    method: bytes
    target: bytes
    headers: Headers
    body: Sequence[Buffer] | AsyncIterator[bytes] = ()


Sink = Callable[[bytes], bool]  # takes a piece, and says whether it would take more at once


class Response(Protocol):
    """An answer whose head has come. Interim (1xx) answers are passed over."""

    status: int
    reason: bytes
    headers: Headers

    @property
    def ended(self) -> bool:
        """Whether all of the body has been received (it may still wait to be read)."""

    def whole(self) -> bytes | None:
        """All that has not been read yet, where all of the body has come; else None."""

    async def read(self) -> bytes:
        """The bytes that have come since the last call, with chunked framing taken off; waits
        for more when there are none, and gives b"" at the end. Raises UpstreamError.

        An answer that is not read holds the upstream back once a buffer is full.
        """

    async def pour(self, sink: Sink, ready: Callable[[], Awaitable[None]]) -> None:
        """Hand the bytes to `sink` as they come, until the end, and hold the upstream back while
        that says no: until `ready` returns. Raises UpstreamError."""

    def close(self) -> None:
        """Done with it: a complete answer's connection is kept, any other is closed at once,
        which tells the upstream to stop. Closing twice does nothing."""


class Upstream(Protocol):
    """One upstream: a pool of connections to one origin."""

    async def send(self, request: Request) -> Response:
        """Send a request and wait for the head of its answer. Raises UpstreamError.

        Cancelling this closes the connection. A request is sent again, on a fresh connection,
        only where a kept one turned out to be closed before any byte of an answer, and its body
        is not an iterator.
        """

    async def close(self) -> None:
        """Close the connections that are not in use; others follow as they fall free."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What stood at an address. `media_type` is lower case, without parameters."""

    data: bytes = field(repr=False)
    media_type: str


class Fetcher(Protocol):
    """Fetches what clients name by address, without being sent anywhere private."""

    async def fetch(self, url: str) -> Fetched:
        """Fetch an http or https address. Raises FetchError."""


@dataclass(slots=True)
class Access:
    """One request as it went, for the access log and metrics: no content, no query, no keys."""

    method: str
    path: str  # of a known endpoint; "other" for any other path, whose text is the client's
    status: int  # 0 where the client left before an answer began
    started_ns: int  # since the epoch
    ended_ns: int
    bytes_in: int = 0
    bytes_out: int = 0
    streamed: bool = False
    action: str = ""  # of a guarded call
    record: str = ""  # the id of its record
    code: str = ""  # of an error of our own: policy_violation, guardrail_unavailable, ...
    upstream_ns: int = 0  # from sending the request to the end of the answer
    route: str = ""
    tenant: str = ""


class Observer(Protocol):
    """Told of what the proxy does; must be quick and never raise."""

    def began(self) -> None:
        """A request has begun."""

    def ended(self, access: Access) -> None:
        """A request has ended, however it did; once for each `began`."""
