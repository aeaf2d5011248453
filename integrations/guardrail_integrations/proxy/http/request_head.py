"""Heads of requests: which are refused that come in, and how one that goes out is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardrail_integrations.proxy.interfaces import Request

if TYPE_CHECKING:
    from guardrail_integrations.proxy.http.exchange import Exchange

MAX_HEAD = 64 << 10  # bytes of a request line and headers
MAX_HEADERS = 200

FAULTS = {
    400: b"This is not a valid HTTP/1.1 request.",
    408: b"The head of the request took too long.",
    431: b"The head of the request is too large.",
    501: b"This transfer encoding is not supported.",
    503: b"Too many connections are open.",
    505: b"Only HTTP/1.0 and HTTP/1.1 are spoken here.",
}

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_HEAD = re.compile(
    rb"%b [!-~\x80-\xff]+ HTTP/1\.1\r\n(?:%b: [^\r\n]*\r\n)*\r\n" % (TOKEN.pattern, TOKEN.pattern)
)


class BadHead(Exception):
    """The head of a request that is refused, with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status


def head_fault(exchange: Exchange) -> int:
    """The status for a head that llhttp lets pass and we do not, or 0."""
    if exchange.version not in ("1.1", "1.0"):
        return 505
    size = len(exchange.target)
    for name, value in exchange.headers:
        size += len(name) + len(value)
    if len(exchange.headers) > MAX_HEADERS or size > MAX_HEAD:
        return 431
    encoding = exchange.index.get(b"transfer-encoding")
    if encoding is not None:
        if exchange.version == "1.0":
            return 400
        if encoding.strip().lower() != b"chunked":
            return 501
        if exchange.names.count(b"transfer-encoding") > 1:
            return 400
    hosts = exchange.names.count(b"host")
    if hosts > 1 or (hosts == 0 and exchange.version == "1.1"):
        return 400
    return 0 if exchange.target.startswith(b"/") or exchange.target == b"*" else 400


def encode_head(request: Request) -> bytes:
    """The head as bytes. Raises ValueError for what could be read as more than one request."""
    lines = [request.method, b" ", request.target, b" HTTP/1.1\r\n"]
    for name, value in request.headers:
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    head = b"".join(lines)
    ends = len(request.headers) + 2
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
        raise ValueError("a header's value holds a line break")
    if _HEAD.fullmatch(head) is None:
        raise ValueError("a method, target or header's name holds characters that it must not")
    return head
