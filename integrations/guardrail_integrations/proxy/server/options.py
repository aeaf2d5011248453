"""What `guardrail serve` was told, and what follows from it."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from guardrail import Guard, JsonLinesSink, Sink
from guardrail.cache import Cache
from guardrail.hosting import Record, Told
from guardrail_integrations.proxy.http.tls import over_http, show
from guardrail_integrations.proxy.server.configuration import read_settings
from guardrail_integrations.proxy.settings import Settings, Target, address_fault

_LOCAL = ("localhost", "127.0.0.1", "::1")
_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - told, not bound to


@dataclass(frozen=True)
class Options:
    """What `guardrail serve` was told."""

    policy: str
    upstream: str | None = None
    config: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    certificate: Path | None = None
    key: Path | None = None
    records: Path | None = None
    access_log: bool = True
    warm: bool = True
    cache_url: str | None = field(default=None, repr=False)
    digest_key: str | None = field(default=None, repr=False)

    def guard(
        self, *listeners: Callable[[Told], None], lost: Callable[[], None] = lambda: None
    ) -> Guard:
        """A guard under the policy as its file stands now; `lost` is called for each record that
        could not be written. Raises PolicyError."""
        records = None if self.records is None else JsonLinesSink(self.records)
        return Guard(
            self.policy,
            sinks=() if records is None else [functools.partial(_write, records, lost)],
            listeners=listeners,
            cache=self.cache(),
            digest_key=self._key(),
        )

    def cache(self) -> Cache | None:
        """What all workers share, the same for every guard of a process. Raises ValueError."""
        key = self._key()
        if self.cache_url is None:
            return None
        if key is None:
            raise ValueError("a shared cache needs a key for its digests: GUARDRAIL_DIGEST_KEY")
        return _shared_cache(self.cache_url, key)

    def _key(self) -> bytes | None:
        key = None if self.digest_key is None else self.digest_key.encode()
        if key is not None and not 16 <= len(key) <= 64:
            raise ValueError("GUARDRAIL_DIGEST_KEY: 16 to 64 bytes are expected")
        return key

    def settings(self) -> Settings:
        """Raises ValueError for what cannot be used."""
        if (self.upstream is None) == (self.config is None):
            raise ValueError("give either --upstream or --config")
        if self.config is not None:
            settings = read_settings(self.config)
        else:
            fault = address_fault(str(self.upstream))
            if fault:
                raise ValueError(f"--upstream: {fault}")
            settings = Settings.of(str(self.upstream))
        for target in settings.targets.values():
            if self._listens_at(target):
                raise ValueError(f"{target.url}: the proxy itself would listen there (--port)")
        return settings

    def _listens_at(self, target: Target) -> bool:
        host, port = target.place
        local = host in _LOCAL and self.host in (*_LOCAL, *_ANY)
        return port == self.port and (local or host == self.host)

    def tls(self) -> ssl.SSLContext | None:
        """TLS towards clients, where a certificate is given. Raises ValueError."""
        if self.certificate is None:
            if self.key is not None:
                raise ValueError("--tls-key: it needs --tls-cert beside it")
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certify(context)
        return over_http(context)

    def certify(self, context: ssl.SSLContext) -> None:
        """Load the certificate that clients are shown, if any. Raises ValueError."""
        if self.certificate is not None:
            show(context, self.certificate, self.key)


def _write(records: Sink, lost: Callable[[], None], record: Record) -> None:
    try:
        records(record)
    except Exception:
        lost()
        raise


@functools.cache
def _shared_cache(url: str, key: bytes) -> Cache:
    from guardrail_integrations.redis import RedisCache

    return RedisCache(url, digest_key=key)
