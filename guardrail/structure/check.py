"""The check that holds answers to a shape."""

from __future__ import annotations

import re
from collections.abc import Sequence

from guardrail.content import Text
from guardrail.detector import Detector, Spec, View
from guardrail.structure.progress import Progress
from guardrail.structure.shape import LABELS, Reading, Shape
from guardrail.verdict import Finding

CALLED = "output/called"  # the name of a text that is such arguments
_ASIDE = re.compile(r"(^|/)(reasoning_content|reasoning|thinking|signature)$")


def schema_detector(shape: Shape, *, mend: bool = True) -> Detector:
    """Finds answers that do not have a shape, with a note for each problem: where and why.

    Labels: "invalid_json", "invalid_value", "cut_off", "refused", and, which acts only where a
    policy names it, "mended": it fits once fences, prose and the like are taken off. Every text of
    the answer is looked at, the model's reasoning aside. Without `mend` only exact JSON passes.
    """

    def run(view: View) -> list[Finding]:
        return [
            finding
            for text in documents_in(view.texts)
            for finding in _findings(read_text(shape, text, mend=mend))
        ]

    def warm() -> None:
        shape.read("{}")

    by_name = frozenset({"mended"})
    spec = Spec("schema", "1", LABELS, scope="call", by_name=by_name)
    return Detector(spec, run, warm)


def documents_in(texts: Sequence[Text]) -> Sequence[Text]:
    """The texts that must have the shape: the arguments of the tool call that stands for the
    answer, else all but the model's reasoning."""
    called = [text for text in texts if text.name == CALLED]
    return called or [text for text in texts if not _ASIDE.search(text.name)]


def read_text(shape: Shape, text: Text, *, mend: bool = True) -> Reading:
    """An answer under a shape; what makes a broken one hopeless is named before its end."""
    if text.ended == "refused":
        return Reading(label="refused")
    reading = shape.read(text.text, cut_off=text.ended == "cut_off", mend=mend)
    if reading.label == "invalid_json":
        progress = Progress(shape)
        progress.feed(text.text)
        if progress.problem is not None:
            return Reading(label=progress.label, problems=(progress.problem,))
    return reading


def _findings(reading: Reading) -> list[Finding]:
    if reading.label is None:
        return []
    if reading.label == "mended":
        note = f"only dressed up: {', '.join(reading.slips)}"
        return [Finding("schema", "mended", 1.0, note=note)]
    if reading.label == "refused":
        return [Finding("schema", "refused", 1.0, note="the model refused to answer")]
    return [Finding("schema", reading.label, 1.0, note=str(one)) for one in reading.problems]
