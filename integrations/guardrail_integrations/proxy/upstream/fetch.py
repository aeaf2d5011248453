"""Fetching what a client names by address, without being sent anywhere private.

A host's addresses are looked up once, all of them are checked, and the connection goes to one
that was checked, with the host's name kept for Host and TLS: an answer of the DNS that changes
between check and use changes nothing. Every redirect goes through the same door.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.http.tls import client_tls
from guardrail_integrations.proxy.interfaces import Fetched, FetchError, Request, UpstreamError
from guardrail_integrations.proxy.upstream.addresses import Network, is_public
from guardrail_integrations.proxy.upstream.answer import Answer
from guardrail_integrations.proxy.upstream.pool import HttpUpstream, Pooling

PICTURES = frozenset(
    f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif")
)
MAX_URL = 8_192  # characters
TRIED = 3  # addresses of a host that are tried
REDIRECTS = frozenset((301, 302, 303, 307, 308))

_HOST = re.compile(r"[0-9a-z_](?:[0-9a-z_.-]*[0-9a-z_])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")
_BAD = re.compile(r"[\x00-\x20\x7f\\]")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class FetchRules:
    """What may be fetched. `hosts` are names, or "*.example.com" for all below one; none means
    any. `inside` are networks that may be reached though they are not public, such as that of an
    object store. `ports` of None are all. `seconds` hold for a fetch with all its redirects, the
    wait for one of `at_once` places included."""

    hosts: tuple[str, ...] = ()
    inside: tuple[Network, ...] = ()
    ports: frozenset[int] | None = frozenset((80, 443))
    https_only: bool = False
    media_types: frozenset[str] = PICTURES | {"application/pdf"}
    max_bytes: int = 20 * 2**20
    seconds: float = 10.0
    redirects: int = 3
    at_once: int = 64

    def covers(self, host: str) -> bool:
        """Whether the list of hosts holds this one."""
        host = host.rstrip(".")
        return not self.hosts or any(
            host.endswith(known[1:]) if known.startswith("*.") else host == known
            for known in map(str.lower, self.hosts)
        )


class Place(NamedTuple):
    """An address that was read and may be looked up."""

    scheme: str
    host: str
    port: int
    target: bytes

    @property
    def netloc(self) -> str:
        """Host and port as Host and URLs write them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


