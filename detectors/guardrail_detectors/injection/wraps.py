"""Lines that belong to one sentence."""

from __future__ import annotations

import re

# A line that ends in no stop, before one that begins with a letter.
_BREAK = re.compile(r"(?<=[^\s.!?:;。！？।])\n(?=[^\W\d_])")
ROOM = 0.85  # letters differ in width: a line is full from this share of the longer one


def unwrapped(text: str) -> str:
    """The text with a space for each break that only wraps a sentence, as pages and pictures do.

    The next line goes on with a small letter, or one that has no case, and its first word would
    not have fitted beside the line. Every character keeps its place.
    """
    found = [match.start() for match in _BREAK.finditer(text) if _is_wrapped(text, match.start())]
    if not found:
        return text
    letters = list(text)
    for place in found:
        letters[place] = " "
    return "".join(letters)


def _is_wrapped(text: str, place: int) -> bool:
    if text[place + 1].isupper():
        return False
    start, end = text.rfind("\n", 0, place) + 1, text.find("\n", place + 1)
    end = len(text) if end < 0 else end
    word = text.find(" ", place + 1, end)
    beside = (end if word < 0 else word) - start
    return beside > ROOM * max(place - start, end - place - 1)
