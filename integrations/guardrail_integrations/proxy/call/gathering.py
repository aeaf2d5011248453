"""Bodies that are put together as they come, without a second copy of the pictures in memory."""

from __future__ import annotations

from guardrail_integrations.proxy.formats.json_body import VALUE
from guardrail_integrations.proxy.interfaces import Body, Buffer
from guardrail_integrations.proxy.media.pictures import MARK, Pictures

_MOST_SPACE = 64  # bytes between a key's name and its value
_QUOTE = ord('"')


class Gathering:
    """Takes a body as it comes. Where base64 behind the `marker` begins as that of a recent
    picture does, what comes is compared with it and not kept."""

    def __init__(self, marker: bytes, pictures: Pictures) -> None:
        self._marker, self._pictures = marker, pictures
        self._pieces: list[bytes] = []
        self._known: list[int] = []
        self._text = bytearray()  # what may hold the marker
        self._picture: bytes | None = None
        self._alike = 0  # bytes that have come of the picture
        self._unknown = False  # whether the base64 of another one is coming

    def add(self, piece: Buffer) -> None:
        """The next piece of the body, in a buffer that is used again."""
        rest = memoryview(piece)
        if self._picture is not None:
            rest = self._compared(rest, self._picture)
        if self._unknown and len(rest):
            rest = self._behind_unknown(bytes(rest))
        if len(rest):
            self._text += rest
            self._look()

    def body(self) -> bytes | Body:
        """All that has come."""
        self._keep(self._text if self._picture is None else self._picture[: self._alike])
        pieces = self._pieces
        if self._known:
            return Body(pieces, frozenset(self._known))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _compared(self, piece: memoryview, picture: bytes) -> memoryview:
        """What comes behind the picture; all of it where this is another one after all."""
        part = piece[: len(picture) - self._alike]
        if picture.startswith(part, self._alike):
            rest = piece[len(part) :]
            if not len(rest):
                self._alike += len(part)
                return rest
            if rest[0] == _QUOTE:
                self._take(picture)
                return rest
        self._keep(picture[: self._alike])
        self._picture, self._unknown = None, True
        return piece

    def _behind_unknown(self, piece: bytes) -> memoryview:
        end = piece.find(_QUOTE)
        self._unknown = end < 0
        end = len(piece) if end < 0 else end
        self._keep(piece[:end])
        return memoryview(piece)[end:]

    def _look(self) -> None:
        """Find the pictures in the text. What is left of it is what may yet hold one; each byte
        is moved at most once, however many markers there are."""
        text, marker = self._text, self._marker
        at = 0
        while (found := text.find(marker, at)) >= 0:
            start = found + len(marker)
            if marker[-1] == _QUOTE:
                opening = VALUE.match(text, start)
                if opening is None:
                    if len(text) - start < _MOST_SPACE:
                        self._drop(found)
                        return
                    at = start
                    continue
                start = opening.end()
            if len(text) < start + MARK.stop:
                self._drop(found)
                return
            picture = self._pictures.like(text, start)
            end = -1 if picture is None else start + len(picture)
            if picture is not None and end >= len(text):
                self._alike = len(text) - start
                self._drop(start)
                text.clear()
                self._picture = picture
                return
            if picture is not None and text[end] == _QUOTE:
                self._drop(start)
                self._take(picture)
                del text[: len(picture)]
                at = 0
                continue
            at = text.find(_QUOTE, start)
            if at < 0:
                self._unknown = True
                self._drop(len(text))
                return
        self._drop(max(at, len(text) - len(marker) + 1))

    def _take(self, picture: bytes) -> None:
        self._known.append(len(self._pieces))
        self._pieces.append(picture)
        self._picture = None

    def _drop(self, size: int) -> None:
        """So much of the text holds no marker that has not been seen."""
        self._keep(self._text[:size])
        del self._text[:size]

    def _keep(self, piece: Buffer) -> None:
        if piece:
            self._pieces.append(bytes(piece))
