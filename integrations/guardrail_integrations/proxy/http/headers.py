"""Headers on their way through: what belongs to one connection only, and what goes on."""

from __future__ import annotations

from guardrail_integrations.proxy.interfaces import Headers

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"expect",
    )
)
_NEEDED = frozenset((b"host", b"content-length", b"content-type", b"content-encoding"))


def connection_only(connection: bytes) -> frozenset[bytes]:
    """The names of headers that stay behind, those that Connection names among them."""
    named = connection.lower()
    if not named or named in (b"keep-alive", b"close"):
        return HOP_BY_HOP
    more = {name.strip() for name in named.split(b",")}
    return (HOP_BY_HOP | more) - _NEEDED


def end_to_end(headers: Headers) -> Headers:
    """The headers of an answer that go on, in their order."""
    kept = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]
    if len(kept) == len(headers):
        return kept
    stays = connection_only(value_of(headers, b"connection"))
    return kept if stays is HOP_BY_HOP else without(kept, *stays)


def value_of(headers: Headers, name: bytes) -> bytes:
    """The last value under a name, or nothing."""
    found = b""
    for key, value in headers:
        if key.lower() == name:
            found = value
    return found


def index_of(headers: Headers) -> dict[bytes, bytes]:
    """The last value under each name, in lower case."""
    return {name.lower(): value for name, value in headers}


def without(headers: Headers, *names: bytes) -> Headers:
    """The headers but those of these names."""
    return [(name, value) for name, value in headers if name.lower() not in names]


def readable_encodings(accepted: bytes) -> bytes:
    """Of an Accept-Encoding, the encodings that we can read."""
    kept = [
        piece.strip()
        for piece in accepted.split(b",")
        if piece.split(b";")[0].strip().lower() in (b"gzip", b"deflate", b"identity", b"x-gzip")
    ]
    return b", ".join(kept) or b"identity"
