"""Personal data in a text of any length: blocks, a prefilter, the recognisers that may match."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from guardrail_detectors.overlaps import without_overlaps
from guardrail_detectors.pii.cards import Cards
from guardrail_detectors.pii.context import Words, words_for
from guardrail_detectors.pii.normal import plain_text
from guardrail_detectors.pii.phone import Phones
from guardrail_detectors.pii.recognizers import OWN, Recognizer, build

OWN_KINDS = frozenset(kind for kind, _, _ in OWN)
BLOCK = 4_096  # characters looked at together, so that no pattern's cost grows with the text
QUICK, SHORT = 2_048, 256  # characters that are looked at at once: where nothing may be, and all
MARGIN = 384  # longest value (an e-mail address) with its context, on both sides of a block
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_IN_URL = re.compile(r"[a-z][a-z0-9+.\-]*://[^\s/]*$")
_VERSION = re.compile(
    r"(?:\bv|version|release|ver\.?|build|rev(?:ision)?|firmware|fw|software|driver|kernel|patch"
    r"|update|model|==|>=|@|§|section|chapter)[\s:]*$"
)


class Hit(NamedTuple):
    """Personal data in a text: characters `start` to `end`, score in [0, 1]."""

    start: int
    end: int
    label: str
    score: float


class Scanner:
    """Everything that looks for the chosen labels, compiled."""

    def __init__(
        self, labels: frozenset[str], countries: frozenset[str], regions: Sequence[str]
    ) -> None:
        import re2

        self.recognizers = build(labels, countries)
        self._digits = [
            finder
            for finder in (
                Cards(*(Words(words_for(n, ())) for n in ("CARD", "CARD_CVV", "CARD_EXPIRY"))),
            )
            if labels & {"CARD", "CARD_CVV", "CARD_EXPIRY"}
        ]
        self._phones = Phones(Words(words_for("PHONE", ())), regions) if "PHONE" in labels else None
        self._labels = labels
        options = re2.Options()
        options.max_mem = 512 << 20
        self._set: Any = re2.Set.SearchSet(options)
        self._shapes: dict[int, int] = {}
        self._words: dict[int, int] = {}
        for index, recognizer in enumerate(self.recognizers):
            for shape in recognizer.shapes:
                self._shapes[self._set.Add(shape)] = index
            if recognizer.words is not None and recognizer.kind.alone != "":
                self._words[self._set.Add(recognizer.words.shape)] = index
        self._card = self._set.Add(r"(?:\d[\s.\-]{0,3}){12}")
        self._phone = self._set.Add(r"\d(?:[ .\-/()\n]{0,3}\d){6}")
        self._always = self._set.Add("")
        self._set.Compile()

    def __call__(self, text: str) -> Iterator[Hit]:
        """Every match with its score, overlaps and all."""
        if len(text) <= BLOCK + 2 * MARGIN:
            yield from self._block(text)
            return
        for first in range(0, len(text), BLOCK):
            begin = max(0, first - MARGIN)
            for hit in self._block(text[begin : first + BLOCK + MARGIN]):
                if first <= hit.start + begin < first + BLOCK:
                    yield hit._replace(start=hit.start + begin, end=hit.end + begin)

    def finds_nothing(self, text: str) -> bool:
        """Whether nothing in a text has the form of any personal data, which is quickly seen."""
        present = self._set.Match(text.encode("utf-8", "replace")) or []
        told = self._always in present and self._phone not in present and self._card not in present
        return told and not any(index in self._shapes for index in present)

    def _block(self, text: str) -> Iterator[Hit]:
        present = self._set.Match(text.encode("utf-8", "replace")) or []
        if self._always not in present:  # the set ran out of memory: everything may be there
            present = range(self._always)
        shaped = {self._shapes[i] for i in present if i in self._shapes}
        worded = {self._words[i] for i in present if i in self._words}
        if not shaped and self._phone not in present and self._card not in present:
            return
        lower = text.lower()
        if len(lower) != len(text):  # İ is two characters in lower case
            lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        spaced = text if text.isascii() else _UNSPACED.sub(" ", text)
        for index in sorted(shaped):
            recognizer = self.recognizers[index]
            if recognizer.kind.alone is not None or index in worded:
                subject = text if recognizer.kind in OWN_KINDS else spaced
                yield from self._recognize(recognizer, subject, lower)
        if self._card in present:
            for finder in self._digits:
                for start, end, label, score in finder.find(text, lower):
                    if label in self._labels:
                        yield Hit(start, end, label, score)
        if self._phone in present and self._phones is not None:
            for start, end, score in self._phones.find(spaced, lower):
                yield Hit(start, end, "PHONE", score)

    def _recognize(self, recognizer: Recognizer, text: str, lower: str) -> Iterator[Hit]:
        for result in recognizer.find(text):
            value = text[result.start : result.end]
            start = result.start + len(value) - len(value.lstrip())
            end = result.end - len(value) + len(value.rstrip())
            value = text[start:end]
            score = _score(recognizer, value, result.score, lower, start, end)
            if score and _plausible(recognizer.kind.label, value, lower, start, end):
                yield Hit(start, end, recognizer.kind.label, score)


def _score(
    recognizer: Recognizer, value: str, raw: float, lower: str, start: int, end: int
) -> float:
    """Presidio's score on a scale where 0.5 is what ordinary text does not reach."""
    if recognizer.kind.alone == "":
        return 0.95 if raw == 1.0 else max(raw, 0.6)
    distance = None
    if recognizer.words is not None:
        distance = recognizer.words.distance(lower, start, end)
    if distance is not None:
        return min(0.99, 0.65 + 0.2 * raw + 0.1 * max(0, 30 - distance) / 30)
    return 0.6 + 0.25 * raw if recognizer.counts_alone(value, raw == 1.0) else 0.0


