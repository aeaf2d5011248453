"""Prompt injection, by what it says: patterns over every way a text can be read.

A text is normalised and decoded (`readings`), each reading is searched for signals (`signals`),
and the signals that stand together within a few sentences make the score (`windows`). Everything
runs in linear time.
"""

from __future__ import annotations

from guardrail.content import Text
from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.injection.readings import readings
from guardrail_detectors.injection.signals import load_signals
from guardrail_detectors.injection.windows import passages
from guardrail_detectors.overlaps import without_overlaps

FLOOR = 0.2


def injection(*, decode: bool = True, depth: int = 3) -> Detector:
    """Finds text that tries to give the model instructions it should not take.

    decode: also read what is encoded (base64, hex, rot13, URL and HTML escapes ...), reversed,
        spaced out or written in look-alike letters.
    depth: how deep encodings inside encodings are followed, from 1 to 3.

    An instruction to the assistant is ordinary where the user typed it and an attack where it
    stands in a picture or in a tool's result, so the part's source counts. A finding's span
    covers the sentences that made the score, in the original text.
    """
    if not 1 <= depth <= 3:
        raise ValueError("depth: from 1 to 3")

    def run(view: View) -> list[Finding]:
        found = []
        for part in view.texts:
            found += _findings(part, depth if decode else 0)
        return found

    spec = Spec(
        name="injection",
        version="1",
        labels=("injection",),
        floor=FLOOR,
        threshold=0.5,
        model="patterns 1",
    )
    return Detector(spec, run, load_signals)


def _findings(part: Text, depth: int) -> list[Finding]:
    trusted = part.source in ("typed", "model") and part.role != "tool"
    best: dict[tuple[int, int], float] = {}
    for reading in readings(part.text, depth):
        for start, end, score in passages(reading.text.text, trusted, obscured=reading.obscured):
            if score >= FLOOR:
                span = reading.text.span(start, end)
                best[span] = max(best.get(span, 0.0), score)
    kept = without_overlaps(best.items(), rank=lambda item: -item[1], span=lambda item: item[0])
    return [
        Finding("injection", "injection", round(score, 4), Span(part.name, *span))
        for span, score in kept
    ]
