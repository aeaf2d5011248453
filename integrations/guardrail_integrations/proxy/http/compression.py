"""Bodies under a Content-Encoding: read within limits, and passed on as they came."""

from __future__ import annotations

import zlib


class Unreadable(Exception):
    """A body that is compressed in a way that cannot be read, damaged, or over the limit."""


def decompressed(data: bytes, encoding: bytes, limit: int) -> bytes:
    """The body under its encodings (gzip and deflate). Raises Unreadable."""
    names = [name.strip().lower() for name in encoding.split(b",") if name.strip()]
    for name in reversed(names):
        if name in (b"gzip", b"x-gzip"):
            data = _inflated(data, 31, limit)
        elif name == b"deflate":
            try:
                data = _inflated(data, 15, limit)
            except Unreadable:
                data = _inflated(data, -15, limit)  # without a header, as some send it
        elif name != b"identity":
            raise Unreadable("a content encoding that cannot be read: use gzip or deflate")
    return data


def _inflated(data: bytes, window: int, limit: int) -> bytes:
    stream = zlib.decompressobj(window)
    try:
        out = stream.decompress(data, limit + 1)
    except zlib.error:
        raise Unreadable("the compressed body is damaged") from None
    if len(out) > limit:
        raise Unreadable(f"the compressed body holds more than {limit >> 20} MiB")
    if not stream.eof or stream.unused_data:
        raise Unreadable("the compressed body is cut off, or something follows it")
    return out
