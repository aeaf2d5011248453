"""Instructions out of pictures and tools, repeated or carried out in the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from guardrail.content import Text
from guardrail.detector import Detector, Spec, Stage, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.exfiltration.links import links
from guardrail_detectors.injection import injection
from guardrail_detectors.normalise import folded
from guardrail_detectors.overlaps import without_overlaps
from guardrail_detectors.quoting import Source, Words

REPEATED, FOLLOWED = "repeated", "followed"
FLOOR = 0.2
WINDOW = 512  # characters: more than what an order wants said, with the words around it
MIN_WORDS = 6  # of a repeated passage
LOOK_BEYOND = 300  # characters after a found instruction that may still belong to it
TOLD_ABOUT = 0.45  # what a repetition keeps where the answer speaks about it as an attack

_QUOTED = r"[\"'“”„«‘’`]{1,3}([^\"'“”„»’`\n]{2,300}?)[\"'“”»’`]{1,3}"
_VERB = (
    r"(?:say|reply|respond|answer|print|output|write|include|add|append|insert|state|repeat|return"
    r"|type|echo|mention|end|begin|start|finish|conclude|tell|sage|antworte|schreibe?|ergänze|dis"
    r"|réponds?|écris|ajoute|responde|escribe|di|añade|rispondi|scrivi|diga|escreva)"
)
_TO_SAY_QUOTED = re.compile(rf"\b{_VERB}\b[^\"'“”„«‘’`\n]{{0,120}}?{_QUOTED}", re.I)
_TO_SAY_BARE = re.compile(
    rf"\b{_VERB}\b(?:\s+(?:only|just|exactly|back|with|the|word|words|phrase|text|sentence|message"
    r"|code|following|that|to|user|them|him|her|in|all|caps|your|every|response|answer|nur|mit"
    r"|das|wort|seulement|le|mot|solo|la|palabra|únicamente)\b)*[\s:]+([^.!?\n\"'“”„«]{2,120})",
    re.I,
)
_CONTACT = re.compile(
    r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4}|\+?\d(?:[ .\-/()]{0,2}\d){7,18}"
)
_ABOUT = re.compile(
    r"\b(?:inject\w*|instructions?|attempt\w*|attack\w*|suspicious|malicious|hidden|phishing|scam"
    r"|ignor\w+ (?:it|this|that|these|them)|will not|won't|cannot|can't|did not follow"
    r"|not follow\w*|anweisung\w*|versuch\w*|instruccion\w*|istruzion\w*|instruçõ\w*|tentative)\b"
)


class Order(NamedTuple):
    """Something an instruction wants to see in the answer, and how telling it is, from 0 to 1."""

    text: str
    weight: float


def obeyed(*, threshold: float = 0.5) -> Detector:
    """Finds where an answer repeats or follows instructions out of a picture or a tool's result.

    threshold: score of the check `injection` from which on a passage counts as an instruction.

    `repeated`: words of such a passage stand in the answer in the same order. The score grows from
    0.5 for six words to 0.9 for twenty, and is less where the answer speaks about the passage as
    an attack. `followed`: what the passage wants said ("reply with ...", "end with ...") or passed
    on (addresses, e-mail addresses, telephone numbers) stands in the answer and nowhere else in
    the call. Actions that leave no such trace, and retellings, are not found.
    """
    if not 0 < threshold <= 1:
        raise ValueError("threshold: over 0, to 1")
    finder = injection()

    def run(view: View) -> list[Finding]:
        texts = view.call.content.texts if view.call is not None else ()
        passages = [
            passage
            for text in texts
            if _untrusted(text)
            for passage in _instructions(finder, text, threshold)
        ]
        if not passages:
            return []
        trusted = [folded(text.text).text for text in texts if not _untrusted(text)]
        sources = [Source(passage) for passage in passages]
        orders = [order for passage in passages for order in _orders(passage)]
        orders = [order for order in orders if not any(order.text in text for text in trusted)]
        public = [Source(text) for text in trusted]
        found = []
        for part in view.texts:
            hits = {*_repeated(part, sources, public), *_followed(part, orders)}
            kept = without_overlaps(
                (hit for hit in hits if hit[3] >= FLOOR),
                rank=lambda hit: (-hit[3], hit[0] - hit[1]),
                span=lambda hit: (hit[0], hit[1]),
            )
            found += [
                Finding("obeyed", label, round(score, 4), Span(part.name, start, end))
                for start, end, label, score in kept
            ]
        return found

    def quick(view: View) -> list[Finding] | None:
        texts = view.call.content.texts if view.call is not None else ()
        return None if any(map(_untrusted, texts)) else []

    spec = Spec(
        name="obeyed",
        version=f"1/{finder.spec.version}",
        labels=(REPEATED, FOLLOWED),
        scope="call",
        window=WINDOW,
        floor=FLOOR,
        threshold=0.5,
        model=finder.spec.model,
        reads_beside=True,
    )
    return Detector(spec, run, finder.warm, quick)


def _untrusted(text: Text) -> bool:
    return text.role == "tool" or text.source == "tool" or text.source.startswith("image:")


def _instructions(finder: Detector, text: Text, threshold: float) -> Iterator[str]:
    """The passages that are instructions, with what follows each in the same paragraph."""
    for finding in finder.run(View(Stage.INPUT, (text,))):
        if finding.score >= threshold and isinstance(finding.where, Span):
            start, end = finding.where.start, finding.where.end
            stop = text.text.find("\n\n", end, end + LOOK_BEYOND)
            yield text.text[start : stop if stop >= 0 else end + LOOK_BEYOND]


Hit = tuple[int, int, str, float]


def _repeated(part: Text, sources: list[Source], public: list[Source]) -> Iterator[Hit]:
    text = folded(part.text)
    words = Words(text)
    said = {here for source in public for quote in source.quotes(words) for here, _ in quote.words}
    for source in sources:
        for quote in source.quotes(words):
            places = [here for here, _ in quote.words if here not in said]
            weight = words.weight(places)
            if weight < MIN_WORDS:
                continue
            score = min(0.9, 0.5 + 0.4 * (weight - MIN_WORDS) / 14)
            start, end = words.start(quote.first), words.start(quote.last)
            if _ABOUT.search(text.text, max(0, start - 200), start) or _ABOUT.search(
                text.text, end, end + 200
            ):
                score *= TOLD_ABOUT
            yield *words.span(quote.first, quote.last), REPEATED, score


def _orders(passage: str) -> Iterator[Order]:
    for match in _TO_SAY_QUOTED.finditer(passage):
        if wanted := _said(match[1]):
            yield Order(wanted, 0.9)
    for match in _TO_SAY_BARE.finditer(passage):
        wanted = _said(match[1])
        telling = [word for word in wanted.split() if word not in _FILLING]
        if len("".join(telling)) >= 4 and not _NOT_SAID.intersection(telling):
            shouted = match[1].strip().isupper()
            yield Order(wanted, 0.9 if shouted or len(wanted.split()) >= 3 else 0.6)
    for link in links(passage):
        yield Order(folded(link.url).text, 0.9)
    for match in _CONTACT.finditer(passage):
        yield Order(folded(match[0]).text, 0.8)


# Begin what is to be said about, not what is to be said.
_NOT_SAID = frozenset("previous instructions prompt system above below password key data".split())
_FILLING = frozenset("only just with the to user a an this that your in response reply".split())


def _said(text: str) -> str:
    return " ".join(folded(text).text.strip(" \t:;,.!?*_`()").split())


def _followed(part: Text, orders: list[Order]) -> Iterator[Hit]:
    text = folded(part.text)
    for order in orders:
        pattern = r"\s+".join(map(re.escape, order.text.split(" ")))
        edge = r"(?<!\w)" if order.text[:1].isalnum() else ""
        last = r"(?!\w)" if order.text[-1:].isalnum() else ""
        for match in re.finditer(f"{edge}{pattern}{last}", text.text):
            alone = len(match[0]) >= 0.8 * len(text.text.strip())
            yield *text.span(*match.span()), FOLLOWED, 1.0 if alone else order.weight