def _plausible(label: str, value: str, lower: str, start: int, end: int) -> bool:
    if label == "IP_ADDRESS":
        return _is_personal_ip(value, lower[max(0, start - 16) : start])
    if label == "EMAIL":
        scp = value.startswith("git@") and lower[end : end + 1] == ":"
        return not scp and not _IN_URL.search(lower, max(0, start - 200), start)
    return True


def _is_personal_ip(value: str, before: str) -> bool:
    """A host's address: neither loopback, mask, documentation's zeros nor a version number."""
    try:
        address = ipaddress.ip_interface(value).ip
    except ValueError:
        return False
    if address.version == 4 and _VERSION.search(before):
        return False
    if address.version == 6 and (len(value) < 6 or not any(c.isdigit() for c in value)):
        return False
    return not (
        address.is_loopback
        or (address.is_private and not value.startswith("2001:"))
        or address.is_unspecified
        or address.is_multicast
        or address.is_link_local
        or value.startswith(("0.", "255."))
    )


@lru_cache(maxsize=8)
def scanner(labels: frozenset[str], countries: frozenset[str], regions: tuple[str, ...]) -> Scanner:
    """The scanner for this choice, compiled once."""
    return Scanner(labels, countries, regions)


def find_pii(text: str, scan: Scanner) -> list[Hit]:
    """Personal data by position, without overlaps: the surest, then the longest stays."""
    plain = plain_text(text)
    kept: list[Hit] = []
    for hit in resolve(scan(plain.text)):
        start, end = plain.original(hit.start, hit.end)
        kept.append(hit._replace(start=start, end=end))
    return kept


def at_once(text: str, scan: Scanner) -> bool:
    """Whether a text is looked through in about a millisecond, whatever it holds."""
    return len(text) <= SHORT or (len(text) <= QUICK and scan.finds_nothing(plain_text(text).text))


def resolve(hits: Iterator[Hit]) -> list[Hit]:
    """The hits without overlaps, by position."""
    return without_overlaps(
        set(hits),
        rank=lambda hit: (-round(hit.score, 2), hit.start - hit.end, hit.label, hit.start),
        span=lambda hit: (hit.start, hit.end),
    )
