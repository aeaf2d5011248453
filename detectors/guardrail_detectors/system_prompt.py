"""The system prompt in answers: marks that must not leave, and passages that are repeated."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice, pairwise

from guardrail.content import Text
from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.injection.readings import readings
from guardrail_detectors.normalise import Normalised, folded, utf8
from guardrail_detectors.overlaps import without_overlaps
from guardrail_detectors.quoting import Quote, Source, Words

CANARY, PASSAGE = "canary", "passage"
FLOOR = 0.2
WINDOW = 512  # characters: more than sixteen words, after which a passage is held while it grows
SHORTEST = 8  # characters of a canary, and words of a repeated passage that can count
QUICK = 2_048  # bytes of an answer that is looked at at once
SOURCES = 256  # confidential texts that are kept ready
SHORT_PROMPT = 60  # words; of a shorter prompt one fact is a large share
MARK = re.compile(r"\bgr-canary-[0-9a-z]{8,64}\b")

# Words that an instruction to an assistant has, and a fact that it may tell has not.
_TELLS = re.compile(
    r"\b(?:you(?:r|rs|rself)?|do not|don't|never|always|must|should|shall|only|respond|reply"
    r"|answer|assistant|users?|instructions?|confidential|secret|reveal|disclose|refuse|pretend|persona"
    r"|du|sie|ihre?[mnrs]?|dein\w*|nie(?:mals)?|immer|musst?|müssen|darfst?|antworte\w*"
    r"|tu|vous|votre|vos|jamais|toujours|dois|devez|réponds|répondez|ne pas"
    r"|tú|usted|eres|nunca|siempre|debes?|responde\w*|no debes"
    r"|você|sempre|deve|responda|lei|sei|mai|deve|devi|rispond\w*"
    r"|je|jij|jouw|nooit|altijd|moet|antwoord\w*"
    r"|ты|вы|твой|ваш\w*|никогда|всегда|должен|должны|отвечай\w*)\b"
    r"|nutzer\w*|utilisateur\w*|usuári[oa]s?|usuari[oa]s?|utent[ei]|gebruikers?|пользовател\w*"
    r"|[你您]|用户|ユーザー|不要|必须|不得|回答|あなた|しないで|ください"
    r"|당신|마세요|하세요|आप|أنت|لا ت"
)
_SENTENCE = re.compile(r"(?<=[.!?;:。！？；：।])\s+|\n+")


def system_prompt(
    *,
    canaries: list[str] | None = None,
    texts: list[str] | None = None,
    min_words: int = 8,
    decode: bool = True,
) -> Detector:
    """Finds parts of the system prompt in an answer.

    canaries: marks that you put into system prompts and that must never be answered. A mark of
        the form gr-canary-..., as `guardrail.canary()` makes it, is known from the system prompt,
        and so is the one that `trust: {canary: true}` puts into each call.
    texts: confidential texts besides the system prompt of the call.
    min_words: words that a repeated passage has at least.
    decode: also read what is encoded (base64, hex, rot13 ...), spaced out or reversed.

    `canary` is certain (1.0). `passage` is words in the same order, whatever their punctuation,
    case, markup and a few words in between. The score grows with their number: a passage of
    instructions reaches 0.5 with 8 words and 0.8 with 16; passages without instructions, such as
    opening hours, count only as a share of a long prompt (0.6 for half of it). What the user or
    a tool has said as well is no leak. Translations and retellings are not found.
    """
    if min_words < 4:
        raise ValueError("min_words: at least 4")
    marks = tuple(canaries or ())
    for mark in marks:
        if len(_squeezed(folded(mark)).text) < SHORTEST:
            raise ValueError(f"canaries: {mark!r} has fewer than {SHORTEST} letters and digits")
    private = tuple(texts or ())

    def run(view: View) -> list[Finding]:
        beside = view.call.content.texts if view.call is not None else ()
        told = [text.text for text in beside if text.role == "system"] + list(private)
        known = [text.text for text in beside if text.role != "system"]
        typed = [text.text for text in beside if text.role == "user" and text.source == "typed"]
        wanted = {*marks, *(mark for text in [*told, *typed] for mark in MARK.findall(text))}
        sources = [source for text in told if (source := _source(text)).words]
        if not wanted and not sources:
            return []
        public = [Source(text) for text in known]
        found: list[Finding] = []
        for part in view.texts:
            best: dict[tuple[int, int], tuple[str, float]] = {}
            for label, span, score in _findings(part, wanted, sources, public, min_words, decode):
                if score >= FLOOR and score > best.get(span, ("", 0.0))[1]:
                    best[span] = (label, score)
            kept = without_overlaps(
                best.items(), rank=lambda item: -item[1][1], span=lambda item: item[0]
            )
            found += [
                Finding("system_prompt", label, round(score, 4), Span(part.name, *span))
                for span, (label, score) in kept
            ]
        return found

    def quick(view: View) -> list[Finding] | None:
        beside = view.call.content.texts if view.call is not None else ()
        if marks or any("gr-canary-" in text.text for text in beside):
            return None
        told = [text.text for text in beside if text.role == "system"] + list(private)
        secrets = [_sources.get(text) for text in told]
        for part in view.texts if told else ():
            forms = [] if len(utf8(part.text)) > QUICK else _forms(part.text, decode)
            if not forms or not all(secret and secret.hides(forms) for secret in secrets):
                return None
        return []

    spec = Spec(
        name="system_prompt",
        version="2",
        labels=(CANARY, PASSAGE),
        scope="call",
        window=WINDOW,
        floor=FLOOR,
        threshold=0.5,
    )
    return Detector(spec, run, quick=quick)


class Secret:
    """A confidential text: what it says, and which of its words are instructions."""

    def __init__(self, text: str) -> None:
        self.source = Source(text)
        self.words = len(self.source.text)
        self.weight = self.source.text.weight(range(self.words))
        self.orders = _orders(self.source.text, folded(text).text)

    def hides(self, texts: Sequence[Words]) -> bool:
        """Whether not even a few words of it stand in any of the texts."""
        return not any(self.source.shares(text) for text in texts)


def _orders(words: Words, text: str) -> frozenset[int]:
    """The words that stand in instructions; all where no word of any known language tells."""
    bounds = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    telling: set[int] = set()
    place = 0
    for start, end in pairwise(bounds):
        first = place
        while place < len(words) and words.start(place) < end:
            place += 1
        if _TELLS.search(text, start, end):
            telling.update(range(first, place))
    return frozenset(telling or range(len(words)))


_sources: dict[str, Secret] = {}  # the last ones, as a system prompt comes with each call


def _source(text: str) -> Secret:
    known = _sources.get(text)
    if known is None:
        if len(_sources) >= SOURCES:
            _sources.clear()
        known = _sources[text] = Secret(text)
    return known


def _findings(
    part: Text,
    marks: Collection[str],
    secrets: Sequence[Secret],
    public: Sequence[Source],
    min_words: int,
    decode: bool,
) -> Iterator[tuple[str, tuple[int, int], float]]:
    for text in _readings(part.text, decode):
        squeezed = _squeezed(text) if marks else text
        for mark in marks:
            for span in _occurrences(squeezed, _squeezed(folded(mark)).text):
                yield CANARY, span, 1.0
        words = Words(text)
        if len(words) < min_words:
            continue
        said = {here for source in public for q in source.quotes(words) for here, _ in q.words}
        for secret in secrets:
            for span, score in _passages(words, secret, said, min_words):
                yield PASSAGE, span, score


def _readings(text: str, decode: bool) -> Iterator[Normalised]:
    """The ways to read an answer: also all of it backwards, or turned by 13 letters."""
    for reading in readings(text, 2 if decode else 0):
        yield reading.text
    if decode:
        plain = folded(text)
        spans = [plain.span(place, place + 1) for place in range(len(plain.text))]
        yield Normalised(plain.text[::-1], tuple(reversed(spans)))
        yield Normalised(codecs.encode(plain.text, "rot13"), plain.spans)


def _forms(text: str, decode: bool) -> list[Words]:
    """The ways to read a text that wears no disguise; none where it may wear one."""
    plainly = 3 if decode else 1
    forms = list(islice(_readings(text, decode), plainly + 1))
    return [] if len(forms) > plainly else [Words(form) for form in forms]


def _passages(
    words: Words, secret: Secret, said: set[int], min_words: int
) -> Iterator[tuple[tuple[int, int], float]]:
    quotes = [
        kept
        for quote in secret.source.quotes(words)
        if (kept := Quote([pair for pair in quote.words if pair[0] not in said])).words
    ]
    weights = [words.weight(here for here, _ in quote.words) for quote in quotes]
    long = [(q, w) for q, w in zip(quotes, weights, strict=True) if w >= min_words]
    share = sum(weight for _, weight in long) / max(secret.weight, SHORT_PROMPT)
    of_share = _ramp(share, ((0.2, 0.2), (0.5, 0.6), (0.9, 0.95)))
    for quote, _ in long:
        told = words.weight(here for here, there in quote.words if there in secret.orders)
        scale = min_words / SHORTEST
        of_orders = _ramp(told / scale, ((5, 0.2), (8, 0.5), (16, 0.8), (40, 0.98)))
        yield words.span(quote.first, quote.last), max(of_share, of_orders)


def _ramp(value: float, points: Sequence[tuple[float, float]]) -> float:
    """Straight lines between the points, 0 before the first."""
    if value < points[0][0]:
        return 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if value < x1:
            return y0 + (y1 - y0) * (value - x0) / (x1 - x0)
    return points[-1][1]


def _squeezed(text: Normalised) -> Normalised:
    """Letters and digits only."""
    return text.map(lambda char: char if char.isalnum() else "")


def _occurrences(text: Normalised, mark: str) -> Iterator[tuple[int, int]]:
    at = text.text.find(mark)
    while at >= 0:
        yield text.span(at, at + len(mark))
        at = text.text.find(mark, at + len(mark))
