"""Attacks by how text stands in a picture: labels that lie, and lists to be completed."""

from __future__ import annotations

from guardrail.content import Image, Text
from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Area, Finding, Span
from guardrail_detectors.typographic.labels import find_labels
from guardrail_detectors.typographic.lists import find_list, list_score

FLOOR = 0.2
_PLAIN = ("image:ocr", "image:turned", "image:faint")


def typographic() -> Detector:
    """Finds two attacks that work without any instruction.

    typographic_label: a written name of a thing on a flat patch over a photograph (Goh et al.,
        "Multimodal Neurons in Artificial Neural Networks", 2021: "iPod" on an apple). Whether
        the thing is there is not looked at, so a shop's sign can be meant.
    typographic_jailbreak: a heading and an empty numbered list, for the model to complete (Gong
        et al., FigStep, arXiv 2311.05608). The form alone scores 0.35; a prompt that asks to
        fill it in and what the heading is about raise it.
    """

    def run(view: View) -> list[Finding]:
        prompt = " ".join(text.text for text in view.texts if text.origin is None)
        if not prompt and view.call is not None:
            typed = view.call.content.texts
            prompt = " ".join(text.text for text in typed if text.origin is None)
        found: list[Finding] = []
        for text in view.texts:
            if text.source in _PLAIN and (place := find_list(text.text)) is not None:
                score = list_score(place.heading, prompt)
                span = Span(text.name, place.start, place.end)
                found.append(Finding("typographic", "typographic_jailbreak", score, span))
        for image in view.images:
            found += _labels(image, view.texts)
        return found

    spec = Spec(
        name="typographic",
        version="1",
        labels=("typographic_label", "typographic_jailbreak"),
        reads=frozenset({"text", "image"}),
        scope="call",
        floor=FLOOR,
        threshold=0.5,
        model="rules 1",
    )
    return Detector(spec, run)


def _labels(image: Image, texts: tuple[Text, ...]) -> list[Finding]:
    read = [text for text in texts if text.origin == image.name and text.source == "image:ocr"]
    return [
        Finding("typographic", "typographic_label", label.score, Area(image.name, (label.box,)))
        for text in read
        for label in find_labels(image.picture.rgb(), text)
        if label.score >= FLOOR
    ]
