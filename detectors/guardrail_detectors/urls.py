"""Addresses in text, held against lists of hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.normalise import plain

DENIED, CREDENTIALS, ACTIVE = "url_denied", "url_credentials", "url_active"

LONGEST_HOST = 640  # characters of a scheme, a host in eight labels and a port

_WITH_SCHEME = r"(?:[a-z][a-z0-9+.-]{1,20}:)//[^\s<>\"'`{}|\\^]{1,2048}"
_ACTIVE = r"(?:javascript|vbscript):[^\s<>\"'`]{1,2048}|data:[\w/+.-]{0,80}[;,][^\s<>\"'`]{0,2048}"
_HOST = r"(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}"
_PATH = r"/[^\s<>\"'`{}|\\^]{0,2048}"
_TOP = (  # without a scheme, www or a path, only these endings make a word an address
    "com net org info biz io co me app dev ai xyz top site online shop club link click live cc tv "
    "ru cn de uk fr jp br in it nl pl es eu us ca au ch at se no dk fi cz gr tr kr mx ar"
).replace(" ", "|")
_BARE = (
    rf"www\.{_HOST}[^\W\d_]{{2,24}}(?::\d{{1,5}})?(?:{_PATH})?"
    rf"|{_HOST}[^\W\d_]{{2,24}}(?::\d{{1,5}})?{_PATH}"
    rf"|{_HOST}(?:{_TOP})(?::\d{{1,5}})?(?![\w-])"
)
_URL = re.compile(f"(?:{_ACTIVE})|(?:{_WITH_SCHEME})|(?<![\\w@.-])(?:{_BARE})", re.IGNORECASE)
_TRAILING = ".,;:!?'\"*_~"
_PAIRS = {")": "(", "]": "[", ">": "<"}


def urls(*, allow: list[str] | None = None, deny: list[str] | None = None) -> Detector:
    """Finds addresses whose host is denied, or not allowed where there is an allow-list.

    allow: hosts that are allowed; every other is then `url_denied`.
    deny: hosts that are `url_denied` although they are allowed.

    `example.com` stands for that host alone, `*.example.com` for all below it as well. Hosts are
    compared in lower case and as IDNA ASCII. Besides, `url_credentials` marks a user name before
    the host (`https://bank.example@evil.example`), and `url_active` a javascript:, vbscript: or
    data: address; these two need no list.
    """
    allowed = None if allow is None else hosts_of(allow, "allow")
    denied = hosts_of(deny or [], "deny")
    spec = Spec(name="urls", version="2", labels=(DENIED, CREDENTIALS, ACTIVE), window=LONGEST_HOST)

    def run(view: View) -> list[Finding]:
        found = []
        for part in view.texts:
            text = plain(part.text)
            for start, end, address in _addresses(text.text):
                for label in _labels(address, allowed, denied):
                    span = Span(part.name, *text.span(start, end))
                    found.append(Finding("urls", label, 1.0, span))
        return found

    return Detector(spec, run)


def hosts_of(patterns: list[str], argument: str) -> frozenset[str]:
    """Hosts as `covered` compares them; ValueError, with the argument's name, for what is none."""
    hosts = set()
    for pattern in patterns:
        star, name = pattern.startswith("*."), pattern.removeprefix("*.")
        if not name or "/" in name or ":" in name or "*" in name:
            raise ValueError(
                f"{argument}: {pattern!r} is no host; as in example.com, *.example.com"
            )
        hosts.add(("*." if star else "") + ascii_host(name))
    return frozenset(hosts)


def ascii_host(host: str) -> str:
    """A host in lower case as IDNA ASCII (RFC 3490), without the dot at its end."""
    host = host.strip(".").lower()
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _URL.finditer(text):
        address = match[0]
        while address and (
            address[-1] in _TRAILING
            or (
                address[-1] in _PAIRS
                and address.count(_PAIRS[address[-1]]) < address.count(address[-1])
            )
        ):
            address = address[:-1]
        if address:
            yield match.start(), match.start() + len(address), address


def _labels(address: str, allow: frozenset[str] | None, deny: frozenset[str]) -> Iterator[str]:
    if re.match(r"javascript:|vbscript:|data:", address, re.IGNORECASE):
        yield ACTIVE
        return
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, user = parts.hostname or "", parts.username
    except ValueError:
        host, user = "", None
    if user is not None:
        yield CREDENTIALS
    host = ascii_host(unquote(host))
    if covered(host, deny) or (allow is not None and not covered(host, allow)):
        yield DENIED


def covered(host: str, patterns: frozenset[str]) -> bool:
    """Whether a host is one of these or stands below one with a star."""
    if host in patterns or f"*.{host}" in patterns:
        return True
    labels = host.split(".")
    return any("*." + ".".join(labels[i:]) in patterns for i in range(1, len(labels)))
