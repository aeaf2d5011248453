"""JSON bodies: read once, strictly, and changed only where they must be.

The long base64 payloads of pictures are taken out before parsing, found by their marker and cut
at the closing quote (two memchr), and stand in the parsed tree as short tokens. What is changed
is spliced into the original bytes (json_splice.py): everything else stays as the client wrote it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import jiter

from guardrail_integrations.proxy.formats.json_splice import Path, dumps, locate, rewritten
from guardrail_integrations.proxy.interfaces import Body, Buffer

LONG = 2_048  # bytes from which a payload is taken out

VALUE = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*"')  # from the end of a key to its string
_SECRET = f"\ue000{secrets.token_hex(12)}:"
_TOKEN = re.compile(re.escape(_SECRET) + r"(\d+);")


class BadJson(Exception):
    """A body that is not one JSON text in which every key of an object stands once."""


class Cut(NamedTuple):
    """A payload that was taken out: where the token ends that stands for it, where it stands in
    the body, and itself where it has come before."""

    token_end: int
    start: int
    end: int
    known: bytes | None


# The payload that begins at a place of a body and ends at a quote, if it has come before.
Known = Callable[[bytes, int], bytes | None]


@dataclass
class JsonBody:
    """A body, in pieces, and what it says. `root` has tokens where long payloads stand; see
    `text`."""

    pieces: Sequence[bytes] = field(repr=False)
    root: Any = field(repr=False)
    _short: bytes = field(default=b"", repr=False)  # the body with tokens in place of payloads
    _cuts: Sequence[Cut] = ()

    @cached_property
    def raw(self) -> bytes:
        """The body in one piece."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    def text(self, value: str) -> str:
        """A string of the tree as it was written. Raises BadJson for a payload that is no text."""
        if not self._cuts or _SECRET not in value:
            return value
        try:
            return _TOKEN.sub(lambda found: str(self._payload(int(found[1])), "utf-8"), value)
        except UnicodeDecodeError:
            raise BadJson("the body is not valid UTF-8") from None

    def payload(self, value: str) -> tuple[str, Buffer] | None:
        """For a string that ends in a payload that was taken out: what stands before, and it."""
        if not self._cuts or not value.endswith(";"):
            return None
        before, found, number = value[:-1].rpartition(_SECRET)
        return (before, self._payload(int(number))) if found else None

    def _payload(self, number: int) -> Buffer:
        cut = self._cuts[number]
        return cut.known or memoryview(self.raw)[cut.start : cut.end]

    def spliced(self, changes: Mapping[Path, Any]) -> list[Buffer]:
        """The body, in pieces, with the values at the paths exchanged.

        A string that changes keeps the bytes of those characters that stay.
        """
        spans = locate(self._short or self.raw, changes)
        view, at = memoryview(self.raw), 0
        pieces: list[Buffer] = []
        for path, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
            start, end = self._raw_place(first), self._raw_place(last)
            new = changes[path]
            pieces.append(view[at:start])
            if isinstance(new, str) and self.raw[start : start + 1] == b'"':
                pieces.append(rewritten(self.raw[start:end], new))
            else:
                pieces.append(dumps(new))
            at = end
        pieces.append(view[at:])
        return pieces

    def _raw_place(self, place: int) -> int:
        moved = 0
        for cut in self._cuts:
            if place < cut.token_end:
                break
            moved = cut.end - cut.token_end
        return place + moved


def read_json(
    raw: bytes | Body, marker: bytes = b";base64,", known: Known | None = None
) -> JsonBody:
    """Read a body; payloads longer than LONG behind `marker` are taken out. `known` gives the one
    that begins at a place of it, if it has come before. Raises BadJson."""
    cuts: list[Cut] = []
    if isinstance(raw, Body):
        around = _around_known(raw, marker, cuts)
        if around is None:
            return read_json(raw.whole(), marker, known)
        pieces, short = raw.pieces, around
    else:
        pieces, short = (raw,), raw
        if len(raw) > LONG:
            short = _without_payloads(raw, marker, cuts, known)
    try:
        root = jiter.from_json(
            short, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys"
        )
    except ValueError:
        root = _read(short)
    return JsonBody(pieces, root, short if cuts else b"", cuts)


def _read(body: bytes) -> Any:
    """What the quick reader leaves: halves of surrogate pairs, deep nesting, and to say what is
    wrong. What that reader takes, this one reads alike."""
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadJson("the body is not valid UTF-8") from None
    except RecursionError:
        raise BadJson("the body is nested too deeply") from None
    except ValueError:
        raise BadJson("the body is not valid JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadJson("an object of the body has the same key twice")
    return made


def _no_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _without_payloads(raw: bytes, marker: bytes, cuts: list[Cut], known: Known | None) -> bytes:
    pieces: list[bytes] = []
    kept = at = size = 0
    while (found := raw.find(marker, at)) >= 0:
        start = found + len(marker)
        if marker.endswith(b'"'):  # the key's name: the value follows behind a colon
            opening = VALUE.match(raw, start)
            if opening is None:
                at = start
                continue
            start = opening.end()
        payload = None if known is None else known(raw, start)
        end = raw.find(b'"', start) if payload is None else start + len(payload)
        if end < 0:
            break
        at = end
        if payload is None and not _is_payload(raw, start, end):
            continue
        token = f"{_SECRET}{len(cuts)};".encode()
        pieces += [raw[kept:start], token]
        size += start - kept + len(token)
        cuts.append(Cut(size, start, end, payload))
        kept = end
    if not cuts:
        return raw
    pieces.append(raw[kept:])
    return b"".join(pieces)


def _around_known(body: Body, marker: bytes, cuts: list[Cut]) -> bytes | None:
    """The same for a body whose known payloads are left out before. None where one of them is
    not where a payload stands."""
    texts: list[bytes] = []
    places: dict[int, bytes] = {}
    at = 0
    for number, piece in enumerate(body.pieces):
        if number in body.known:
            places[at] = piece
        else:
            texts.append(piece)
            at += len(piece)
    left, found = set(places), list[Cut]()

    def known(_: bytes, start: int) -> bytes | None:
        if start not in left:
            return None
        left.remove(start)
        return b""

    short = _without_payloads(b"".join(texts), marker, found, known)
    if left:
        return None
    moved = 0
    for cut in found:
        payload = None if cut.known is None else places[cut.start]
        more = 0 if payload is None else len(payload)
        cuts.append(Cut(cut.token_end, cut.start + moved, cut.end + moved + more, payload))
        moved += more
    return short


def _is_payload(raw: bytes, start: int, end: int) -> bool:
    if end - start < LONG or raw.find(b"\\", start, end) >= 0:
        return False
    return raw[start : start + 64].isascii()
