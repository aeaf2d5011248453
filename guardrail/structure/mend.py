"""Documents found in an answer that is dressed up: fences, prose, and the slips of a reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from guardrail.structure.reader import Reader, Unreadable, Watch

MAX_STARTS = 100  # braces in prose that are tried as the beginning of a document
FENCE = re.compile(r"[\s\ufeff]*```[\w.+-]*[ \t]*\r?\n[\s\ufeff]*")

Found = tuple[Any, tuple[str, ...], Unreadable | None]


class Anything(Watch[None]):
    """Lets every document pass."""

    def root(self) -> None:
        """Nothing is kept."""

    def child(self, parent: None, key: str | int) -> None:
        """Nothing is kept."""


def documents(text: str, *, only_objects: bool = True) -> Iterator[Found]:
    """Each document in the text, with what was forgiven to read it; or why it cannot be read.

    An answer that begins like a document (after a fence) is that document. In prose every brace
    may begin one.
    """
    fence = FENCE.match(text)
    start = fence.end() if fence else len(text) - len(text.lstrip().lstrip("\ufeff").lstrip())
    begins = "{" if only_objects else "{["
    dress = ("fence",) if fence else ()
    at_once = text[start : start + 1] in tuple(begins)
    for _ in range(MAX_STARTS):
        places = [place for char in begins if (place := text.find(char, start)) >= 0]
        if not places:
            return
        start = min(places)
        reader = Reader(Anything())
        try:
            end = start + reader.feed(text[start:])
            data = reader.finish()
        except Unreadable as error:
            yield None, (), error
            if at_once:
                return
            start += 1
        else:
            around = () if at_once and not text[end:].strip("` \r\n\t") else ("prose",)
            yield data, (*dress, *around, *reader.slips), None
            start, at_once = end, False
