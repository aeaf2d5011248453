"""The short way through a stage, for texts that only inline checks look at.

Most calls are such, and nothing is found in them: the checks run one after the other, without
jobs, workers or cache. Where one finds anything or fails, the glance decides nothing and the
screening takes its long way, which looks again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from guardrail.content import Part, Text
from guardrail.detector import Stage, View
from guardrail.plan import Plan
from guardrail.record import CheckRun, PartFacts, StageRecord, facts
from guardrail.verdict import Status

INLINE_CHARS = 4_096  # longer texts go to a worker even for inline detectors


def glance(plan: Plan, stage: Stage, parts: Sequence[Part], started_ns: int) -> StageRecord | None:
    """The record of a stage in which nothing was found, or None where that is not known."""
    shape = plan.glance_of(parts)
    if shape is None:
        return None
    runs: list[CheckRun] = []
    known: list[PartFacts] = []
    for part, rules in zip(parts, shape.rules, strict=True):
        if not isinstance(part, Text) or len(part.text) > INLINE_CHARS or "\\" in part.text:
            return None
        view, began = View(stage, (part,)), time.time_ns()
        for rule in rules:
            detector = rule.detector
            try:
                if detector.run(view):
                    return None
            except Exception:
                return None
            spec, ended = detector.spec, time.time_ns()
            runs.append(
                CheckRun(
                    spec.name,
                    spec.version,
                    stage,
                    part.name,
                    Status.PASSED,
                    began,
                    ended,
                    model=spec.model,
                )
            )
            began = ended
        known.append(facts(part, plan.digest(part)))
    return StageRecord(stage, started_ns, time.time_ns(), tuple(known), tuple(runs), shape.verdict)
