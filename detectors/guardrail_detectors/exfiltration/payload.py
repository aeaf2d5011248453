"""What an address carries beyond the page that it names."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus, urlsplit

from guardrail_detectors.normalise import folded

LONG = 80  # characters of query, fragment and user name together
RANDOM_FROM = 24  # characters of a value whose letters are weighed
BITS = 3.6  # a character, over which such a value is random (English words: about 3.2)
SAME = 12  # letters and digits in a row that do not agree by chance
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I)
_WORD = re.compile(r"[^\W\d_]{2,}")
_SPLIT = re.compile(r"[&;=/?#]+")

# Services that show whoever asks what was requested of them.
COLLECTORS = tuple(
    "webhook.site requestbin.com requestbin.net pipedream.net ngrok.io ngrok.app ngrok-free.app "
    "ngrok-free.dev interact.sh oast.pro oast.live oast.site oast.online oast.fun oast.me "
    "burpcollaborator.net oastify.com beeceptor.com hookbin.com postb.in requestcatcher.com "
    "trycloudflare.com serveo.net loca.lt localhost.run canarytokens.com dnslog.cn ceye.io "
    "webhook.cool typedwebhook.tools requestinspector.com smee.io".split()
)


@dataclass(frozen=True)
class Address:
    """An address taken apart: its host as IDNA ASCII, and the pieces that may carry data.

    `hidden` are pieces of query, fragment, user name and host name, `open` those of the path,
    `below` long names of hosts.
    """

    host: str
    hidden: tuple[str, ...]
    open: tuple[str, ...] = ()
    below: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Characters that need not be there to find a page."""
        return sum(map(len, self.hidden))


def address(url: str) -> Address | None:
    """The parts of an address; None for one that names no host."""
    from guardrail_detectors.urls import ascii_host

    url = re.sub(r"[\t\n\r]", "", url)
    if url[:7].lower() == "mailto:":
        to, _, query = url[7:].partition("?")
        return Address(ascii_host(to.rpartition("@")[2]), tuple(_pieces(query)))
    full = url if "://" in url else f"http://{url.lstrip('/')}"
    try:
        parts = urlsplit(full)
        host, user = parts.hostname or "", (parts.username or "") + (parts.password or "")
    except ValueError:
        return None
    named = parts.netloc.rpartition("@")[2].partition(":")[0]  # as written: base64 has capitals
    below = [label for label in named.split(".")[:-2] if len(label) >= SAME]
    hidden = [*_pieces(parts.query), *_pieces(parts.fragment), *_pieces(user), *below]
    if len(below) > 1:
        hidden.append("".join(below))
    return Address(ascii_host(host), tuple(hidden), tuple(_pieces(parts.path)), tuple(below))


def _pieces(text: str) -> Iterator[str]:
    for piece in _SPLIT.split(text):
        plain = unquote_plus(unquote_plus(piece, errors="replace"), errors="replace")
        if plain.strip():
            yield plain


def decoded(piece: str) -> str | None:
    """What a piece says if it is base64, base32 or hex of readable text."""
    packed = re.sub(r"\s|\.(?:png|jpe?g|gif|svg|webp)$", "", piece).rstrip("=")
    if len(packed) < 8 or not packed.isascii():
        return None
    for read in (_hex, _base64, _base32):
        try:
            text = read(packed).decode("utf-8")
        except (binascii.Error, ValueError):
            continue
        letters = sum(char.isalnum() or char.isspace() for char in text)
        if len(text) >= 6 and text.replace("\n", " ").isprintable() and letters >= 0.8 * len(text):
            return text
    return None


def _hex(packed: str) -> bytes:
    return bytes.fromhex(packed)


def _base64(packed: str) -> bytes:
    packed = packed.replace("-", "+").replace("_", "/")
    return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)


def _base32(packed: str) -> bytes:
    return base64.b32decode(packed.upper() + "=" * (-len(packed) % 8))


def is_random(piece: str) -> bool:
    """Whether a value looks drawn or packed, not written; identifiers (UUID) do not count."""
    if len(piece) < RANDOM_FROM or _UUID.fullmatch(piece) or " " in piece.strip():
        return False
    counts = Counter(piece)
    bits = -sum(n / len(piece) * math.log2(n / len(piece)) for n in counts.values())
    return bits >= BITS and any(map(str.isdigit, piece)) and any(map(str.isalpha, piece))


def is_collector(host: str) -> bool:
    """Whether the host belongs to a service that records requests."""
    return any(host == name or host.endswith(f".{name}") for name in COLLECTORS)


def is_number(host: str) -> bool:
    """Whether the host is an address in numbers, as no public site has it."""
    return re.fullmatch(r"[\d.]+|0x[0-9a-f.x]+|[0-9a-f:]*:[0-9a-f:.]+", host) is not None


class Conversation:
    """What was said besides the answer, to be found again in an address."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        flat = [folded(text).text for text in texts]
        self._squeezed = "\n".join(_squeezed(text) for text in flat)
        self._words = {word for text in flat for word in _WORD.findall(text) if len(word) >= 4}
        self._values = {value for text in flat for value in _values(text)}

    def has(self, url: str) -> bool:
        """Whether this very address was said."""
        return any(url in text for text in self.texts)

    def said(self, piece: str) -> float:
        """How sure it is that a piece repeats what was said, from 0 to 1.

        Long runs of the same characters, and values such as numbers and e-mail addresses, count
        more than single words, which a search link has for good reasons.
        """
        flat = folded(piece).text
        squeezed = _squeezed(flat)
        if _values(flat) & self._values:
            return 1.0
        if len(squeezed) >= SAME and squeezed in self._squeezed:
            return 0.9
        words = {word for word in _WORD.findall(flat) if len(word) >= 4}
        shared = len(words & self._words)
        return 0.7 if shared >= 4 else 0.4 if shared >= 2 else 0.0


def _squeezed(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4}")
_NUMBER = re.compile(r"\+?\d(?:[ .\-/()]{0,2}\d){5,30}")
_KEY = re.compile(r"[\w\-]{8,200}")


def _values(text: str) -> set[str]:
    """E-mail addresses, numbers of six digits and more, and keys: letters mixed with digits."""
    found = set(_EMAIL.findall(text))
    found |= {"".join(filter(str.isdigit, number)) for number in _NUMBER.findall(text)}
    found |= {
        key
        for key in _KEY.findall(text)
        if sum(map(str.isdigit, key)) >= 2 and sum(map(str.isalpha, key)) >= 3
    }
    return found
