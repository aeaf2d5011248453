"""The blocks of a picture file that hold metadata, whatever the format of the file.

Every length is checked against the bytes that are there. Sources: PNG (W3C, third edition), JPEG
(ITU-T T.81), GIF89a, the WebP container (RFC 9649), TIFF 6.0.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from guardrail.detector import Ignored

Kind = Literal["exif", "xmp", "iptc", "text", "thumbnail"]

MAX_BLOCKS = 2_000
SENTENCE = 3  # spaces; the keyword of a chunk is a word or two
MAX_EXIF = 16  # blocks of it, each of which may point to the same bytes again and again
MAX_INFLATED = 1 << 20  # bytes of one compressed text
MAX_INFLATED_IN_ALL = 4 << 20

_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_EXIF, _PHOTOSHOP = b"Exif\0\0", b"Photoshop 3.0\0"


@dataclass(frozen=True)
class Block:
    """A block of a kind: EXIF as TIFF bytes, an XMP packet, IPTC records, a text, a JPEG."""

    kind: Kind
    data: bytes


def blocks(data: bytes) -> Iterator[Block | Ignored]:
    """All metadata blocks in the order of the file, at most `MAX_BLOCKS`, `MAX_EXIF` of EXIF."""
    exif = 0
    for count, block in enumerate(_blocks(data)):
        if count == MAX_BLOCKS:
            yield Ignored(f"metadata: more than {MAX_BLOCKS} blocks")
            return
        exif += isinstance(block, Block) and block.kind == "exif"
        if exif > MAX_EXIF:
            yield Ignored(f"metadata: more than {MAX_EXIF} blocks of EXIF")
            return
        yield block


def _blocks(data: bytes) -> Iterator[Block | Ignored]:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        yield from _png(data)
    elif data.startswith(b"\xff\xd8"):
        yield from _jpeg(data)
    elif data.startswith(b"GIF8"):
        yield from _gif(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        yield from _webp(data)
    elif data.startswith((b"II*\0", b"MM\0*")):
        yield Block("exif", data)
    elif data[4:8] == b"ftyp":
        yield from _avif(data)


def _png(data: bytes) -> Iterator[Block | Ignored]:
    at, left = 8, MAX_INFLATED_IN_ALL
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if length > len(data) - at - 8:
            there = len(data) - at - 8
            yield Ignored(f"metadata: a PNG chunk claims {length} bytes, {there} are there")
            return
        body = data[at + 8 : at + 8 + length] if kind in _PNG_TEXTS else b""
        at += 12 + length
        if kind == b"eXIf":
            yield Block("exif", body.removeprefix(_EXIF))
        elif body:
            packed, keyword, text = _png_text(kind, body)
            if packed:
                inflated = _inflated(text, min(left, MAX_INFLATED))
                if isinstance(inflated, Ignored):
                    yield inflated
                    continue
                text = inflated
                left -= len(text)
            yield from _keyed(keyword, text)


_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")


def _png_text(kind: bytes, body: bytes) -> tuple[bool, bytes, bytes]:
    """Whether the text is compressed, its keyword, and the text."""
    keyword, _, rest = body.partition(b"\0")
    if kind == b"iTXt":
        return rest[:1] == b"\1", keyword, rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return kind == b"zTXt", keyword, rest[1:] if kind == b"zTXt" else rest


def _keyed(keyword: bytes, text: bytes) -> Iterator[Block | Ignored]:
    if keyword.count(b" ") >= SENTENCE:
        yield Block("text", keyword)
    if keyword == b"XML:com.adobe.xmp":
        yield Block("xmp", text)
    elif keyword.startswith(b"Raw profile type "):
        yield from _raw_profile(text)
    else:
        yield Block("text", text)


def _inflated(data: bytes, most: int) -> bytes | Ignored:
    if most <= 0:
        return Ignored(f"metadata: compressed PNG texts of more than {MAX_INFLATED_IN_ALL} bytes")
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, most)
    except zlib.error:
        return Ignored("metadata: a compressed PNG text is damaged")
    if stream.unconsumed_tail:
        return Ignored(f"metadata: a compressed PNG text of more than {most} bytes")
    return text


def _raw_profile(text: bytes) -> Iterator[Block | Ignored]:
    """What ImageMagick writes: a name, a length, and the block in hexadecimal."""
    name, _, digits = text.strip().partition(b"\n")
    try:
        block = bytes.fromhex(b"".join(digits.split()[1:]).decode("ascii"))
    except ValueError:
        yield Ignored("metadata: a PNG profile is damaged")
        return
    if name.strip() in (b"exif", b"app1"):
        yield Block("exif", block.removeprefix(_EXIF))
    elif name.strip() == b"xmp":
        yield Block("xmp", block)
    elif name.strip() in (b"iptc", b"8bim"):
        yield from _photoshop(block)


_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg(data: bytes) -> Iterator[Block | Ignored]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(data):
            yield Ignored(f"metadata: a JPEG segment claims {length} bytes that are not there")
            return
        body = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDA:  # what stands after the pixels, or between the scans
            found = _MARKER.search(data, at)
            at = found.start() if found else len(data)
        elif marker == 0xFE:
            yield Block("text", body)
        elif marker == 0xE1 and body.startswith(_EXIF):
            yield Block("exif", body[len(_EXIF) :])
        elif marker == 0xE1 and body.startswith(_XMP):
            yield Block("xmp", body[len(_XMP) :])
        elif marker == 0xE1 and body.startswith(_MORE_XMP):
            yield Block("xmp", body[len(_MORE_XMP) + 40 :])
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            yield from _photoshop(body[len(_PHOTOSHOP) :])


def _photoshop(data: bytes) -> Iterator[Block | Ignored]:
    """Image resources: "8BIM", a number, a padded name, a length, and the padded block."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        at += 6 + (data[at + 6] + 2) // 2 * 2
        length = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if length > len(data) - at:
            yield Ignored(f"metadata: an image resource claims {length} bytes")
            return
        if number == 0x0404:
            yield Block("iptc", data[at : at + length])
        elif number == 0x040C and length > 28:
            yield Block("thumbnail", data[at + 28 : at + length])
        at += (length + 1) // 2 * 2


