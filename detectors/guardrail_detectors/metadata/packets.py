"""Texts in XMP packets and IPTC records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from guardrail.detector import Ignored

MAX_PACKET = 4 << 20  # bytes

# Text between tags and values of attributes. No XML parser: nothing here may expand or fetch.
_INSTRUCTION = re.compile(r"<\?[^<>]*+(?<=\?)>")
_VALUE = re.compile(r">([^<>]+)<|\s([\w:]+)=\"([^\"<>]*)\"|\s([\w:]+)='([^'<>]*)'")


def xmp_texts(packet: bytes) -> Iterator[str | Ignored]:
    """The texts of an XMP packet (ISO 16684-1), without names and addresses of name spaces."""
    if len(packet) > MAX_PACKET:
        yield Ignored(f"metadata: an XMP packet of {len(packet)} bytes")
        return
    coding = "utf-16" if packet[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    for match in _VALUE.finditer(_INSTRUCTION.sub("", packet.decode(coding, "replace"))):
        inner, name, value, other, other_value = match.groups()
        if (name or other or "").startswith(("xmlns", "rdf:about", "rdf:resource")):
            continue
        text = unescape(inner or value or other_value or "").strip()
        if text:
            yield text


def iptc_texts(data: bytes) -> Iterator[str | Ignored]:
    """The texts of IPTC records (IIM 4.2): 0x1C, record, number, length, value."""
    at = 0
    while at + 5 <= len(data) and data[at] == 0x1C:
        record, length = data[at + 1], int.from_bytes(data[at + 3 : at + 5], "big")
        if length & 0x8000 or at + 5 + length > len(data):
            yield Ignored(f"metadata: an IPTC value claims {length} bytes")
            return
        value = data[at + 5 : at + 5 + length]
        at += 5 + length
        if record == 2:
            yield value.decode("utf-8", "replace")
