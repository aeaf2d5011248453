"""Parts of calls that were looked at and let pass, known again as a whole.

A picture is opened, read and looked at by many checks, and so is the text found in it. Each of
their results is kept on its own; where none of them held anything against it, all of them are kept
together as well, so that a picture which comes again costs one question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import time_ns

from guardrail.cache import Cache
from guardrail.content import Part
from guardrail.detector import Stage
from guardrail.flow.plan import Plan
from guardrail.record import CheckRun, PartFacts, StageRecord
from guardrail.verdict import Action, Area, Finding, Span, Status


@dataclass(frozen=True, slots=True)
class KnownPart:
    """What a record says of a part and of the checks on it and on what was read in it, and what
    their rules found, all of it too little to act on."""

    facts: PartFacts
    runs: tuple[CheckRun, ...]
    found: tuple[tuple[str, Finding], ...]

    def again(self, name: str) -> tuple[PartFacts, list[CheckRun]]:
        """What a record says of a part like it, of that name, which is not looked at again."""
        now, named = time_ns(), len(self.facts.name)
        runs = [
            replace(
                run,
                part=name + run.part[named:],
                started_ns=now,
                ended_ns=now,
                loading_ns=0,
                cached=True,
            )
            for run in self.runs
        ]
        return replace(self.facts, name=name), runs

    def found_in(self, part: Part) -> list[tuple[str, Finding]]:
        """What rules find in a part like it."""
        if self.facts.name == part.name:
            return list(self.found)
        return [(rule, _moved(finding, self.facts.name, part.name)) for rule, finding in self.found]


def _moved(finding: Finding, name: str, other: str) -> Finding:
    where = finding.where
    if not isinstance(where, (Span, Area)):
        return finding
    return replace(finding, where=replace(where, part=other + where.part[len(name) :]))


def remember(
    plan: Plan,
    cache: Cache,
    stage: Stage,
    parts: Sequence[Part],
    record: StageRecord,
    found: Mapping[str, Sequence[tuple[str, Finding]]],
) -> None:
    """Keep what was made of the parts of a stage, where that is nothing."""
    shape, verdict = plan.fast_path_of(parts), record.verdict
    if shape is None or not shape.keeps or verdict.action is not Action.ALLOW:
        return
    checked = (Status.PASSED, Status.HIT)
    if not all(result.status in (*checked, Status.SKIPPED) for result in verdict.rules):
        return
    if not all(run.status in checked and run.part != "*" for run in record.checks):
        return
    if any("#" in part.name for part in parts):  # as in the names of texts found in pictures
        return
    for part, facts, quick in zip(parts, record.parts, shape.quick, strict=True):
        runs = [run for run in record.checks if run.part.partition("#")[0] == part.name]
        if runs and not quick:  # one that repeats another was not looked at
            kept = KnownPart(facts, tuple(runs), tuple(found.get(part.name, ())))
            cache.put(plan.key_of_known(stage, part), kept)


def recall(plan: Plan, cache: Cache, stage: Stage, part: Part) -> KnownPart | None:
    """What is kept of a part like this, if there is any."""
    found = cache.get(plan.key_of_known(stage, part))
    return found if isinstance(found, KnownPart) else None
