"""Results of checks shared between processes in Redis or Valkey, behind a tier in memory.

    guard = Guard("strict", cache=RedisCache("redis://cache:6379/0", digest_key=KEY),
                  digest_key=KEY)

A call never waits for the server on the event loop, and never longer than `timeout_s` in a
worker. Once the server does not answer it is left alone, while one thread tries whether it is
back; calls go on with what is in memory. Values are sealed with the digest key: who can write to
the server can neither read what was found in whose text, nor put findings there.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from guardrail import MissingExtra
from guardrail.cache import MemoryCache
from guardrail_integrations.values import decode, encode

if TYPE_CHECKING:
    import redis

FORM = b"1"  # of keys and values; changes whenever either does
SEAL = 16  # bytes
WAITING = 4_096  # writes kept until the server takes them
BATCH = 128
AGAIN_S = (0.25, 15.0)  # how soon a lost server is tried again, at first and at last

_log = logging.getLogger("guardrail")


@dataclass(frozen=True)
class Traffic:
    """What has gone between a process and its shared cache."""

    up: bool = False
    hits: int = 0
    misses: int = 0
    failures: int = 0  # answers that did not come in time, or at all
    refused: int = 0  # writes that the server did not take: it is full, or may not be written to
    spoilt: int = 0  # values whose seal or form was wrong
    dropped: int = 0  # writes given up because too many were waiting
    waiting: int = 0


class RedisCache:
    """A guardrail.cache.SharedCache in Redis or Valkey (redis://, rediss:// and valkey://).

    `digest_key` must be the same for all that share, and the guard's. `ttl_s` is how long the
    server keeps a value, in seconds; how much it keeps in all is its own setting (`maxmemory`
    with `allkeys-lru`). Values of more than `max_value` bytes stay in this process. `size` is
    how many values the tier in memory holds. `texts` also shares what was read in pictures, which
    is content. Raises MissingExtra without the client, ValueError for an address it cannot read.
    """

    def __init__(
        self,
        url: str,
        *,
        digest_key: bytes,
        ttl_s: int = 86_400,
        max_value: int = 256 * 1024,
        size: int = 10_000,
        timeout_s: float = 0.05,
        texts: bool = False,
    ) -> None:
        self._memory = MemoryCache(size)
        self._key = hashlib.blake2b(key=digest_key, digest_size=32, person=b"shared").digest()
        self._ttl_ms, self._max_value, self._texts = ttl_s * 1000, max_value, texts
        self._reader = _client(url, timeout_s)
        self._writer = _client(url, timeout_s * 20)
        self._traffic = Traffic()
        self._writes: OrderedDict[bytes, bytes] = OrderedDict()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._up = self._closed = False

    @property
    def traffic(self) -> Traffic:
        """What has gone to and fro so far."""
        with self._change:
            return replace(self._traffic, up=self._up, waiting=len(self._writes))

    def get(self, key: bytes) -> Any | None:
        """What this process holds."""
        self._start()
        return self._memory.get(key)

    def put(self, key: bytes, value: Any) -> None:
        """Keep a value in this process."""
        self._memory.put(key, value)

    def share(self, key: bytes, value: Any) -> None:
        """Keep a value, and leave it to be sent to the server."""
        self._memory.put(key, value)
        data = encode(value, texts=self._texts)
        if data is None or len(data) > self._max_value:
            return
        with self._change:
            self._writes[key] = data
            if len(self._writes) > WAITING:
                self._writes.popitem(last=False)
                self._count(dropped=1)
            self._change.notify()
        self._start()

    def fetch(self, key: bytes) -> Any | None:
        """What the server holds; see guardrail.cache.SharedCache."""
        if not self._up:
            return None
        from redis import RedisError

        try:
            sealed: bytes | None = self._reader.get(self._name(key))
        except (RedisError, OSError, ValueError) as error:
            self._lost(error)
            return None
        if sealed is None:
            self._count(misses=1)
            return None
        data = sealed[SEAL:]
        fits = hmac.compare_digest(sealed[:SEAL], self._seal(key, data))
        value = decode(data) if fits else None
        if value is None:
            self._count(spoilt=1)
            return None
        self._count(hits=1)
        self._memory.put(key, value)
        return value

    def wait(self, seconds: float) -> bool:
        """Wait until the server answers and has all that was left for it; whether it does."""
        self._start()
        until = time.monotonic() + seconds
        with self._change:
            while (not self._up or self._writes) and (left := until - time.monotonic()) > 0:
                self._change.wait(min(left, 0.05))
            return self._up and not self._writes

    def close(self, seconds: float = 1.0) -> None:
        """Give what is left to be sent so much time, then stop."""
        if self._up:
            self.wait(seconds)
        with self._change:
            self._closed = True
            self._change.notify_all()
        if self._thread is not None:  # it may be reading from what is closed next
            self._thread.join(seconds)
        self._reader.close()
        self._writer.close()

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            with self._change:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._serve, daemon=True, name="guardrail-cache"
                    )
                    self._thread.start()

    def _serve(self) -> None:
        """Send what is left to be sent; while the server is lost, see whether it is back."""
        again, longest = AGAIN_S
        while not self._closed:
            if self._up:
                again = AGAIN_S[0]
                self._send()
            elif not self._ping():
                with self._change:
                    self._change.wait_for(lambda: self._closed, again)
                again = min(again * 2, longest)

    def _ping(self) -> bool:
        from redis import RedisError

        try:
            self._writer.ping()
        except (RedisError, OSError, ValueError):
            return False
        with self._change:
            self._up = True
            self._change.notify_all()
        _log.info("the shared cache answers")
        return True

    def _send(self) -> None:
        from redis import RedisError, ResponseError

        with self._change:
            self._change.wait_for(lambda: self._writes or self._closed or not self._up, 1.0)
            batch = dict(list(self._writes.items())[:BATCH])
        if not batch or not self._up:
            return
        try:
            with self._writer.pipeline(transaction=False) as pipeline:
                for key, data in batch.items():
                    pipeline.set(self._name(key), self._seal(key, data) + data, px=self._ttl_ms)
                taken = pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, ValueError) as error:
            self._lost(error)
            return
        with self._change:
            for key, data in batch.items():
                if self._writes.get(key) is data:
                    del self._writes[key]
            self._change.notify_all()
        self._count(refused=sum(isinstance(answer, ResponseError) for answer in taken))

    def _lost(self, error: Exception) -> None:
        with self._change:
            was, self._up = self._up, False
            self._change.notify_all()
        self._count(failures=1)
        if was:
            _log.warning(
                "the shared cache is lost (%s): checks go on without it", type(error).__name__
            )

    def _count(self, **more: int) -> None:
        with self._change:
            traffic = self._traffic
            self._traffic = replace(
                traffic, **{name: getattr(traffic, name) + count for name, count in more.items()}
            )

    def _name(self, key: bytes) -> bytes:
        return b"guardrail:" + FORM + b":" + key

    def _seal(self, key: bytes, data: bytes) -> bytes:
        sealing = hashlib.blake2b(key=self._key, digest_size=SEAL)
        sealing.update(len(key).to_bytes(4, "little") + key)
        sealing.update(data)
        return sealing.digest()


def _client(url: str, timeout_s: float) -> redis.Redis:
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise MissingExtra("redis", "redis") from error

    scheme, found, rest = url.partition("://")
    plain = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
    if not found or plain not in ("redis", "rediss", "unix"):
        raise ValueError("a shared cache is at redis://, rediss:// or unix://")
    return Redis.from_url(
        f"{plain}://{rest}",
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
