"""Stretches of a streamed answer, looked at by the rules that hold it while it comes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from guardrail.content import Call, Text
from guardrail.detector import Stage
from guardrail.flow.plan import Pane, Plan
from guardrail.flow.room import Room
from guardrail.flow.steps import Step
from guardrail.flow.stream import Slice
from guardrail.policy import Rule
from guardrail.verdict import Action, Finding, Span, Verdict


@dataclass(frozen=True)
class Looked:
    """What became of a slice: its text is settled up to the character `settled`, with the edits
    of `verdict`, whose spans are those of the whole text."""

    settled: int
    verdict: Verdict


def look(plan: Plan, call: Call, pane: Pane, piece: Slice) -> Generator[Step, Any, Looked]:
    """Run the rules of a pane over a slice; what may still change is left for the next look."""
    room = Room(plan, Stage.OUTPUT, call, pane.rules)
    text = Text(piece.text, name=piece.key, role="assistant", source="model")
    text = room.as_meant(text, piece.json)
    yield from room.wave(room.extractions_beside([text]))
    uses = [*room.detections([text], keep=False), *room.whole_call([text], keep=False)]
    yield from room.wave(uses)
    found = {
        rule.id: [_moved(finding, piece.start) for finding in room.findings[rule.id]]
        for rule in pane.rules
    }
    waits = [
        span.start
        for rule in pane.rules
        for finding in found[rule.id]
        if (span := _held_span(rule, finding)) is not None and span.end > piece.limit
    ]
    settled = max(piece.settled, min([piece.limit, *waits]))
    for rule in pane.rules:
        room.findings[rule.id] = [
            finding
            for finding in found[rule.id]
            if not isinstance(finding.where, Span) or piece.settled < finding.where.end <= settled
        ]
    return Looked(settled, room.verdict())


def _moved(finding: Finding, by: int) -> Finding:
    where = finding.where
    if not isinstance(where, Span):
        return finding
    return replace(finding, where=replace(where, start=where.start + by, end=where.end + by))


def _held_span(rule: Rule, finding: Finding) -> Span | None:
    """The place of a finding that the stream has to wait for."""
    holds = rule.level(finding)[0] > Action.FLAG
    return finding.where if holds and isinstance(finding.where, Span) else None
