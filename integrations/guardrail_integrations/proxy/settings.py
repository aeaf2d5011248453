"""How a proxy is set up: its upstreams, limits, clocks and whose calls are whose."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from guardrail_integrations.proxy.http.timeouts import Clock, Timeouts
from guardrail_integrations.proxy.upstream.fetch import FetchRules


def address_fault(url: str) -> str:
    """What is wrong with the address of an upstream, or nothing. It does not repeat the address,
    in which people write keys."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        usable = parts.scheme in ("http", "https") and host and host.encode("idna")
    except (ValueError, UnicodeError):
        usable = False
    if not usable or not (url.isascii() and url.isprintable()) or " " in url:
        return "an http or https address is expected, such as http://localhost:8000"
    if "@" in parts.netloc:
        return "an address without a user or password is expected (see key_env)"
    if parts.query or parts.fragment:
        return "an address without a query is expected: clients send theirs"
    return ""


@dataclass(frozen=True)
class Target:
    """An upstream: its address, and the key that is sent to it in place of the client's.

    `ca` are authorities to trust in place of the system's; `certificate` and `certificate_key`
    are shown to an upstream that asks for them. `timeouts` bound every wait for it.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    key_header: str = "authorization"
    ca: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    timeouts: Timeouts = field(default=Timeouts(), kw_only=True)

    @cached_property
    def authority(self) -> bytes:
        """What Host says."""
        parts = urlsplit(self.url)
        return parts.netloc.rpartition("@")[2].encode()

    @property
    def place(self) -> tuple[str, int]:
        """The host and the port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @cached_property
    def prefix(self) -> bytes:
        """The path that stands before every request's own."""
        return urlsplit(self.url).path.rstrip("/").encode()

    @cached_property
    def credential(self) -> bytes | None:
        """The value of the key's header."""
        if self.key is None:
            return None
        bearer = self.key_header.lower() == "authorization" and " " not in self.key
        return f"Bearer {self.key}".encode() if bearer else self.key.encode()


@dataclass(frozen=True)
class Route:
    """Which requests go to an upstream: by path and model, in shell patterns."""

    name: str
    upstream: str
    paths: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ("*",)

    def fits(self, path: str, model: str | None) -> bool:
        """Whether a request goes this way. A request without a model goes by its path alone."""
        return any(fnmatchcase(path, pattern) for pattern in self.paths) and (
            model is None or any(fnmatchcase(model, pattern) for pattern in self.models)
        )


@dataclass(frozen=True)
class Settings:
    """What a proxy needs to know beside its policy.

    Sizes are in bytes. `connections` bounds the connections of clients to one worker,
    `concurrent` the calls under way, `picture_calls` those of them that hold pictures; what comes
    over is refused with 503. `buffered` bounds what is held
    in memory of all bodies together: of requests as they come and as they unpack, and of answers
    that are read whole or held.
    """

    targets: dict[str, Target]
    routes: tuple[Route, ...]
    max_body: int = 64 << 20
    max_answer: int = 64 << 20
    connections: int = 10_000
    concurrent: int = 4_000
    picture_calls: int = 64
    buffered: int = 1 << 30
    tenant_header: str = "x-guardrail-tenant"
    user_header: str = "x-guardrail-user"
    session_header: str = "x-guardrail-session"
    fetch: FetchRules = FetchRules()
    clock: Clock = Clock()
    drain_s: float = 30.0

    @cached_property
    def whose(self) -> tuple[bytes, bytes, bytes]:
        """The names of the headers for tenant, user and session, in lower case."""
        names = (self.tenant_header, self.user_header, self.session_header)
        tenant, user, session = (name.lower().encode() for name in names)
        return tenant, user, session

    @classmethod
    def of(cls, url: str) -> Settings:
        """Everything goes to one upstream."""
        return cls({"default": Target(url)}, (Route("default", "default"),))
