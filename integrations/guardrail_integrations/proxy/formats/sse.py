"""Server-sent events (WHATWG HTML, section 9.2), read without losing a byte."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jiter

from guardrail_integrations.proxy.formats.json_body import BadJson, JsonBody, read_json
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.interfaces import UpstreamError

MAX_EVENT = 16 << 20  # bytes
TAIL = 16 << 10  # bytes at the end of a stream that is not read, kept for its last events
LAST = 4  # events
_NO_MARKER = b"\0"  # cannot stand in JSON: events are read with all that they say

_END = re.compile(rb"(?>\r\n|\n|\r)(?:\r\n|\n|\r)")
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_NO_CHOICES = re.compile(rb'"choices"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*\]')
_USAGE = re.compile(rb'(?<!\\)"usage"[ \t\r\n]*:(?=[ \t\r\n]*\{)')  # not in a string
_LINE = re.compile(rb"\r\n|\n|\r")
_MARKS = (b"", b"[DONE]")
_BOM = b"\xef\xbb\xbf"


class SseReader:
    """Cuts a stream into events, each with the blank line that ends it."""

    def __init__(self) -> None:
        self._rest = b""
        self._more: list[bytes] = []  # behind the rest, without the end of a line
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete now. Raises UpstreamError for one without an end."""
        if self._rest:
            if b"\n" not in data and b"\r" not in data:
                self._more.append(data)
                self._size += len(data)
                self._bound()
                return []
            data = b"".join((self._rest, *self._more, data))
            self._more.clear()
        events: list[bytes] = []
        at = 0
        if b"\r" not in data:
            while (end := data.find(b"\n\n", at)) >= 0:
                events.append(data[at : end + 2])
                at = end + 2
        else:
            for found in _END.finditer(data):
                if found.end() == len(data) and found[0].endswith(b"\r"):
                    break  # its line feed may still come
                events.append(data[at : found.end()])
                at = found.end()
        self._rest = data[at:] if at else data
        self._size = len(self._rest)
        self._bound()
        return events

    def without_usage(self, data: bytes) -> bytes:
        """What is complete now, but for the event that only tells the usage."""
        if not self._rest and data.endswith(b"\n\n") and _NO_CHOICES.search(data) is None:
            return data
        events = self.feed(data)
        return b"".join([event for event in events if not _tells_usage(event)])

    def _bound(self) -> None:
        if self._size > MAX_EVENT:
            raise UpstreamError("garbage", f"an event of more than {MAX_EVENT >> 20} MiB")

    def end(self) -> bytes:
        """What stands behind the last event."""
        rest = b"".join((self._rest, *self._more))
        self._rest, self._size = b"", 0
        self._more.clear()
        return rest


class Ends:
    """The first event of a stream that is not read and its last ones, which tell the usage and
    why the answer ended."""

    def __init__(self) -> None:
        self._first = b""
        self._line = 0  # bytes of the line that has not ended
        self._last: deque[bytes] = deque()
        self._size = 0

    def see(self, piece: bytes) -> None:
        """A piece of the stream has come. Raises UpstreamError for a line without an end."""
        end = piece.rfind(b"\n") + 1
        self._line = len(piece) - end if end else self._line + len(piece)
        if self._line > MAX_EVENT:
            raise UpstreamError("garbage", f"a line of more than {MAX_EVENT >> 20} MiB")
        if len(self._first) < 1_024:
            self._first += piece[:TAIL]
        self._last.append(piece)
        self._size += len(piece)
        while self._size - len(self._last[0]) >= TAIL:
            self._size -= len(self._last.popleft())

    @property
    def marked(self) -> bool:
        """Whether the mark of the end has come, behind which there is nothing to wait for."""
        return bool(self._last) and self._last[-1].rstrip().endswith(b"[DONE]")

    def close(self) -> bytes:
        """What ends an event that broke off."""
        end = b"".join(self._last)[-4:]
        return b"" if not end or end.endswith(_ENDS) else b"\n\n"

    def take(self) -> list[bytes]:
        """The first event and the last ones, once."""
        first = SseReader().feed(self._first)[:1]
        last = SseReader().feed(b"".join(self._last))[-LAST:]
        self._first, self._size = b"", 0
        self._last.clear()
        return first + last


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its bytes as they came, and its data where that is JSON.

    Comments and marks such as [DONE] have no body. `silent` events carry no data at all.
    """

    raw: bytes = field(repr=False)
    body: JsonBody | None = None
    start: int = 0  # where the data stands in raw
    end: int = 0
    silent: bool = False

    @property
    def data(self) -> Any:
        """What the data says, or None."""
        return None if self.body is None else self.body.root

    def rewritten(self, changes: Mapping[Path, Any]) -> bytes:
        """The event with the values at the paths exchanged, all other bytes kept."""
        if self.body is None or not changes:
            return self.raw
        data = b"".join(self.body.spliced(changes)).replace(b"\n", b"\ndata: ")
        return b"".join([self.raw[: self.start], data, self.raw[self.end :]])


def read_event(raw: bytes) -> Event:
    """Read an event. Raises UpstreamError for data that is neither JSON nor a mark."""
    if raw.startswith(b"data: {") and raw.endswith(b"}\n\n") and raw.find(b"\n") == len(raw) - 2:
        return Event(raw, _json(raw[6:-2]), 6, len(raw) - 2)
    lines: list[tuple[int, int]] = []  # the data of each data line
    at = len(_BOM) if raw.startswith(_BOM) else 0  # clients pass over one that begins the stream
    while at < len(raw):
        found = _LINE.search(raw, at)
        stop, after = (found.start(), found.end()) if found else (len(raw), len(raw))
        line = raw[at:stop]
        if line.startswith(b"data:") or line == b"data":
            start = at + 5 + (line[5:6] == b" ")
            lines.append((min(start, stop), stop))
        at = after
    if not lines:
        return Event(raw, silent=True)
    if len(lines) == 1:
        start, stop = lines[0]
        data = raw[start:stop]
        if data.strip() in _MARKS:
            return Event(raw)
        return Event(raw, _json(data), start, stop)
    # JSON on several lines is read as one; no string in it can hold the end of a line
    joined = b"\n".join(raw[start:stop] for start, stop in lines)
    first, last = lines[0][0], lines[-1][1]
    return Event(raw, _json(joined), first, last)


def is_usage(data: Any) -> bool:
    """Whether a chunk holds nothing of the answer but its usage, as `stream_options` asks for."""
    return isinstance(data, dict) and data.get("choices") == [] and bool(data.get("usage"))


def usage_behind_cut(raw: bytes) -> Any:
    """The usage in what is left of JSON whose beginning was not kept, such as the last event of
    Responses, which says all of the answer once more."""
    places = [found.end() for found in _USAGE.finditer(raw)]
    if not places:
        return None
    try:
        return jiter.from_json(raw[places[-1] :], partial_mode=True)
    except ValueError:
        return None


def _tells_usage(raw: bytes) -> bool:
    if _NO_CHOICES.search(raw) is None:
        return False
    try:
        return is_usage(read_event(raw).data)
    except UpstreamError:
        return False  # what it says is for the client to make out


def _json(data: bytes) -> JsonBody:
    try:
        body = read_json(data, _NO_MARKER)
    except BadJson as error:
        raise UpstreamError("garbage", f"an event whose data cannot be read: {error}") from None
    if isinstance(body.root, (str, list)):
        raise UpstreamError("garbage", "an event whose data is no object")
    return body
