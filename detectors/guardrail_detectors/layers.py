"""Whether the pages of a PDF show what their text says, and say what they show.

A model may be given the text of a PDF, its pictures, or both, and a person sees only the pictures.
Text beneath a page that cannot be seen on it (white on white, off the page, under a picture) is
where instructions hide; text that only the picture shows escapes whoever reads the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

from guardrail.content import Text
from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span

GRAM = 3  # characters that are compared together
LEAST = 8  # letters and digits in a line, below which it is not compared: reading is not exact
LINE_WORDS = 12

_WORD = re.compile(r"\S+")


def layers() -> Detector:
    """Compares the text beneath each page of a PDF with what is read in its picture.

    Labels: `layer_only` for text that cannot be seen, `picture_only` for text that is seen but
    not in the text beneath, `no_layer` for text on a page that has none beneath (a scan). The
    score is the share of a line's three-letter pieces that the other side lacks, so that single
    letters read wrongly count for little.
    """
    return Detector(
        Spec(
            name="layers",
            version="1",
            labels=("layer_only", "picture_only", "no_layer"),
            scope="call",
            sources=("pdf:text", "image:page:"),
            threshold=0.7,
            floor=0.3,
            by_name=frozenset({"no_layer"}),
            window=0,
        ),
        _run,
    )


def _run(view: View) -> Sequence[Finding]:
    beneath: dict[str, list[Text]] = defaultdict(list)
    shown: dict[str, list[Text]] = defaultdict(list)
    for text in view.texts:
        if text.origin is not None:
            (beneath if text.source == "pdf:text" else shown)[text.origin].append(text)
    findings: list[Finding] = []
    for page in beneath.keys() | shown.keys():
        findings += _missing(beneath[page], shown[page], "layer_only")
        label = "picture_only" if beneath[page] else "no_layer"
        findings += _missing(shown[page], beneath[page], label)
    return findings


def _missing(texts: Sequence[Text], others: Sequence[Text], label: str) -> Iterator[Finding]:
    """The lines of the texts that the others lack."""
    there = _grams("".join(_plain(other.text) for other in others))
    for text in texts:
        for start, end in _lines(text.text):
            line = _plain(text.text[start:end])
            if len(line) < LEAST:
                continue
            grams = _grams(line)
            score = len(grams - there) / len(grams)
            yield Finding("layers", label, round(score, 4), Span(text.name, start, end))


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Lines, cut after so many words, so that a hidden sentence is not lost in a long one."""
    start = 0
    for line in text.splitlines(keepends=True):
        words = list(_WORD.finditer(line))
        for first in range(0, len(words), LINE_WORDS):
            last = words[min(first + LINE_WORDS, len(words)) - 1]
            yield start + words[first].start(), start + last.end()
        start += len(line)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, folded))


def _grams(text: str) -> set[str]:
    return {text[at : at + GRAM] for at in range(max(1, len(text) - GRAM + 1))}
