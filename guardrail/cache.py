"""Results of checks, kept by a keyed digest of everything a check reads."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from typing import Any, Protocol, runtime_checkable

from guardrail.content import Image, Part


class Cache(Protocol):
    """Where results are kept between calls; must be safe to use from several threads."""

    def get(self, key: bytes) -> Any | None:
        """What is kept under the key, or None. Values are never None."""

    def put(self, key: bytes, value: Any) -> None:
        """Keep a value, which may be dropped at any time."""


@runtime_checkable
class SharedCache(Cache, Protocol):
    """A cache that other processes fill too. `get` and `put` concern this one alone."""

    def share(self, key: bytes, value: Any) -> None:
        """Keep a value for all. Never waits, never raises."""

    def fetch(self, key: bytes) -> Any | None:
        """What another process has kept under the key, or None; may take a moment, so that only
        worker threads call it. Never raises."""


class MemoryCache:
    """The last `size` results, in memory, the least recently used dropped first."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._kept: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Any | None:
        """See Cache."""
        with self._lock:
            value = self._kept.get(key)
            if value is not None:
                self._kept.move_to_end(key)
            return value

    def put(self, key: bytes, value: Any) -> None:
        """See Cache."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


class Digester:
    """Keyed digests (BLAKE2b, RFC 7693): a short text cannot be guessed from its digest.

    Pictures go through BLAKE3 first, which is five times as fast. The key, of at most 64 bytes,
    is drawn anew in each process unless one is given, which a shared cache needs.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._picture_key = hashlib.blake2b(
            key=self._key, digest_size=32, person=b"picture"
        ).digest()

    def of(self, *pieces: bytes | str) -> bytes:
        """A digest of 20 bytes over the pieces, each with its length before it."""
        framed: list[bytes] = []
        for piece in pieces:
            data = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece
            framed += (len(data).to_bytes(8, "little"), data)
        return hashlib.blake2b(b"".join(framed), digest_size=20, key=self._key).digest()

    def of_part(self, part: Part) -> bytes:
        """A part's digest, with its role, source and ending but without its name."""
        if isinstance(part, Image):
            return self.of("image", part.role, part.source, part.digest(self._picture_key))
        return self.of("text", part.role, part.source, part.ended, part.text)
