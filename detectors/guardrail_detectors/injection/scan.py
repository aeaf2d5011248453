"""One text, from its readings to scored spans."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat
from math import inf

from guardrail_detectors.injection.encoder import (
    LIMIT,
    TOOL,
    TYPED,
    UNREADABLE,
    Encoder,
    load_encoder,
    load_pieces,
)
from guardrail_detectors.injection.judge import Evidence, load_judge
from guardrail_detectors.injection.linear import Linear, Windows, load_linear
from guardrail_detectors.injection.misread import set_right
from guardrail_detectors.injection.pieces import Chunk, NewWords, sentences
from guardrail_detectors.injection.readings import Reading, readings
from guardrail_detectors.injection.signals import load_signals
from guardrail_detectors.injection.windows import passages
from guardrail_detectors.injection.wraps import unwrapped
from guardrail_detectors.normalise import folded, utf8

FEW = 4  # chunks; the highest of many reaches any score by chance
# What is read at once: 2 ms of work, and most of what people type.
QUICK_BYTES = 2_048
QUICK_SENTENCES = 32
QUICK_READINGS, QUICK_READ = 2, 3_072  # readings, and characters of them together
QUICK_NEW = 64  # characters of words that were never split into pieces

_ENDS = ".!?\n\u3002\uff01\uff1f\u0964"  # what sentences end with

MOST_READ = 24  # chunks of one text that the encoder reads: those with the highest scores so far

KNOWN = 0.6  # score of a wording that counts as an attack where somebody took pains to hide it
MOST = 4.0  # of the linear model's logit: what is repeated adds up

Spans = tuple[int, int]


@dataclass(frozen=True)
class Candidate:
    """A chunk of a reading, with the part of the original that its best window covers and the
    place that the encoder is told."""

    chunk: Chunk
    span: Spans
    place: str
    evidence: Evidence


@dataclass(frozen=True)
class Scan:
    """Scores the chunks of a text. `depth` is how far encodings are followed, 0 for not.

    `linear` and `reader` load the models; training looks through others than the shipped ones.
    """

    depth: int
    encoder: bool = True
    linear: Callable[[], Linear] = load_linear
    reader: Callable[[], Encoder] = load_encoder

    def load(self) -> None:
        """Load what the first run would have to load."""
        for loader in (load_signals, self.linear, load_judge, load_pieces):
            loader()
        if self.encoder:
            self.reader()

    def __call__(self, text: str, source: str) -> list[tuple[Spans, float]]:
        """Spans of the text with their scores; `source` is typed, tool or image."""
        judge, typed = load_judge(), source == "typed"
        found = _judged(self.candidates(text, source), source)
        if unsure := self._unsure(found, typed):
            read = self.read(unsure)
            scored = [(c, judge.score(c.evidence, source)) for c in read]
            found = scored + [pair for pair in found if pair[0] not in set(unsure)]
        return [(candidate.span, score) for candidate, score in found]

    def quick(self, text: str, source: str) -> list[tuple[Spans, float]] | None:
        """The same for what is quick to read; None where it is not, or needs the encoder."""
        typed = source == "typed"
        if (self.encoder and not typed) or len(text) > QUICK_BYTES or len(utf8(text)) > QUICK_BYTES:
            return None
        if sum(map(text.count, _ENDS)) > QUICK_SENTENCES and _many(text):
            return None
        found: list[Candidate] = []
        left = QUICK_READ
        for number, reading in enumerate(readings(unwrapped(text), self.depth)):
            left -= len((reading.cased or reading.text).text)
            if number == QUICK_READINGS or left < 0:
                return None
            try:
                found += _chunks(reading, typed, self.linear(), QUICK_NEW)
            except NewWords:
                return None
        judged = _judged(found, source)
        if self._unsure(judged, typed):
            return None
        return [(candidate.span, score) for candidate, score in judged]

    def candidates(self, text: str, source: str) -> Iterator[Candidate]:
        """The chunks of all readings, with the evidence of patterns and the linear model."""
        text, linear = unwrapped(text), self.linear()
        for reading in readings(text, self.depth):
            yield from _chunks(reading, source == TYPED, linear)
        if self.depth and source == "image" and (meant := set_right(folded(text))) is not None:
            yield from _chunks(Reading(meant, guessed=True), False, linear)

    def _unsure(self, found: list[tuple[Candidate, float]], typed: bool) -> list[Candidate]:
        """The chunks that the encoder reads, of all by their scores."""
        low, high = load_judge().sure
        if not self.encoder or (typed and found and found[0][1] > high and len(found) <= FEW):
            return []
        unsure = [c for c, score in found if not typed or score >= low or c.evidence.obscured]
        return unsure[:MOST_READ]

    def read(self, candidates: list[Candidate]) -> list[Candidate]:
        """Candidates with the encoder's evidence."""
        logits = self.reader().logits([(c.chunk, c.place) for c in candidates])
        return [
            replace(c, evidence=replace(c.evidence, encoder=float(logit)))
            for c, logit in zip(candidates, logits, strict=True)
        ]


