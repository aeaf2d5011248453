"""Pictures that came in base64, known again by it: no byte of one that was seen is decoded."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

from blake3 import blake3

from guardrail import Image, Limits
from guardrail.hosting import Role
from guardrail_integrations.proxy.interfaces import Buffer
from guardrail_integrations.proxy.media.data_urls import decoded

MOST = 10_000  # pictures that are known again
RECENT = 32 << 20  # bytes of base64 of those that are compared
MARK = slice(1_024, 1_056)  # of base64, by which one is found that may be the same
ALIKE = 4  # pictures with the same mark that are compared


@dataclass(slots=True)
class Seen:
    """What is kept of a picture: the size of its bytes and, under the key that asked last, its
    digest."""

    size: int
    digest: tuple[bytes, bytes] = (b"", b"")


class Base64Image(Image):
    """A picture in base64, decoded where a check asks for its bytes. One that was made from it
    with other bytes (dataclasses.replace) is a plain picture: it has no payload."""

    payload: Buffer = b""
    seen: Seen | None = None

    @classmethod
    def of(
        cls, payload: Buffer, seen: Seen, name: str, role: Role, source: str, limits: Limits
    ) -> Base64Image:
        """A picture whose payload is known to be sound."""
        image = object.__new__(cls)
        image.__dict__.update(
            payload=payload, seen=seen, name=name, role=role, source=source, limits=limits
        )
        return image

    @cached_property
    def data(self) -> bytes:
        """The encoded picture."""
        return decoded(self.payload, self.name)

    @property
    def size(self) -> int:
        """See Image."""
        return len(self.data) if self.seen is None else self.seen.size

    def digest(self, key: bytes) -> bytes:
        """See Image."""
        if self.seen is None:
            return super().digest(key)
        if self.seen.digest[0] != key:
            self.seen.digest = key, super().digest(key)
        return self.seen.digest[1]


class Pictures:
    """Remembers the last pictures by a keyed digest of their base64 (BLAKE3), which nobody can
    forge; the very last ones whole, as comparing takes a third of hashing."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()
        self._recent: OrderedDict[bytes, list[tuple[bytes, Seen]]] = OrderedDict()
        self._held = 0  # bytes of the recent ones

    def image(
        self, payload: Buffer, name: str, role: Role, source: str, limits: Limits
    ) -> Base64Image:
        """The picture of a payload. Raises ContentError for one that is damaged."""
        for recent, of_it in self._recent.get(bytes(payload[MARK]), ()):
            if recent is payload or (len(recent) == len(payload) and recent.startswith(payload)):
                return Base64Image.of(payload, of_it, name, role, source, limits)
        key = blake3(payload, key=self._key).digest()
        seen = self._seen.get(key)
        if seen is not None:
            self._seen.move_to_end(key)
            self._hold(payload, seen)
            return Base64Image.of(payload, seen, name, role, source, limits)
        data = decoded(payload, name)
        seen = self._seen[key] = Seen(len(data))
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        image = Base64Image.of(payload, seen, name, role, source, limits)
        image.__dict__["data"] = data
        return image

    def known(self, body: bytes, start: int) -> bytes | None:
        """The recent picture whose base64 begins at a place of a body and ends at a quote."""
        mark = body[start + MARK.start : start + MARK.stop]
        for recent, _ in self._recent.get(mark, ()):
            end = start + len(recent)
            if body[end : end + 1] == b'"' and body.startswith(recent, start):
                self._recent.move_to_end(mark)
                return recent
        return None

    def like(self, text: bytearray, start: int) -> bytes | None:
        """A recent picture whose base64 begins at a place of a text, as far as this has come."""
        mark = bytes(text[start + MARK.start : start + MARK.stop])
        for recent, _ in self._recent.get(mark, ()):
            if text.startswith(memoryview(recent)[: len(text) - start], start):
                self._recent.move_to_end(mark)
                return recent
        return None

    def _hold(self, payload: Buffer, seen: Seen) -> None:
        """Keep a picture that has come twice, as it stood in a body."""
        mark = bytes(payload[MARK])
        alike = self._recent.get(mark, [])
        size = len(payload)
        if not isinstance(payload, memoryview) or len(alike) >= ALIKE or size > RECENT // 4:
            return
        self._recent[mark] = [*alike, (bytes(payload), seen)]
        self._recent.move_to_end(mark)
        self._held += size
        while self._held > RECENT:
            _, oldest = self._recent.popitem(last=False)
            self._held -= sum(len(recent) for recent, _ in oldest)
