"""Where things stand, in the names that the caller knows."""

from __future__ import annotations

from dataclasses import replace

from guardrail.content import Image, Part, Text
from guardrail.policy import PAGE
from guardrail.verdict import Area, Finding, Span


def placed(finding: Finding, part: Part) -> Finding:
    """A finding about `part`, with its place named as the caller knows it."""
    where = finding.where
    if isinstance(part, Image):
        if isinstance(where, Area):
            return replace(finding, where=replace(where, part=part.name))
        return finding if where is None else replace(finding, where=Area(part.name))
    if part.origin is None:
        if isinstance(where, Span) and where.part != part.name:
            return replace(finding, where=replace(where, part=part.name))
        return finding
    boxes = part.boxes(where.start, where.end) if isinstance(where, Span) else ()
    frame = boxes[0][1] if boxes else 0
    return replace(finding, where=Area(part.origin, tuple(box for box, _ in boxes), frame))


def as_read_from(image: Image, text: Text) -> Text:
    """A text as an extractor gave it, under the name, role and source of its picture."""
    suffix = text.name.partition("#")[2] or text.source.partition(":")[2]
    source = text.source
    if image.source == PAGE:
        source = f"image:page:{source.partition(':')[2]}"
    return replace(
        text,
        name=f"{image.name}#{suffix}",
        origin=image.name,
        role=image.role,
        source=source,
        answered=image.source == "model",
    )
