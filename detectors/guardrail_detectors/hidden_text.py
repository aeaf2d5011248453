"""That text was hidden in a picture, whatever it says."""

from __future__ import annotations

from collections.abc import Mapping

from guardrail.content import Text
from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span

# By how the text was found: how sure it is that somebody hid it. White letters on transparent
# ground may be a logo, and a thumbnail may be left from before the picture was cut.
_SCORES: Mapping[str, float] = {
    "image:scaled": 0.9,
    "image:hidden": 0.8,
    "image:alpha": 0.4,
    "image:thumbnail": 0.4,
}
LETTERS = 12  # fewer may be grain that looks like letters


def hidden_text() -> Detector:
    """Finds text that people overlook in a picture and a model may read.

    It looks at how a text was found, not at what it says: white on white or faint (`hidden`),
    only after scaling (`scaled`), only on another background (`alpha`), or in a thumbnail that
    shows something else (`thumbnail`). Those extractors must be in the policy. Texts of fewer
    than 12 letters are passed over.
    """

    def run(view: View) -> list[Finding]:
        return [
            Finding("hidden_text", "hidden_text", score, Span(text.name, 0, len(text.text)))
            for text in view.texts
            if (score := _score(text))
        ]

    labels = ("hidden_text",)
    return Detector(Spec(name="hidden_text", version="1", labels=labels, inline=True), run)


def _score(text: Text) -> float:
    letters = sum(char.isalpha() for char in text.text)
    return _SCORES.get(text.source, 0.0) if letters >= LETTERS else 0.0