class SafeFetcher:
    """See interfaces.Fetcher. `resolve` looks up a host: by default what the system does."""

    def __init__(
        self,
        rules: FetchRules | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self.rules = rules or FetchRules()
        self._tls = tls or client_tls()
        self._resolve = resolve or look_up
        self._places = asyncio.Semaphore(self.rules.at_once)

    async def fetch(self, url: str) -> Fetched:
        """See interfaces.Fetcher."""
        place = read_url(url, self.rules)
        try:
            async with asyncio.timeout(self.rules.seconds), self._places:
                return await self._follow(place, url)
        except TimeoutError:
            raise FetchError(
                "timeout", f"{place.host}: not fetched in {self.rules.seconds:g} s"
            ) from None

    async def _follow(self, place: Place, url: str) -> Fetched:
        for _ in range(self.rules.redirects + 1):
            found = await self._get(place)
            if isinstance(found, Fetched):
                return found
            url = urljoin(url, found)
            there = read_url(url, self.rules)
            if place.scheme == "https" and there.scheme != "https":
                raise FetchError("forbidden", f"{place.host}: redirects from https to http")
            place = there
        raise FetchError("redirects", f"{place.host}: more than {self.rules.redirects} redirects")

    async def _get(self, place: Place) -> Fetched | str:
        """What stands there, or where it has gone."""
        try:
            addresses = list(dict.fromkeys(await self._resolve(place.host, place.port)))
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise FetchError("unreachable", f"{place.host}: has no address")
        if not all(is_public(address, self.rules.inside) for address in addresses):
            raise FetchError("forbidden", f"{place.host}: is not on the public internet")
        error: UpstreamError | None = None
        for address in addresses[:TRIED]:
            upstream = HttpUpstream(
                f"{place.scheme}://{place.netloc}",
                address=address,
                tls=self._tls,
                pooling=Pooling(connections=1, idle=0),
                timeouts=Timeouts(connect=self.rules.seconds / TRIED),
            )
            try:
                return await self._read(place, await upstream.send(_request(place)))
            except UpstreamError as failed:
                error = failed
                if failed.fault != "unreachable":
                    break
        raise FetchError("unreachable", f"{place.host}: gave no answer") from error

    async def _read(self, place: Place, answer: Answer) -> Fetched | str:
        rules = self.rules
        try:
            fields = {name.lower(): value for name, value in answer.headers}
            if answer.status in REDIRECTS and b"location" in fields:
                return fields[b"location"].decode("latin-1")
            if answer.status != 200:
                raise FetchError("status", f"{place.host}: answered {answer.status}")
            if fields.get(b"content-encoding", b"identity").lower() != b"identity":
                raise FetchError("wrong_type", f"{place.host}: answered compressed")
            length = fields.get(b"content-length", b"")
            size, pieces = int(length) if length.isdigit() else 0, []
            if size <= rules.max_bytes:
                size = 0
                while size <= rules.max_bytes and (piece := await answer.read()):
                    pieces.append(piece)
                    size += len(piece)
            if size > rules.max_bytes:
                limit = rules.max_bytes / 2**20
                raise FetchError("too_large", f"{place.host}: over the limit of {limit:g} MiB")
        finally:
            answer.close()
        data = b"".join(pieces)
        media_type = sniff(data)
        if media_type not in rules.media_types:
            what = media_type or "none of a known kind"
            raise FetchError("wrong_type", f"{place.host}: its bytes are {what}")
        return Fetched(data, media_type)


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system finds them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def read_url(url: str, rules: FetchRules) -> Place:
    """Read an address and hold it against the rules that need no look-up. Raises FetchError."""
    if len(url) > MAX_URL or _BAD.search(url):
        raise FetchError("forbidden", "an address that is too long or holds spaces")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise FetchError("forbidden", "an address that cannot be read") from None
    if parts.scheme not in ("http", "https") or (rules.https_only and parts.scheme != "https"):
        schemes = "https" if rules.https_only else "http and https"
        raise FetchError("forbidden", f"only {schemes} addresses are fetched")
    if "@" in parts.netloc:
        raise FetchError("forbidden", "an address with a user or password in it")
    if not _HOST.fullmatch(host):
        raise FetchError("forbidden", "an address whose host cannot be read")
    if not rules.covers(host):
        raise FetchError("forbidden", f"{host}: is not among the hosts that may be fetched from")
    port = port if port is not None else 443 if parts.scheme == "https" else 80
    if rules.ports is not None and port not in rules.ports:
        raise FetchError("forbidden", f"{host}: port {port} is not among those allowed")
    path = parts.path or "/"
    target = quote(path + (f"?{parts.query}" if parts.query else ""), safe="/?%:@!$&'()*+,;=~[]|")
    return Place(parts.scheme, host, port, target.encode("ascii"))


def sniff(data: bytes) -> str | None:
    """The media type that the first bytes of a file show, of the kinds a model may be sent."""
    for start, media_type in _SIGNATURES:
        if data.startswith(start):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and b"avif" in data[8:32]:
        return "image/avif"
    return None


_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
)


def _request(place: Place) -> Request:
    headers = [
        (b"Host", place.netloc.encode("ascii")),
        (b"User-Agent", b"guardrail"),
        (b"Accept", b"image/*, application/pdf;q=0.9"),
        (b"Accept-Encoding", b"identity"),
        (b"Connection", b"close"),
    ]
    return Request(b"GET", place.target, headers)
