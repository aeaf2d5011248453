"""A view of a call against its pictures: claims are looked for, readings looked up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from guardrail.content import Call, Image, Text
from guardrail.detector import Stage, View
from guardrail.errors import NotRun
from guardrail.verdict import Finding, Span
from guardrail_detectors.entities.backend import Asked, Backend, Seen
from guardrail_detectors.entities.boxes import cited, in_pixels
from guardrail_detectors.entities.calibration import Calibration
from guardrail_detectors.entities.claims import Claim, claims, presumed
from guardrail_detectors.entities.fields import Placed, claims_of, is_structured
from guardrail_detectors.entities.grounding import prepared, unread
from guardrail_detectors.entities.language import foreign_script, is_english

NAME = "entities"
ABSENT, COLOUR, COUNT, PREMISE = "absent_entity", "wrong_colour", "wrong_count", "false_premise"
OUTSIDE, MISPLACED = "box_outside", "misplaced"
UNCHECKED, DISSIMILAR = "unchecked", "dissimilar"
MAX_CLAIMS = 200
_NOTES = {
    ABSENT: "this is not in the picture; leave it out",
    COLOUR: "the picture shows it in another colour",
    COUNT: "the picture shows another number of them",
    PREMISE: "this is not in the picture",
    OUTSIDE: "this box lies outside the picture",
    MISPLACED: "it is not inside the box given for it",
    "unread_quote": "this text does not stand in the picture",
    "unread_number": "this number or date does not stand in the picture",
    "unread_name": "this name does not stand in the picture",
}


@dataclass(frozen=True)
class Check:
    """What `entities` does with a view. `abstain` are the probabilities of presence between which
    it says nothing."""

    backend: Backend
    calibration: Calibration
    abstain: tuple[float, float]
    fields: frozenset[str]
    ignore: frozenset[str]
    read: bool
    heat: bool

    def run(self, view: View) -> list[Finding]:
        """The findings of a view; raises NotRun for a language that cannot be read."""
        call = view.call or Call()
        images = [*call.content.images, *(i for i in view.images if i not in call.content.images)]
        if not images:
            return []
        if view.stage is Stage.INPUT:
            asked = [t for t in view.texts if t.role == "user" and t.source == "typed"]
            return [f for text in asked for f in self._premises(text, images)]
        read = [t.text for t in call.content.texts if t.source.startswith("image:")]
        found: list[Finding] = []
        for text in view.texts:
            if text.source == "model" and text.text.strip():
                found += self._answer(text, images, read)
        return found

    def _premises(self, text: Text, images: Sequence[Image]) -> Iterator[Finding]:
        if foreign_script(text.text, self.backend.scripts) or not is_english(text.text):
            raise NotRun("the question is in a language whose claims are not read here")
        held = [Placed(claim) for claim in presumed(text.text)]
        yield from self._looked_for(text, held, images, PREMISE)

    def _answer(self, text: Text, images: Sequence[Image], read: Sequence[str]) -> list[Finding]:
        said = text.text
        if script := foreign_script(said, self.backend.scripts):
            raise NotRun(f"the model's text encoder does not know the script {script}")
        if is_structured(said):
            held = claims_of(said, self.fields)
        elif not is_english(said):
            raise NotRun("the answer is in a language whose claims are not read here")
        else:
            held = [Placed(claim) for claim in claims(said)]
        found = list(self._looked_for(text, held[:MAX_CLAIMS], images, ABSENT))
        found += self._boxes(text, images)
        if self.read:
            known = prepared(read)
            found += [
                _finding(one.label, one.score, text, (one.start, one.end))
                for one in unread(said, known)
            ]
        likeness = [self.backend.similarity(image, said) for image in images]
        best = max((one for one in likeness if one is not None), default=None)
        if best is not None:
            found.append(Finding(NAME, DISSIMILAR, 1 - min(1.0, max(0.0, best))))
        return found

    def _looked_for(
        self, text: Text, held: Sequence[Placed], images: Sequence[Image], label: str
    ) -> Iterator[Finding]:
        held = [one for one in held if self.ignore.isdisjoint(one.claim.tails)]
        if not held:
            return
        asked = [_asked(one.claim) for one in held]
        seen = [self.backend.look(image, asked) for image in images]
        unjudged = 0
        for place, one in enumerate(held):
            chances = [
                (self._chance("presence", looked[place].presence), looked[place]) for looked in seen
            ]
            judged = [(chance, look) for chance, look in chances if chance is not None]
            if not judged or self.abstain[0] < max(judged, key=_first)[0] < self.abstain[1]:
                unjudged += 1
                continue
            chance, look = max(judged, key=_first)
            claim = one.claim
            found = _finding(label, 1 - chance, text, (claim.start, claim.end))
            yield replace(found, heat=look.heat) if self.heat else found
            if chance >= self.abstain[1] and label == ABSENT:
                yield from self._details(text, claim, look)
                if one.box is not None and len(images) == 1:
                    yield from self._in_box(text, one, images[0])
        if unjudged:
            yield Finding(NAME, UNCHECKED, unjudged / len(held))

    def _details(self, text: Text, claim: Claim, seen: Seen) -> Iterator[Finding]:
        for label, features, where in (
            (COLOUR, seen.colour, claim.colour_at),
            (COUNT, seen.count, claim.count_at),
        ):
            chance = self._chance("colour" if label == COLOUR else "count", features)
            if chance is not None and where is not None:
                yield _finding(label, 1 - chance, text, where)

    def _boxes(self, text: Text, images: Sequence[Image]) -> Iterator[Finding]:
        for box in cited(text.text):
            inside = any(in_pixels(box.numbers, i.picture.width, i.picture.height) for i in images)
            yield _finding(OUTSIDE, 0.0 if inside else 1.0, text, (box.start, box.end))

    def _in_box(self, text: Text, placed: Placed, image: Image) -> Iterator[Finding]:
        assert placed.box is not None
        area = in_pixels(placed.box, image.picture.width, image.picture.height)
        if area is None:
            return
        margin = max(8, (area[2] - area[0]) // 8), max(8, (area[3] - area[1]) // 8)
        around = (
            max(0, area[0] - margin[0]),
            max(0, area[1] - margin[1]),
            min(image.picture.width, area[2] + margin[0]),
            min(image.picture.height, area[3] + margin[1]),
        )
        out = BytesIO()
        image.picture.rgb().crop(around).save(out, "PNG")
        part = replace(image, data=out.getvalue())
        (seen,) = self.backend.look(part, [_asked(placed.claim)])
        chance = self._chance("presence", seen.presence)
        if chance is not None and not self.abstain[0] < chance < self.abstain[1]:
            where = (placed.claim.start, placed.claim.end)
            yield _finding(MISPLACED, 1 - chance, text, where)

    def _chance(self, asked: str, features: tuple[float, ...] | None) -> float | None:
        if features is None or asked not in self.calibration.maps:
            return None
        logistic = self.calibration[asked]
        if len(logistic.weights) != len(features):
            raise NotRun(f"the calibration of {asked} is for another backend")
        return logistic(features)


def _asked(claim: Claim) -> Asked:
    return Asked(claim.tails, claim.colours, claim.count)


def _first(pair: tuple[float, Seen]) -> float:
    return pair[0]


def _finding(label: str, score: float, text: Text, where: tuple[int, int]) -> Finding:
    return Finding(NAME, label, round(score, 4), Span(text.name, *where), _NOTES[label])
