"""Bodies that are put together as they come, without a second copy of the pictures in memory."""

from __future__ import annotations

from guardrail_integrations.proxy.interfaces import Body, Buffer
from guardrail_integrations.proxy.json_body import VALUE
from guardrail_integrations.proxy.pictures import MARK, Pictures

_MOST_SPACE = 64  # bytes between a key's name and its value
_QUOTE = b'"'


class Gathering:
    """Takes a body as it comes. Where base64 behind the `marker` begins as that of a recent
    picture does, what comes is compared with it and not kept."""

    def __init__(self, marker: bytes, pictures: Pictures) -> None:
        self._marker, self._pictures = marker, pictures
        self._pieces: list[bytes] = []
        self._known: list[int] = []
        self._text = bytearray()  # what may hold the marker
        self._from = 0  # where in it that is looked for
        self._picture: bytes | None = None
        self._alike = 0  # bytes that have come of the picture
        self._unknown = False  # whether the base64 of another one is coming

    def add(self, piece: Buffer) -> None:
        """The next piece of the body, in a buffer that is used again."""
        rest = memoryview(piece)
        while len(rest):
            if self._picture is not None:
                rest = self._compared(rest, self._picture)
            elif self._unknown:
                rest = self._behind_unknown(bytes(rest))
            else:
                self._text += rest
                rest = memoryview(self._opened())

    def body(self) -> bytes | Body:
        """All that has come."""
        self._close(0 if self._picture is None else self._alike)
        pieces = self._pieces
        if self._known:
            return Body(pieces, frozenset(self._known))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _compared(self, piece: memoryview, picture: bytes) -> memoryview:
        """What comes behind the picture; all of it where this is another one after all."""
        rest = piece
        part = piece[: len(picture) - self._alike]
        if picture.startswith(part, self._alike):
            rest = piece[len(part) :]
            if not len(rest):
                self._alike += len(part)
                return rest
            if rest[:1] == _QUOTE:
                self._close()
                self._known.append(len(self._pieces))
                self._pieces.append(picture)
                self._picture = None
                return rest
        self._close(self._alike)
        self._picture, self._unknown = None, True
        return piece

    def _behind_unknown(self, piece: bytes) -> memoryview:
        end = piece.find(_QUOTE)
        self._unknown = end < 0
        end = len(piece) if end < 0 else end
        self._keep(piece[:end])
        return memoryview(piece)[end:]

    def _opened(self) -> bytes:
        """What has come of the first base64 in the text, which is left without it."""
        text, marker = self._text, self._marker
        while (found := text.find(marker, self._from)) >= 0:
            start = found + len(marker)
            if marker.endswith(_QUOTE):
                opening = VALUE.match(text, start)
                if opening is None:
                    if len(text) - start < _MOST_SPACE:
                        break
                    self._from = start
                    continue
                start = opening.end()
            if len(text) < start + MARK.stop:
                break
            began = bytes(text[start:])
            del text[start:]
            self._picture = self._pictures.like(began)
            self._alike, self._unknown = 0, self._picture is None
            if self._unknown:
                self._close()
            return began
        done = max(self._from, len(text) - len(marker) + 1) if found < 0 else found
        self._keep(bytes(text[:done]))
        del text[:done]
        self._from = 0
        return b""

    def _close(self, alike: int = 0) -> None:
        """The text is over, and so much of a picture stands behind it."""
        self._keep(bytes(self._text))
        self._text.clear()
        if self._picture is not None:
            self._keep(self._picture[:alike])
        self._from = 0

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
