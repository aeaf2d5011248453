"""Pictures and files as JSON carries them: base64, data URLs, and the media types of pictures."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pybase64

from guardrail import ContentError
from guardrail_integrations.proxy.interfaces import Buffer

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def data_url(data: bytes, kind: str) -> str:
    """Bytes of a media type as a data URL (RFC 2397)."""
    return f"data:{kind};base64,{encoded(data)}"


def read_data_url(value: str, name: str) -> tuple[bytes, str]:
    """The bytes and media type of a data URL. Raises ContentError."""
    kind, payload, in_base64 = split_data_url(value, name)
    return decoded(payload, name) if in_base64 else unquote_to_bytes(bytes(payload)), kind


def split_data_url(value: str, name: str) -> tuple[str, Buffer, bool]:
    """The media type of a data URL, what it holds, and whether in base64. Raises ContentError."""
    before, comma, after = value.partition(",")
    if not comma:
        raise ContentError(name, "bad_data_url", "a data URL without a comma")
    kind, in_base64 = read_prefix(before + comma)
    return kind, after.encode("utf-8", "surrogatepass"), in_base64


def read_prefix(before: str) -> tuple[str, bool]:
    """What a data URL says up to its comma: the media type, and whether base64 follows."""
    kind, *parameters = before[5:-1].split(";")
    in_base64 = bool(parameters) and parameters[-1].strip().lower() == "base64"
    return kind.strip().lower(), in_base64


def encoded(data: bytes) -> str:
    """Bytes as base64."""
    return pybase64.b64encode_as_string(data)


def decoded(payload: Buffer, name: str) -> bytes:
    """The bytes of base64 (RFC 4648, section 4, padded; white space is passed over), which every
    decoder reads alike. Raises ContentError for any other."""
    try:
        return _decode(payload)
    except ValueError:
        pass
    try:
        return _decode(bytes(payload).translate(None, b" \t\r\n"))
    except ValueError:
        raise ContentError(name, "bad_base64", "the base64 is damaged or cut off") from None


def _decode(payload: Buffer) -> bytes:
    return pybase64.b64decode(payload, validate=True)


def media_type(data: bytes) -> str:
    """The media type of a picture by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return "image/avif" if data[8:12] in (b"avif", b"avis") else "image/heic"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "image/png")
