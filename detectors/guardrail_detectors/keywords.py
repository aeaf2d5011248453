"""Lists of words and phrases, for policy authors."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.normalise import CodePoints, folded, utf8

if TYPE_CHECKING:
    import re2


def keywords(
    *,
    words: list[str] | None = None,
    file: str | None = None,
    label: str = "keyword",
    whole_words: bool = True,
) -> Detector:
    """Finds words and phrases from a list, whatever their case, accents and width.

    words: the words and phrases; white space in a phrase fits any white space.
    file: a text file with one of them a line, beside those in `words`; # begins a comment.
    label: the category of a finding.
    whole_words: a word does not count inside a longer one (scripts without spaces excepted).

    Raises ValueError where the list is empty or the file cannot be read.
    """
    listed = [*(words or ()), *(_lines(file) if file else ())]
    phrases = sorted({" ".join(folded(word).text.split()) for word in listed} - {""})
    if not phrases:
        raise ValueError("words: the list is empty; give words, or a file with one a line")
    spec = Spec(
        name="keywords",
        version=f"2:{_digest(phrases)}",
        labels=(label,),
        inline=len(phrases) < 1000,
        window=max(map(len, phrases)) + 1,
    )

    def run(view: View) -> list[Finding]:
        pattern = _compile(tuple(phrases))
        found = []
        for part in view.texts:
            text = folded(part.text)
            for first, last in _matches(pattern, text.text, whole_words):
                start, end = text.span(first, last)
                found.append(Finding("keywords", label, 1.0, Span(part.name, start, end)))
        return found

    return Detector(spec, run, lambda: _compile(tuple(phrases)))


def _lines(file: str) -> list[str]:
    try:
        text = Path(file).read_text("utf-8")
    except OSError as error:
        raise ValueError(f"file: {file} cannot be read: {error.strerror}") from None
    return [line.partition("#")[0].strip() for line in text.splitlines()]


def _digest(phrases: list[str]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(phrases).encode("utf-8", "replace")).hexdigest()[:12]


@lru_cache(maxsize=64)
def _compile(phrases: tuple[str, ...]) -> re2._Regexp[bytes]:
    """One linear-time expression; the longest phrase wins where several begin."""
    import re2

    options = re2.Options()
    options.max_mem = 256 << 20
    options.longest_match = True
    options.log_errors = False
    bodies = (r"\s+".join(map(re2.escape, phrase.split(" "))) for phrase in phrases)
    return re2.compile("|".join(bodies).encode(), options)


def _matches(
    pattern: re2._Regexp[bytes], text: str, whole_words: bool
) -> Iterator[tuple[int, int]]:
    data, point, at = utf8(text), CodePoints(text), 0
    while (match := pattern.search(data, at)) is not None:
        start, end = point(match.start()), point(match.end())
        if whole_words and not (_ends(text, start) and _ends(text, end)):
            at = match.start() + 1
            continue
        yield start, end
        at = match.end()


def _ends(text: str, at: int) -> bool:
    """Whether a word may begin or end between the characters before and after `at`."""
    return not (0 < at < len(text) and _spaced(text[at - 1]) and _spaced(text[at]))


def _spaced(char: str) -> bool:
    """Whether words with this letter stand between spaces."""
    if char.isascii():
        return char.isalnum() or char == "_"
    return char.isalnum() and not unicodedata.name(char, "").startswith(_UNSPACED)


_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "HANGUL")