def _gif(data: bytes) -> Iterator[Block | Ignored]:
    """GIF89a, appendix B: comments, plain texts, and XMP as an application's block."""
    if len(data) < 13:
        return
    at = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while at + 1 < len(data):
        kind, label = data[at], data[at + 1]
        if kind == 0x21:
            at += 2
        elif kind == 0x2C and at + 10 <= len(data):
            table = data[at + 9]
            at += 11 + (3 * 2 ** ((table & 7) + 1) if table & 0x80 else 0)
        else:
            return
        start, pieces = at, []
        while at < len(data) and data[at]:
            pieces.append((at + 1, min(len(data), at + 1 + data[at])))
            at += data[at] + 1
        at += 1
        if kind != 0x21:
            continue
        if label == 0xFE:
            yield Block("text", b"".join(data[low:high] for low, high in pieces))
        elif label == 0x01:
            yield Block("text", b"".join(data[low:high] for low, high in pieces[1:]))
        elif label == 0xFF and data[start + 1 : start + 12] == b"XMP DataXMP":
            yield Block("xmp", data[start + 12 : max(start + 12, at - 258)])


def _webp(data: bytes) -> Iterator[Block | Ignored]:
    at = 12
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if length > len(data) - at - 8:
            yield Ignored(f"metadata: a WebP chunk claims {length} bytes")
            return
        body = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
        if kind == b"EXIF":
            yield Block("exif", body.removeprefix(_EXIF))
        elif kind == b"XMP ":
            yield Block("xmp", body)


def _avif(data: bytes) -> Iterator[Block | Ignored]:
    from PIL import Image as Pillow

    try:
        info = Pillow.open(BytesIO(data), formats=["AVIF"]).info
    except Exception:
        yield Ignored("metadata: the AVIF header cannot be read")
        return
    for key, kind in (("exif", "exif"), ("xmp", "xmp")):
        if isinstance(body := info.get(key), bytes):
            yield Block("exif" if kind == "exif" else "xmp", body.removeprefix(_EXIF))
