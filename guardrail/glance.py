"""The short way through a stage, for texts that only inline checks look at.

Most calls are such, and nothing is found in them: the checks run one after the other, without
jobs, workers or cache. Where one finds anything or fails, the glance decides nothing and the
screening takes its long way, which looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns

from guardrail.content import Context, Part, Text
from guardrail.detector import Stage, View
from guardrail.plan import Glance, Plan
from guardrail.record import CheckRun, PartFacts, StageRecord, facts
from guardrail.verdict import Status, Verdict

INLINE_CHARS = 4_096  # longer texts go to a worker even for inline detectors


class Glanced:
    """A stage in which a glance found nothing. Its record is made where it is asked for; until
    then the texts are kept, which are of `size` characters."""

    __slots__ = ("_parts", "_plan", "_shape", "_stage", "_times", "size")

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        parts: Sequence[Part],
        shape: Glance,
        times: list[int],
        size: int,
    ) -> None:
        self._plan, self._stage, self._parts, self.size = plan, stage, parts, size
        self._shape, self._times = shape, times

    @property
    def verdict(self) -> Verdict:
        """The decision on the stage."""
        return self._shape.verdict

    def record(self) -> StageRecord:
        """The stage as a record has it."""
        times, stage = self._times, self._stage
        runs: list[CheckRun] = []
        known: list[PartFacts] = []
        for part, rules in zip(self._parts, self._shape.rules, strict=True):
            for rule in rules:
                spec, at = rule.detector.spec, len(runs)
                runs.append(
                    CheckRun(
                        spec.name,
                        spec.version,
                        stage,
                        part.name,
                        Status.PASSED,
                        times[at],
                        times[at + 1],
                        model=spec.model,
                    )
                )
            if isinstance(part, Text):
                known.append(facts(part, self._plan.digest(part)))
        return StageRecord(stage, times[0], times[-1], tuple(known), tuple(runs), self.verdict)


def glance(plan: Plan, stage: Stage, context: Context, parts: Sequence[Part]) -> Glanced | None:
    """A stage in which nothing was found, or None where that is not known."""
    times = [time_ns()]
    shape = plan.glance_of(parts)
    if shape is None or not plan.policy.scope.covers(context):
        return None
    size = 0
    for part, rules in zip(parts, shape.rules, strict=True):
        if not isinstance(part, Text) or len(part.text) > INLINE_CHARS or "\\" in part.text:
            return None
        size += len(part.text)
        if not rules:
            continue
        view = View.of_text(stage, part)
        for rule in rules:
            try:
                if rule.detector.run(view):
                    return None
            except Exception:
                return None
            times.append(time_ns())
    if size > plan.policy.limits.max_text_chars:
        return None
    return Glanced(plan, stage, parts, shape, times, size)
