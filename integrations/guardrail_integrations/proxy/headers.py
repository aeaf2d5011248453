"""Headers on their way through: what belongs to one connection only, and what is ours."""

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
OURS = b"x-guardrail-"


def end_to_end(headers: Headers, index_connection: bytes = b"") -> Headers:
    """The headers that go on, in their order; those that Connection names stay behind."""
    named: frozenset[bytes] = HOP_BY_HOP
    if index_connection and index_connection.lower() not in (b"keep-alive", b"close"):
        named = named | {name.strip() for name in index_connection.lower().split(b",")}
        named = named - {b"host", b"content-length", b"content-type", b"content-encoding"}
    return [(name, value) for name, value in headers if name.lower() not in named]


def value_of(headers: Headers, name: bytes) -> bytes:
    """The last value under a name, or nothing."""
    found = b""
    for key, value in headers:
        if key.lower() == name:
            found = value
    return found


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
