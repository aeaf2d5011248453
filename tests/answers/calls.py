"""An answer beside its call, as the checks of answers get it."""

from __future__ import annotations

from guardrail import Call, Content, Detector, Finding, Span, Stage, Text, View


def view(
    answer: str,
    *,
    system: str | None = None,
    prompt: str = "When are you open?",
    tool: str | None = None,
    picture: str | None = None,
) -> View:
    parts = [Text(prompt)]
    if system is not None:
        parts.insert(0, Text(system, name="system", role="system"))
    if tool is not None:
        parts.append(Text(tool, name="tool", role="tool", source="tool"))
    if picture is not None:
        parts.append(Text(picture, name="images/0#ocr", source="image:ocr", origin="images/0"))
    said = Text(answer, name="output", role="assistant", source="model")
    return View(Stage.OUTPUT, (said,), Call(Content(tuple(parts))))


def findings(detector: Detector, answer: str, **beside: str) -> list[Finding]:
    found = list(detector.run(view(answer, **beside)))
    for finding in found:
        assert isinstance(finding.where, Span)
        assert finding.where.part == "output"
        assert 0 <= finding.where.start < finding.where.end <= len(answer)
        assert 0 <= finding.score <= 1
        assert finding.label in detector.spec.labels
    return found


def best(detector: Detector, label: str, answer: str, **beside: str) -> float:
    scores = [f.score for f in findings(detector, answer, **beside) if f.label == label]
    return max(scores, default=0.0)


def covered(detector: Detector, answer: str, **beside: str) -> list[str]:
    """The pieces of the answer that are found."""
    places = [finding.where for finding in findings(detector, answer, **beside)]
    return [answer[p.start : p.end] for p in places if isinstance(p, Span)]
