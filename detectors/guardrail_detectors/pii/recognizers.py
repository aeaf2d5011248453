"""Presidio's recognisers and our own, each with a cheap shape that says whether it can match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from guardrail_detectors.pii.address import ADDRESSES, LOOSE, POSTCODES
from guardrail_detectors.pii.context import Words, words_for
from guardrail_detectors.pii.labels import CONTEXT, KINDS, Kind

if TYPE_CHECKING:
    from presidio_analyzer import PatternRecognizer, RecognizerResult

MONTH = (
    r"(?:jan|feb|mar|mär|apr|abr|may|mai|mag|jun|jul|jui|aug|ago|sep|set|oct|okt|out|ott|nov|dec|dez|dic|déc"
    r"|fév|avr|aoû|giu|lug|gen|ene)[\w.]{0,8}"
)
DATES = (
    r"(?<![\w/.\-])\d{1,2} ?([/.\-]) ?\d{1,2} ?\1 ?(?:19|20)?\d{2}(?![\w/\-])",
    r"(?<![\w/.\-])(?:19|20)\d{2}([/.\-])\d{1,2}\1\d{1,2}(?![\w/\-])",
    rf"(?<!\w)\d{{1,2}}(?:st|nd|rd|th|\.)?[ \-](?:of |de )?{MONTH},?[ \-](?:de )?(?:19|20)\d{{2}}(?!\w)",
    rf"(?<!\w){MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}(?!\w)",
    r"(?<!\d)(?:19|20)\d{2}[年년] ?\d{1,2}[月월] ?\d{1,2}[日일]",
)
EMAIL = (
    r"(?<![\w.!#$%&'*+/=?^`{|}~\-])[\w!#$%&'*+/=?^`{|}~\-](?:[\w.!#$%&'*+/=?^`{|}~\-]{0,62}"
    r"[\w!#$%&*+/=?^`{|}~\-])?@\w[\w\-]{0,62}(?:\.\w[\w\-]{0,62}){1,8}(?<=\w)"
)
ETHEREUM = r"(?<!\w)0x[a-fA-F0-9]{40}(?!\w)"
# For recognisers whose own patterns RE2 cannot take, or takes at a price.
SHAPES = {
    "EmailRecognizer": ("@",),
    "IpRecognizer": (
        r"\d\.\d{1,3}\.\d{1,3}\.\d",
        r"(?i)(?:[0-9a-f]{1,4}:){3}|::[0-9a-f]|[0-9a-f]::",
    ),
    "IbanRecognizer": (r"[A-Z]{2}\d{2}[ \-]?[A-Z0-9]{4}",),
    "UsLicenseRecognizer": (r"(?i)[a-z\d]\d{3}",),
    "UsHealthInsuranceMemberIdRecognizer": (r"(?i)[a-z][a-z0-9\-]{0,8}\d",),
    "ItFiscalCodeRecognizer": (r"(?i)[a-z]{6}[0-9lmnp-v]{2}[a-ehlmpr-t]",),
    "InPanRecognizer": (r"(?i)[a-z]{5}[0-9]{4}[a-z]",),
}

OWN = (
    (Kind("Ethereum", "CRYPTO_WALLET", alone=""), ((ETHEREUM, 0.8),), False),
    (Kind("Address", "ADDRESS", alone=""), ADDRESSES, False),
    (Kind("LooseAddress", "ADDRESS"), LOOSE, False),
    (Kind("Postcode", "ADDRESS"), POSTCODES, False),
    (Kind("DateOfBirth", "DATE_OF_BIRTH"), tuple((date, 0.5) for date in DATES), True),
)


class Recognizer:
    """A recogniser with its label, its context words and its shapes for the prefilter."""

    def __init__(
        self, kind: Kind, engine: PatternRecognizer, shapes: tuple[str, ...], words: Words | None
    ) -> None:
        self.kind, self.engine, self.shapes, self.words = kind, engine, shapes, words
        self.alone = None if kind.alone is None else re.compile(kind.alone, re.DOTALL)
        self._entities: list[str] = engine.supported_entities

    def find(self, text: str) -> list[RecognizerResult]:
        """Presidio's results for `text`, without use of context."""
        results: list[RecognizerResult] = self.engine.analyze(text, self._entities, None)
        return results

    def counts_alone(self, value: str, checked: bool) -> bool:
        """Whether the value needs no context word; `checked` says that its check digit is right."""
        if self.alone is None:
            return False
        return self.alone.fullmatch(value.upper() if checked else value) is not None


