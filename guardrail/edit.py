"""Edits applied to parts: spans of text exchanged, areas of pictures painted over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from guardrail.content import Content, Image, Part, Text
from guardrail.jsontext import Cut, fitted, is_json, unescaped
from guardrail.verdict import Area, Edit, Span

if TYPE_CHECKING:
    from guardrail.reencode import Reencode

QUOTED = 200  # characters of a text that is told again


def quoted(text: str) -> str:
    """A text as it is told again: in one line, without control characters, bounded in length."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"


def cuts(
    edits: Iterable[Edit], part: str, text: str, *, json: bool | None = None, inside: bool = False
) -> list[Cut]:
    """The edits of one text part in order, those that overlap joined.

    Joined edits take the new text of the longest of them. `json` says whether the text is JSON
    and is to stay so (None: see for yourself), `inside` whether it begins inside a string.
    """
    spans = sorted(
        (
            (max(0, edit.where.start), min(len(text), edit.where.end), edit.text)
            for edit in edits
            if isinstance(edit.where, Span) and edit.where.part == part
        ),
        key=lambda span: span[:2],
    )
    joined: list[tuple[int, int, str | tuple[str, ...], int]] = []
    for start, end, new in spans:
        if joined and start < joined[-1][1]:
            first, last, kept, longest = joined[-1]
            size = end - start
            joined[-1] = (
                first,
                max(last, end),
                new if size > longest else kept,
                max(size, longest),
            )
        else:
            joined.append((start, end, new, end - start))
    if not joined:
        return []
    json = is_json(text) if json is None else json
    changes = []
    for start, end, new, _ in joined:
        if not isinstance(new, str):
            found = text[start:end]
            new = quoted(unescaped(found).text if json else found).join(new)
        changes.append((start, end, new))
    return fitted(changes, text, inside) if json else changes


def cut_text(text: str, changes: Sequence[Cut]) -> str:
    """`text` with each cut's characters exchanged."""
    pieces, at = [], 0
    for start, end, new in changes:
        pieces += [text[at:start], new]
        at = end
    return "".join([*pieces, text[at:]])


def cut_chunks(chunks: Sequence[str], changes: Sequence[Cut]) -> list[str]:
    """The same for a text that came in chunks; a cut's new text stands in its first chunk."""
    out, at = [], 0
    for chunk in chunks:
        end_of_chunk = at + len(chunk)
        kept, here = [], at
        for start, end, new in changes:
            if end <= at or start >= end_of_chunk:
                continue
            kept.append(chunk[here - at : max(start, at) - at])
            if start >= at:
                kept.append(new)
            here = min(end, end_of_chunk)
        kept.append(chunk[here - at :])
        out.append("".join(kept))
        at = end_of_chunk
    return out


def apply(
    content: Content, edits: Sequence[Edit], reencode: Reencode | None = None
) -> Mapping[str, Part]:
    """The parts that the edits change, by name, and all pictures encoded anew if that is wanted.

    Raises PictureError where a picture cannot be covered or encoded.
    """
    changed: dict[str, Part] = {}
    for part in content.parts:
        if isinstance(part, Text):
            changes = cuts(edits, part.name, part.text)
            if changes:
                changed[part.name] = replace(part, text=cut_text(part.text, changes))
        else:
            areas = _areas(part, edits)
            if areas:
                from guardrail.image import cover

                changed[part.name] = part = cover(part, areas)
            if reencode is not None:
                from guardrail.reencode import reencoded

                changed[part.name] = reencoded(part, reencode)
    return changed


def _areas(image: Image, edits: Iterable[Edit]) -> list[Area]:
    return [
        edit.where
        for edit in edits
        if isinstance(edit.where, Area) and edit.where.part == image.name
    ]