def _many(text: str) -> bool:
    return next(islice(sentences(text), QUICK_SENTENCES, None), None) is not None


def _judged(found: Iterable[Candidate], source: str) -> list[tuple[Candidate, float]]:
    """Candidates with their scores, the highest first."""
    judge = load_judge()
    scored = [(candidate, judge.score(candidate.evidence, source)) for candidate in found]
    return sorted(scored, key=lambda pair: -pair[1])


def _within(windows: Windows, reading: Reading, bounds: Sequence[Spans]) -> Iterator[list[int]]:
    """For each stretch of the original, the windows that have their middle in it."""
    if reading.text.spans is None:
        twice = (windows.starts + windows.ends).tolist()
    else:
        pairs = zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)
        twice = [sum(reading.text.span(start, end)) for start, end in pairs]
    order = sorted(range(len(twice)), key=twice.__getitem__)
    middles = [twice[number] for number in order]
    for start, end in bounds:
        yield sorted(order[bisect_left(middles, 2 * start) : bisect_right(middles, 2 * end)])


def _chunks(
    reading: Reading, typed: bool, linear_model: Linear, most_new: float = inf
) -> Iterator[Candidate]:
    text, cased = reading.text.text, reading.cased or reading.text
    chunks = list(load_pieces().chunks(cased.text, LIMIT, most_new))
    if not chunks:
        return
    found = list(passages(text, typed, obscured=reading.obscured))
    if reading.guessed:
        found = [passage for passage in found if passage[2] >= KNOWN]
        if not found:
            return
    windows = linear_model.windows(text, typed)
    logits = windows.logits.tolist()
    bounds = [cased.span(chunk.start, chunk.end) for chunk in chunks]
    marks = [(reading.text.span(s, e), score) for s, e, score in found]
    whole = bounds[0] == bounds[-1]  # as where all of it was decoded from one place
    every = range(len(logits))
    near_by = repeat(every) if whole else _within(windows, reading, bounds)
    place = UNREADABLE if reading.unreadable else TYPED if typed else TOOL
    for chunk, (start, end), inside in zip(chunks, bounds, near_by, strict=False):
        near = [m for m in marks if whole or (m[0][0] < end and m[0][1] > start)]
        span = (start, end)
        strongest = max(near, key=lambda mark: mark[1], default=None)
        best = max(inside or every, key=logits.__getitem__)
        if strongest is not None and strongest[1] >= 0.3:
            span = strongest[0]
        elif inside and not reading.decoded:
            span = reading.text.span(int(windows.starts[best]), int(windows.ends[best]))
        yield Candidate(
            chunk,
            span,
            place,
            Evidence(
                max(-MOST, min(MOST, logits[best])),
                strongest[1] if strongest else 0.0,
                reading.obscured,
            ),
        )
