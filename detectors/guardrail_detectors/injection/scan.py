"""One text, from its readings to scored spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

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
from guardrail_detectors.injection.linear import Linear, load_linear
from guardrail_detectors.injection.pieces import Chunk
from guardrail_detectors.injection.readings import Reading, readings
from guardrail_detectors.injection.signals import load_signals
from guardrail_detectors.injection.windows import passages

FEW = 4  # chunks; the highest of many reaches any score by chance
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
        found = [
            (candidate, judge.score(candidate.evidence, source))
            for candidate in self.candidates(text, typed)
        ]
        if self.encoder and found:
            found.sort(key=lambda pair: -pair[1])
            low, high = judge.sure
            unsure = [c for c, score in found if not typed or score >= low or c.evidence.obscured][
                :MOST_READ
            ]
            sure = typed and found[0][1] > high and len(found) <= FEW
            if unsure and not sure:
                read = self.read(unsure)
                scored = [(c, judge.score(c.evidence, source)) for c in read]
                found = scored + [pair for pair in found if pair[0] not in set(unsure)]
        return [(candidate.span, score) for candidate, score in found]

    def candidates(self, text: str, typed: bool) -> Iterator[Candidate]:
        """The chunks of all readings, with the evidence of patterns and the linear model."""
        for reading in readings(text, self.depth):
            yield from _chunks(reading, typed, self.linear())

    def read(self, candidates: list[Candidate]) -> list[Candidate]:
        """Candidates with the encoder's evidence."""
        logits = self.reader().logits([(c.chunk, c.place) for c in candidates])
        return [
            replace(c, evidence=replace(c.evidence, encoder=float(logit)))
            for c, logit in zip(candidates, logits, strict=True)
        ]


def _chunks(reading: Reading, typed: bool, linear_model: Linear) -> Iterator[Candidate]:
    text, cased = reading.text.text, reading.cased or reading.text
    chunks = list(load_pieces().chunks(cased.text, LIMIT))
    if not chunks:
        return
    found = list(passages(text, typed, obscured=reading.obscured))
    if reading.guessed:
        found = [passage for passage in found if passage[2] >= KNOWN]
        if not found:
            return
    windows = linear_model.windows(text, typed)
    # Both texts stand for the same original, so places are compared there.
    ends = zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)
    places = [reading.text.span(start, end) for start, end in ends]
    middles = np.array([(s + e) / 2 for s, e in places])
    bounds = [cased.span(chunk.start, chunk.end) for chunk in chunks]
    marks = [(reading.text.span(s, e), score) for s, e, score in found]
    whole = len(bounds) == 1 or reading.decoded
    place = UNREADABLE if reading.unreadable else TYPED if typed else TOOL
    for chunk, (start, end) in zip(chunks, bounds, strict=True):
        inside = windows.logits if whole else windows.logits[(middles >= start) & (middles <= end)]
        near = [m for m in marks if whole or (m[0][0] < end and m[0][1] > start)]
        span = (start, end)
        strongest = max(near, key=lambda mark: mark[1], default=None)
        linear = float((inside if len(inside) else windows.logits).max())
        if strongest is not None and strongest[1] >= 0.3:
            span = strongest[0]
        elif len(inside) and not reading.decoded:
            index = np.flatnonzero(windows.logits == linear)[0]
            span = places[index]
        yield Candidate(
            chunk,
            span,
            place,
            Evidence(
                max(-MOST, min(MOST, linear)),
                strongest[1] if strongest else 0.0,
                reading.obscured,
            ),
        )
