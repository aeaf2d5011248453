"""Prompt injection, by what it says and where it stands.

A text is normalised and decoded (`readings`). Each reading is searched for known wordings
(`signals`, `windows`) and scored by a linear model over its sentences (`linear`); where that is
not sure, or the text came from a picture or a tool, an encoder reads it too (`encoder`). The
evidence of each chunk of sentences makes its score (`judge`). Everything runs in linear time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from guardrail.content import Text
from guardrail.detector import Detector, Spec, View
from guardrail.errors import NotRun
from guardrail.verdict import Finding, Span
from guardrail_detectors.overlaps import without_overlaps

if TYPE_CHECKING:
    from guardrail_detectors.injection.scan import Scan

FLOOR = 0.00001
SHOWN = 0.2  # below this only the highest score of a part is returned
MAX_CHARS = 1_000_000


def injection(*, decode: bool = True, depth: int = 3, encoder: bool = True) -> Detector:
    """Finds text that tries to give the model instructions it should not take.

    decode: also read what is encoded (base64, hex, rot13, URL and HTML escapes ...), reversed,
        spaced out or written in look-alike letters.
    depth: how deep encodings inside encodings are followed, from 1 to 3.
    encoder: let the encoder read what the linear model is not sure of, and all text of pictures
        and tools: far better, at up to 60 ms for 1 kB on one core.

    An instruction to the assistant is ordinary where the user typed it and an attack where it
    stands in a picture or in a tool's result, so the part's source counts. A finding's span
    covers the sentences that made the score, in the original text. Raises NotRun for a text of
    more than a million characters.
    """
    if not 1 <= depth <= 3:
        raise ValueError("depth: from 1 to 3")
    followed = depth if decode else 0

    def run(view: View) -> list[Finding]:
        scan = _scan(followed, encoder)
        return [finding for part in view.texts for finding in _findings(part, scan)]

    def quick(view: View) -> list[Finding] | None:
        if len(view.texts) != 1:
            return None
        (part,) = view.texts
        found = _scan(followed, encoder).quick(part.text, source_of(part))
        return None if found is None else _shown(part, found)

    spec = Spec(
        name="injection",
        version="10",
        labels=("injection",),
        floor=FLOOR,
        threshold=0.5,
        model="patterns 3, linear 8" + (", encoders 8" if encoder else ""),
    )
    return Detector(spec, run, lambda: _scan(followed, encoder).load(), quick)


@lru_cache
def _scan(depth: int, encoder: bool) -> Scan:
    from guardrail_detectors.injection.scan import Scan

    return Scan(depth, encoder)


def _findings(part: Text, scan: Scan) -> list[Finding]:
    if len(part.text) > MAX_CHARS:
        raise NotRun(f"{part.name}: over {MAX_CHARS} characters; split it, or let less in")
    return _shown(part, scan(part.text, source_of(part)))


def _shown(part: Text, found: list[tuple[tuple[int, int], float]]) -> list[Finding]:
    best: dict[tuple[int, int], float] = {}
    for span, score in found:
        best[span] = max(best.get(span, 0.0), score)
    kept = without_overlaps(best.items(), rank=lambda item: -item[1], span=lambda item: item[0])
    highest = max((score for _, score in kept), default=0.0)
    return [
        Finding("injection", "injection", round(score, 5), Span(part.name, *span))
        for span, score in kept
        if score >= SHOWN or (score == highest and score >= FLOOR)
    ]


def source_of(part: Text) -> str:
    """The kind of source whose thresholds a part is held to: typed, tool or image."""
    if part.source.startswith("image"):
        return "image"
    return "typed" if part.source in ("typed", "model") and part.role != "tool" else "tool"
