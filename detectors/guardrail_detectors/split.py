"""Instructions that are split over several parts of a call, so that no part says anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardrail.content import Content, Text
from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.injection import injection

EDGE = 300  # characters kept of either end of a long part
MOST = 12_000  # characters joined
MARGIN = 0.1  # by which the whole must score higher than its parts
_OTHER_VIEWS = ("image:faint", "image:scaled", "image:alpha", "image:metadata", "image:thumbnail")


def split_injection() -> Detector:
    """Joins the texts of a call and looks for what `injection` finds only in the whole.

    Joined are: what stands in the pictures, from one to the next; what the user typed, from turn
    to turn; and all of it in the order in which the model gets it. Pictures joined to each other
    are judged as pictures are, typed texts as typed; all of it as both, and the lower score counts,
    since a picture may well show what nobody should type. A finding is placed in the part that
    holds most of it. Of long parts, the first and last 300 characters are looked at.
    A rule with `when: [input.image]` joins typed text, too, but only in calls with pictures.
    """
    alone = injection()

    def run(view: View) -> list[Finding]:
        best: dict[str, Finding] = {}
        for joined in _joined(view):
            readings = [
                [f for f in alone.run(View(view.stage, (text,))) if joined.crosses(f)]
                for text in joined.texts
            ]
            if not all(readings):
                continue
            crossing = readings[0]
            most = min(max(finding.score for finding in found) for found in readings)
            apart = max((f.score for f in alone.run(View(view.stage, joined.parts))), default=0.0)
            for finding in crossing:
                score = min(finding.score, most)
                if score >= apart + MARGIN:
                    where = joined.place(finding)
                    made = Finding("split_injection", "injection", score, where)
                    if where.part not in best or best[where.part].score < made.score:
                        best[where.part] = made
        return list(best.values())

    spec = Spec(
        name="split_injection",
        version=f"2 {alone.spec.version}",
        labels=("injection",),
        scope="call",
        floor=alone.spec.floor,
        threshold=alone.spec.threshold,
        model=alone.spec.model,
    )
    return Detector(spec, run, alone.warm)


@dataclass(frozen=True)
class _Joined:
    """Several parts as one text, in each source that it is judged in. `starts` says where each
    begins in it."""

    texts: tuple[Text, ...]
    parts: tuple[Text, ...]
    starts: tuple[int, ...]

    def crosses(self, finding: Finding) -> bool:
        """Whether a finding lies in more than one part."""
        return isinstance(finding.where, Span) and len(self._shares(finding.where)) > 1

    def place(self, finding: Finding) -> Span:
        """The part that holds most of a finding, as a whole."""
        assert isinstance(finding.where, Span)
        shares = self._shares(finding.where)
        part = self.parts[max(shares, key=lambda index: shares[index])]
        return Span(part.name, 0, len(part.text))

    def _shares(self, where: Span) -> dict[int, int]:
        ends = (*self.starts[1:], len(self.texts[0].text))
        shares = {
            index: min(where.end, end) - max(where.start, start)
            for index, (start, end) in enumerate(zip(self.starts, ends, strict=True))
        }
        return {index: share for index, share in shares.items() if share > 1}


def _joined(view: View) -> Iterator[_Joined]:
    texts = _in_order(view)
    pictures = [text for text in texts if text.origin is not None]
    typed = [text for text in texts if text.origin is None and text.role == "user"]
    everything = [text for text in texts if text.role in ("user", "tool")]
    seen: set[tuple[str, ...]] = set()
    for parts in (pictures, typed, everything):
        names = tuple(part.name for part in parts)
        if len(parts) > 1 and names not in seen:
            seen.add(names)
            yield _join(parts)


def _in_order(view: View) -> Sequence[Text]:
    """The texts of the call, those of a picture where the picture stands."""
    content = view.call.content if view.call else Content(view.texts)
    order = {part.name: index for index, part in enumerate(content.parts)}
    texts = {text.name: text for text in (*content.texts, *view.texts)}
    kept = [t for t in texts.values() if t.source not in _OTHER_VIEWS and t.text.strip()]
    return sorted(kept, key=lambda text: order.get(text.origin or text.name, len(order)))


def _join(parts: Sequence[Text]) -> _Joined:
    pieces: list[str] = []
    starts: list[int] = []
    length = 0
    for part in parts:
        if length >= MOST:
            break
        text = (
            part.text
            if len(part.text) <= 2 * EDGE
            else f"{part.text[:EDGE]}\n\n{part.text[-EDGE:]}"
        )
        starts.append(length)
        pieces.append(text)
        length += len(text) + 1
    sources = {"typed" if part.origin is None else "image:ocr" for part in parts}
    joined = tuple(Text(" ".join(pieces), "*", source=source) for source in sorted(sources))
    return _Joined(joined, tuple(parts[: len(pieces)]), tuple(starts))
