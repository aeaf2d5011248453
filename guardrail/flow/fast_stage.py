"""The fast path through a stage, for texts that only inline checks look at, and known pictures.

Most calls are such, and nothing is found in them: the checks run one after the other, without
jobs or workers. Where one finds anything or fails, or a picture is not known, the fast path
decides nothing and the screening looks again, in waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns

from guardrail.cache import Cache
from guardrail.content import Context, Part, Text
from guardrail.detector import Stage, View
from guardrail.flow.known_parts import KnownPart, recall
from guardrail.flow.plan import FastPath, Plan
from guardrail.policy import Rule
from guardrail.record import CheckRun, PartFacts, StageRecord, facts
from guardrail.verdict import Action, Status

MOST = 100  # parts; the checks of more leave the event loop its turns
INLINE_CHARS = 4_096  # longer texts go to a worker even for inline detectors


class FastStage:
    """A stage in which the fast path found nothing. Its record is made where it is asked for; until
    then the parts are kept, which are of `size` characters and bytes."""

    __slots__ = ("_known", "_parts", "_plan", "_shape", "_stage", "_times", "size", "verdict")

    def __init__(self, plan: Plan, stage: Stage, parts: Sequence[Part], shape: FastPath) -> None:
        self._plan, self._stage, self._parts, self.size = plan, stage, parts, 0
        self._shape, self.verdict = shape, shape.verdict
        self._times = [time_ns()]
        self._known: dict[int, KnownPart] = {}

    def run(self, part: Text, rules: Sequence[Rule]) -> bool:
        """Whether quick checks find nothing in a text."""
        view, times = View.of_text(self._stage, part), self._times
        for rule in rules:
            try:
                if rule.detector.run(view):
                    return False
            except Exception:
                return False
            times.append(time_ns())
        return True

    def know(self, place: int, part: Part, cache: Cache) -> bool:
        """Whether a part is known, and none that repeats another, which share their checks."""
        known = recall(self._plan, cache, self._stage, part)
        if known is None or any(known is one for one in self._known.values()):
            return False
        self._known[place] = known
        return True

    def passes(self) -> bool:
        """Whether the stage passes with all that is known of its parts."""
        found = [
            one
            for place, known in self._known.items()
            for one in known.found_in(self._parts[place])
        ]
        if found:
            self.verdict = self._plan.verdict_on(self._shape, self._stage, found)
        return self.verdict.action is Action.ALLOW

    def record(self) -> StageRecord:
        """The stage as a record has it."""
        times, stage, at = self._times, self._stage, 0
        runs: list[CheckRun] = []
        about: list[PartFacts] = []
        for place, (part, rules) in enumerate(zip(self._parts, self._shape.rules, strict=True)):
            if place in self._known:
                said, again = self._known[place].again(part)
                about.append(said)
                runs += again
                continue
            for rule in rules:
                spec = rule.detector.spec
                began, ended = times[at], times[at + 1]
                at += 1
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
            if isinstance(part, Text):
                about.append(facts(part, self._plan.digest(part)))
        return StageRecord(stage, times[0], times[-1], tuple(about), tuple(runs), self.verdict)


def fast_stage(
    plan: Plan, stage: Stage, context: Context, parts: Sequence[Part], cache: Cache | None
) -> FastStage | None:
    """A stage in which nothing was found, or None where that is not known."""
    if len(parts) > MOST:
        return None
    shape = plan.fast_path_of(parts)
    if shape is None or not plan.policy.scope.covers(context):
        return None
    seen = FastStage(plan, stage, parts, shape)
    chars = pictures = 0
    for place, part in enumerate(parts):
        if isinstance(part, Text):
            chars += len(part.text)
        else:
            pictures += 1
            seen.size += part.size
        if shape.quick[place] and isinstance(part, Text):
            if len(part.text) > INLINE_CHARS or "\\" in part.text:
                return None
            if not seen.run(part, shape.rules[place]):
                return None
        elif cache is None or not seen.know(place, part, cache):
            return None
    limits = plan.policy.limits
    if chars > limits.max_text_chars or pictures > limits.max_images:
        return None
    if len(parts) - pictures > limits.max_texts:
        return None
    seen.size += chars
    return None if pictures and not seen.passes() else seen
