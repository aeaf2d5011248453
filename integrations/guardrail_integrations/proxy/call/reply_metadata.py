"""What an answer tells of itself, where no rule looks at its texts: read when it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from guardrail import Content, ContentError, Limits, Usage
from guardrail.hosting import Reply, Role
from guardrail_integrations.proxy.formats.json_body import BadJson, JsonBody, read_json
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.formats.sse import TAIL, usage_behind_cut
from guardrail_integrations.proxy.http.compression import Unreadable, decompressed
from guardrail_integrations.proxy.media.pictures import Pictures
from guardrail_integrations.proxy.reading.extraction import Extraction
from guardrail_integrations.proxy.reading.surface import Surface, usage_from

LATER = 16 << 10  # bytes that may be kept until they are read behind the call

_LIMITS, _NO_PICTURES, _NO_CONTENT = Limits(), Pictures(), Content()


class LateReply(Reply):
    """An answer whose usage, and what else it tells, is read where that is asked for: behind the
    call. It has no parts."""

    _read: Callable[[], Reply]

    @classmethod
    def of(cls, read: Callable[[], Reply], size: int) -> Reply:
        """An answer that `read` reads, which keeps so many bytes until then."""
        if size > LATER:
            return read()
        reply = object.__new__(cls)
        reply.__dict__.update(content=_NO_CONTENT, _read=read)
        return reply

    @property
    def _told(self) -> Reply:
        told: Reply | None = self.__dict__.get("told")
        if told is None:
            told = self.__dict__["told"] = self._read()
            del self.__dict__["_read"]
        return told

    @property
    def usage(self) -> Usage:
        """See Reply."""
        return self._told.usage

    @property
    def finish_reason(self) -> str | None:
        """See Reply."""
        return self._told.finish_reason

    @property
    def model(self) -> str | None:
        """See Reply."""
        return self._told.model

    @property
    def response_id(self) -> str | None:
        """See Reply."""
        return self._told.response_id


class Passing:
    """An answer of unknown or great length that no rule reads: it is passed on as it comes, and
    what it tells is read behind it. Of a long one only the end is kept, which tells the usage."""

    def __init__(self, encoding: bytes, surface: Surface, limit: int) -> None:
        self._about = encoding, surface, limit
        self._pieces: deque[bytes] = deque()
        self._size = self._held = 0
        self.reply = LateReply.of(self._read, 0)

    def see(self, piece: bytes) -> None:
        """A piece of it has come."""
        self._size += len(piece)
        self._held += len(piece)
        self._pieces.append(piece)
        while self._size > LATER and self._held - len(self._pieces[0]) >= TAIL:
            self._held -= len(self._pieces.popleft())

    def end(self) -> None:
        """All of it has come. What is too long to be kept is read now."""
        if self._size > LATER:
            _ = self.reply.usage

    def _read(self) -> Reply:
        raw = b"".join(self._pieces)
        self._pieces.clear()
        if self._size > LATER:
            return Reply(_NO_CONTENT, usage_from(usage_behind_cut(raw[-TAIL:])))
        return told_by(raw, *self._about)


def told_by(raw: bytes, encoding: bytes, surface: Surface, limit: int) -> Reply:
    """What the JSON of an answer tells, which is of at most `limit` bytes once the encoding is
    taken off; nothing where it cannot be read."""
    try:
        told = Told(read_json(decompressed(raw, encoding, limit) if encoding else raw))
        root = told.body.root
        if not isinstance(root, dict):
            return Reply()
        told.identify(root)
        surface.answer(root, told)
    except (BadJson, Unreadable, ContentError):
        return Reply()
    return told.reply(_NO_CONTENT)


class Told(Extraction):
    """Keeps only what an answer tells of itself."""

    def __init__(self, body: JsonBody) -> None:
        super().__init__(body, _LIMITS, _NO_PICTURES)

    def text(self, value: object, path: Path, role: Role = "user", source: str = "typed") -> None:
        """See Extraction."""

    def rest(self, value: object, path: Path, role: Role = "user", source: str = "typed") -> None:
        """See Extraction."""

    def picture_url(
        self, value: object, path: Path, role: Role = "user", source: str = "typed"
    ) -> None:
        """See Extraction."""

    def picture_base64(
        self, value: str, path: Path, type_path: Path | None, role: Role, source: str
    ) -> None:
        """See Extraction."""
