"""That text was hidden in a picture, whatever it says."""

from __future__ import annotations

import re
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
LETTERS, WORDS = 12, 4  # fewer may be grain that looks like letters, or a watermark
# A name all over the paper of a card: the share of three-letter pieces that differ from each
# other, and how many make a text of their own however often it stands there.
SHARE, PIECES = 0.3, 40
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]{2,}")


def hidden_text() -> Detector:
    """Finds text that people overlook in a picture and a model may read.

    It looks at how a text was found, not at what it says: white on white or faint (`hidden`),
    only after scaling (`scaled`), only on another background (`alpha`), or in a thumbnail that
    shows something else (`thumbnail`). Those extractors must be in the policy. A text needs
    four words that differ and twelve letters in them: a watermark is passed over.
    """

    def run(view: View) -> list[Finding]:
        return [
            Finding("hidden_text", "hidden_text", score, Span(text.name, 0, len(text.text)))
            for text in view.texts
            if (score := _score(text))
        ]

    labels = ("hidden_text",)
    return Detector(Spec(name="hidden_text", version="2", labels=labels, inline=True), run)


def _score(text: Text) -> float:
    if text.source not in _SCORES:
        return 0.0
    words = _WORD.findall(text.text.casefold())
    letters = "".join(words)
    pieces = {letters[at : at + 3] for at in range(len(letters) - 2)}
    enough = len(set(words)) >= WORDS and sum(map(len, set(words))) >= LETTERS
    varied = len(pieces) >= min(PIECES, SHARE * len(letters))
    return _SCORES[text.source] if enough and varied else 0.0
