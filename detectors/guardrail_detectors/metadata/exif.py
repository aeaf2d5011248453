"""EXIF: directories of tags in TIFF bytes (CIPA DC-008, TIFF 6.0)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from guardrail.detector import Ignored
from guardrail_detectors.metadata.blocks import Block, Kind

MAX_ENTRIES = 500  # tags of one directory
MAX_DIRECTORIES = 12
MAX_VALUE = 1 << 20  # bytes of one value
MAX_VALUES = 2 << 20  # bytes of the texts of one block, which may overlap

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_FURTHER = (0x8769, 0x8825, 0xA005, 0x014A)  # Exif, GPS, interoperability and sub-directories
_USER_COMMENT = 0x9286
_WINDOWS = range(0x9C9B, 0x9CA0)  # title, comment, author, keywords, subject, in UTF-16
_PACKETS: Mapping[int, Kind] = {0x02BC: "xmp", 0x83BB: "iptc"}  # in TIFF files
_THUMBNAIL_AT, _THUMBNAIL_LENGTH = 0x0201, 0x0202


@dataclass(frozen=True)
class Tag:
    """A tag whose value is a text."""

    number: int
    text: str


def read_exif(data: bytes) -> Iterator[Tag | Block | Ignored]:
    """The texts and thumbnails in TIFF bytes. Whatever is malformed is ignored aloud."""
    order: Literal["little", "big"]
    if data[:4] == b"II*\0":
        order = "little"
    elif data[:4] == b"MM\0*":
        order = "big"
    else:
        yield Ignored("metadata: EXIF without a TIFF header")
        return
    waiting, seen, left = [_number(data, 4, 4, order)], set[int](), MAX_VALUES
    while waiting:
        at = waiting.pop(0)
        if at in seen or at == 0:
            continue
        if at + 2 > len(data) or len(seen) == MAX_DIRECTORIES:
            yield Ignored("metadata: an EXIF directory that is not there")
            continue
        seen.add(at)
        for found in _directory(data, at, order, waiting):
            if isinstance(found, Tag):
                left -= len(found.text)
            elif isinstance(found, Block):
                left -= len(found.data)
            if left < 0:
                yield Ignored(f"metadata: EXIF texts of more than {MAX_VALUES} bytes")
                return
            yield found


def _directory(
    data: bytes, at: int, order: Literal["little", "big"], waiting: list[int]
) -> Iterator[Tag | Block | Ignored]:
    count = _number(data, at, 2, order)
    if count > MAX_ENTRIES or at + 2 + 12 * count > len(data):
        yield Ignored(f"metadata: an EXIF directory claims {count} tags")
        return
    small: dict[int, int] = {}
    for place in range(at + 2, at + 2 + 12 * count, 12):
        number, kind = _number(data, place, 2, order), _number(data, place + 2, 2, order)
        values = _number(data, place + 4, 4, order)
        length = values * _SIZES.get(kind, 0)
        start = place + 8 if length <= 4 else _number(data, place + 8, 4, order)
        if length > MAX_VALUE or start + length > len(data):
            yield Ignored(f"metadata: EXIF tag {number:#06x} claims {length} bytes")
            continue
        if number in _FURTHER:
            waiting += [_number(data, start + 4 * i, 4, order) for i in range(min(values, 4))]
        elif number in (_THUMBNAIL_AT, _THUMBNAIL_LENGTH):
            small[number] = _number(data, start, _SIZES.get(kind, 4), order)
        elif number in _PACKETS:
            yield Block(_PACKETS[number], data[start : start + length])
        elif kind == 2 or number == _USER_COMMENT or number in _WINDOWS:
            yield Tag(number, _text(number, data[start : start + length], order))
    waiting.append(_number(data, at + 2 + 12 * count, 4, order))
    if len(small) == 2:
        start, length = small[_THUMBNAIL_AT], small[_THUMBNAIL_LENGTH]
        if start + length > len(data):
            yield Ignored(f"metadata: an EXIF thumbnail claims {length} bytes")
        elif length:
            yield Block("thumbnail", data[start : start + length])


def _number(data: bytes, at: int, size: int, order: Literal["little", "big"]) -> int:
    return int.from_bytes(data[at : at + size], order)


def _text(number: int, value: bytes, order: str) -> str:
    if number in _WINDOWS:
        return value.decode("utf-16-le", "replace").strip("\0")
    if number == _USER_COMMENT:
        coding, value = value[:8].rstrip(b"\0 "), value[8:]
        if coding == b"UNICODE":
            return value.decode("utf-16-le" if order == "little" else "utf-16-be", "replace")
    try:
        return value.decode("utf-8").strip("\0")
    except UnicodeDecodeError:
        return value.decode("latin-1").strip("\0")
