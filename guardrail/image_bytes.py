"""What the bytes of a picture's file say, read without decoding it."""

from __future__ import annotations

import re

MAX_FILE_FRAMES = 10_000

_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF"
_OTHER_KINDS = (
    (b"%PDF", "a PDF"),
    (b"\x00\x00\x00\x14ftypqt", "a video"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"PK\x03\x04", "an archive"),
    (b"ID3", "audio"),
    (b"OggS", "audio or video"),
)
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # ISO 23008-12, brands
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def what_else(data: bytes) -> tuple[str, str]:
    """The code and the words for bytes that cannot be opened as a picture."""
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "unsupported", "an SVG drawing, which can hold scripts: send it as PNG"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "not_a_picture", "a web page or XML, not a picture"
    for magic, kind in _OTHER_KINDS:
        if data.startswith(magic):
            return "not_a_picture", f"{kind}, not a picture"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "damaged", "its header is damaged or cut off"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF:
        return "unsupported", "HEIC or HEIF, which is not read here: send it as JPEG"
    if data[4:8] == b"ftyp":
        return "unsupported", f"a video, or a picture in a format not read here ({_NAMES})"
    known = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
    if data.startswith(known):
        return "damaged", "its header is damaged or cut off"
    return "not_a_picture", f"no picture of a known format ({_NAMES})"


def end_of(data: bytes, kind: str) -> tuple[int, int | None]:
    """Where the picture's data ends (0 if the format does not say), and its frames if counted."""
    if kind == "GIF":
        return _end_of_gif(data)
    if kind in ("JPEG", "MPO"):
        return _end_of_jpeg(data), None
    if kind == "PNG":
        return _end_of_png(data), None
    if kind == "WEBP":
        return 8 + int.from_bytes(data[4:8], "little"), None
    if kind == "BMP":
        return int.from_bytes(data[2:6], "little"), None
    return 0, None


def _end_of_jpeg(data: bytes) -> int:
    at = 2
    while at + 4 <= len(data):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            return 0
        marker = data[found.start() + 1]
        if marker == 0xD9:
            return found.end()
        at = found.end()
        if marker != 0x01:
            at += int.from_bytes(data[at : at + 2], "big")
    return 0


def _end_of_png(data: bytes) -> int:
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at
    return 0


def _end_of_gif(data: bytes) -> tuple[int, int | None]:
    """GIF89a, appendix B: blocks up to the trailer, each a chain of sub-blocks."""
    frames, at = 0, 13
    if len(data) > 10 and data[10] & 0x80:
        at += 3 * 2 ** ((data[10] & 7) + 1)
    while at < len(data):
        block = data[at]
        if block == 0x3B:
            return at + 1, frames
        if block == 0x2C and at + 9 < len(data):
            frames += 1
            table = data[at + 9]
            at += 10 + (3 * 2 ** ((table & 7) + 1) if table & 0x80 else 0) + 1
        elif block == 0x21:
            at += 2
        else:
            break
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
        if frames > MAX_FILE_FRAMES:
            break
    return 0, frames or None


def without_texts(data: bytes) -> bytes:
    """A PNG without its texts and its colour profile; anything else as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    kept, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in _TEXTS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)