def re2_shape(pattern: str, flags: str) -> str:
    """The pattern without lookarounds and back-references: it matches wherever `pattern` does."""
    out, index = [], 0
    while index < len(pattern):
        if pattern.startswith(("(?=", "(?!", "(?<=", "(?<!"), index):
            index = _closing(pattern, index) + 1
            continue
        if pattern[index] == "\\" and index + 1 < len(pattern):
            pair = pattern[index : index + 2]
            out.append("[\\s\\-:./]?" if pair[1].isdigit() and pair[1] != "0" else pair)
            index += 2
            continue
        out.append(pattern[index])
        index += 1
    return f"(?{flags})" + "".join(out).replace("(?i)", "")


def _closing(pattern: str, start: int) -> int:
    depth, index, in_class = 0, start, False
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            index += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return index
        index += 1
    raise ValueError("a pattern with unbalanced parentheses")


def build(labels: frozenset[str], countries: frozenset[str]) -> list[Recognizer]:
    """The recognisers for `labels`, country formats for `countries` only.

    Recognisers that the installed presidio does not have are left out.
    """
    import tldextract
    from presidio_analyzer import predefined_recognizers

    # The suffix list of the package, never the network.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    found = []
    for kind in KINDS:
        factory = getattr(predefined_recognizers, kind.recognizer, None)
        if kind.label not in labels or (kind.country and kind.country not in countries):
            continue
        if factory is not None:
            found.append(_recognizer(kind, _engine(kind.recognizer, factory)))
    for kind, patterns, ignore_case in OWN:
        if kind.label in labels:
            found.append(_recognizer(kind, _patterns(kind.label, patterns, ignore_case)))
    return found


def _engine(name: str, factory: Any) -> PatternRecognizer:
    from presidio_analyzer import Pattern

    if name == "EmailRecognizer":
        return factory(patterns=[Pattern("e-mail, RFC 5321 lengths", EMAIL, 0.5)])
    if name == "InPanRecognizer":  # the weakest pattern takes quadratic time
        return factory(patterns=factory.PATTERNS[:2])
    engine: PatternRecognizer = factory()
    return engine


def _patterns(
    entity: str, patterns: tuple[tuple[str, float], ...], ignore_case: bool = False
) -> PatternRecognizer:
    import regex  # type: ignore[import-untyped]
    from presidio_analyzer import Pattern, PatternRecognizer

    flags = regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0)
    return PatternRecognizer(
        supported_entity=entity,
        patterns=[Pattern(f"{entity} {i}", p, s) for i, (p, s) in enumerate(patterns)],
        global_regex_flags=int(flags),
    )


def _recognizer(kind: Kind, engine: PatternRecognizer) -> Recognizer:
    import regex

    flags = "ims" if engine.global_regex_flags & regex.IGNORECASE else "ms"
    shapes = SHAPES.get(kind.recognizer) or tuple(
        re2_shape(pattern.regex, flags) for pattern in engine.patterns
    )
    before = 30 if kind.label in {"ADDRESS", "DATE_OF_BIRTH"} else 60
    own = engine.context or ()
    words = CONTEXT["POSTCODE"] if kind.recognizer == "Postcode" else words_for(kind.label, own)
    return Recognizer(kind, engine, shapes, Words(words, before) if words else None)
