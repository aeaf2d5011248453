"""The fast path through a stage, for texts that checks are done with at once, and known pictures.

Most calls are such, and nothing that counts is found in them: the checks run one after the other,
without jobs or workers. Where one finds what counts, fails or needs a worker, or a picture is not
known, the fast path decides nothing and the screening looks again, in waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns

from guardrail.cache import Cache
from guardrail.content import Call, Part, Text
from guardrail.detector import Detector, Stage, View
from guardrail.flow.known_parts import KnownPart, recall
from guardrail.flow.locations import placed
from guardrail.flow.plan import FastPath, Plan
from guardrail.policy import Rule
from guardrail.record import CheckRun, Look, PartFacts, StageRecord, facts
from guardrail.verdict import Action, Finding, Status, Verdict

# Characters of one stage that checks other than inline ones look at, and those that each such look
# counts as beside the characters of its text.
MOST_CHARS, LOOK_CHARS = 8_192, 1_024
INLINE_CHARS = 4_096  # longer texts go to a worker even for inline detectors


class Ran:
    """A check that was done with at once."""

    __slots__ = ("began", "cached", "detector", "ended", "found", "part")

    def __init__(
        self,
        detector: Detector,
        began: int,
        ended: int,
        part: str,
        found: Sequence[Finding] = (),
        cached: bool = False,
    ) -> None:
        self.detector, self.part, self.found, self.cached = detector, part, found, cached
        self.began, self.ended = began, ended

    @property
    def name(self) -> str:
        """See Look."""
        return self.detector.spec.name

    @property
    def ms(self) -> float:
        """See Look."""
        return (self.ended - self.began) / 1e6

    def run(self, stage: Stage) -> CheckRun:
        """The check as a record has it."""
        spec = self.detector.spec
        best: dict[str, float] = {}
        for finding in self.found:
            best[finding.label] = max(best.get(finding.label, 0.0), finding.score)
        return CheckRun(
            spec.name,
            spec.version,
            stage,
            self.part,
            Status.HIT if best else Status.PASSED,
            self.began,
            self.ended,
            cached=self.cached,
            model=spec.model,
            best=tuple(best.items()),
        )


class FastStage:
    """A stage that the fast path lets pass. Its record is made where it is asked for; until then
    its texts are kept, which are of `size` characters. What stayed below all thresholds stands in
    `full_verdict` alone, which is made where it is asked for as well."""

    __slots__ = (
        "_began",
        "_ended",
        "_found",
        "_full",
        "_kept",
        "_known",
        "_left",
        "_parts",
        "_plan",
        "_results",
        "_runs",
        "_shape",
        "size",
        "stage",
        "verdict",
    )

    def __init__(self, plan: Plan, stage: Stage, parts: Sequence[Part], shape: FastPath) -> None:
        self._plan, self.stage, self._parts, self.size = plan, stage, parts, 0
        self._kept: Sequence[Text | str] = ()  # the texts, and the names of parts that are known
        self._shape, self.verdict = shape, shape.verdict
        self._full: Verdict | None = None
        self._began = self._ended = time_ns()
        self._runs: list[Ran] = []
        self._found: list[tuple[str, Finding]] = []
        self._known: dict[int, KnownPart] = {}
        self._results: dict[bytes, Sequence[Finding]] = {}
        self._left = MOST_CHARS

    def run(self, part: Text, rules: Sequence[Rule], cache: Cache | None) -> bool:
        """Whether checks are done with a text at once."""
        view = View.of_text(self.stage, part)
        for rule in rules:
            detector = rule.detector
            if not detector.spec.inline:
                if not self._look(rule, view, part, cache):
                    return False
                continue
            if detector.run(view):
                return False
            began, self._ended = self._ended, time_ns()
            self._runs.append(Ran(detector, began, self._ended, part.name))
        return True

    def _look(self, rule: Rule, view: View, part: Text, cache: Cache | None) -> bool:
        """Whether a check that is no inline one is done with a text at once: where it has seen
        the like before, and where it is quick."""
        plan, detector = self._plan, rule.detector
        key = plan.key("detector", plan.identity[rule.id], self.stage, (part,))
        found = self._results.get(key)
        if found is None:
            found = cache.get(key) if cache is not None else None
            cached = found is not None
            if found is None:
                self._left -= LOOK_CHARS + len(part.text)
                if self._left < 0 or (found := self._quick(detector, view)) is None:
                    return False
                if cache is not None:
                    cache.put(key, found)
            self._results[key] = found
            began, self._ended = self._ended, time_ns()
            self._runs.append(Ran(detector, began, self._ended, part.name, found, cached))
        self._found += [(rule.id, placed(finding, part)) for finding in found]
        return True

    def _quick(self, detector: Detector, view: View) -> Sequence[Finding] | None:
        assert detector.quick is not None, "a plan takes no other on the fast path"
        found = detector.quick(view)
        return None if found is None else tuple(found)

    def run_together(self, rules: Sequence[Rule], call: Call) -> bool:
        """Whether checks that look at all parts together are done with them at once."""
        for rule in rules:
            detector = rule.detector
            if detector.spec.reads_beside and call.content.images:
                return False
            parts = {part.name: part for part in self._parts if rule.sees(part)}
            found = self._quick(detector, View(self.stage, tuple(parts.values()), call))
            if found is None:
                return False
            began, self._ended = self._ended, time_ns()
            self._runs.append(Ran(detector, began, self._ended, "*", found))
            for finding in found:
                part = parts.get(finding.where.part) if finding.where else None
                self._found.append((rule.id, placed(finding, part) if part else finding))
        return True

    def know(self, place: int, part: Part, cache: Cache) -> bool:
        """Whether a part is known, and none that repeats another, which share their checks."""
        known = recall(self._plan, cache, self.stage, part)
        if known is None or any(known is one for one in self._known.values()):
            return False
        self._known[place] = known
        self._found += known.found_in(part)
        return True

    def passes(self) -> bool:
        """Whether the stage passes with all that was found."""
        if not self._plan.reach(self._found):
            return True
        self.verdict = self.full_verdict
        return self.verdict.action is Action.ALLOW

    @property
    def full_verdict(self) -> Verdict:
        """The verdict with all that was found."""
        if self._full is None:
            self._full = self._plan.verdict_on(self._shape, self.stage, self._found)
        return self._full

    def let_go(self) -> None:
        """Keep no more of the parts than a record needs."""
        kept: list[Text | str] = []
        for place, part in enumerate(self._parts):
            if isinstance(part, Text) and place not in self._known:
                kept.append(part)
                self.size += len(part.text)
            else:
                kept.append(part.name)
        self._kept, self._parts = kept, ()

    @property
    def checks(self) -> Sequence[Look]:
        """See LookedAt."""
        return self.record().checks if self._known else self._runs

    def record(self) -> StageRecord:
        """The stage as a record has it."""
        runs = [ran.run(self.stage) for ran in self._runs]
        about: list[PartFacts] = []
        for place, kept in enumerate(self._kept):
            if isinstance(kept, Text):
                about.append(facts(kept, self._plan.digest(kept)))
            else:
                said, again = self._known[place].again(kept)
                about.append(said)
                runs += again
        times = (self._began, self._ended)
        return StageRecord(self.stage, *times, tuple(about), tuple(runs), self.full_verdict)


def fast_stage(
    plan: Plan, stage: Stage, call: Call, parts: Sequence[Part], cache: Cache | None
) -> FastStage | None:
    """A stage in which nothing that counts was found, or None where that is not known."""
    shape = plan.fast_path_of(parts)
    if shape is None or not plan.policy.scope.covers(call.context):
        return None
    seen = FastStage(plan, stage, parts, shape)
    if not parts:
        return seen
    try:
        if not _passes(seen, shape, call, parts, cache):
            return None
    except Exception:  # the screening finds out which check failed
        return None
    chars = sum([len(part.text) for part in parts if isinstance(part, Text)])
    if chars > plan.policy.limits.max_text_chars:
        return None
    seen.let_go()
    return seen


def _passes(
    seen: FastStage, shape: FastPath, call: Call, parts: Sequence[Part], cache: Cache | None
) -> bool:
    for place, part in enumerate(parts):
        if shape.quick[place] and isinstance(part, Text):
            if len(part.text) > INLINE_CHARS or "\\" in part.text:
                return False
            if not seen.run(part, shape.rules[place], cache):
                return False
        elif cache is None or not seen.know(place, part, cache):
            return False
    return seen.run_together(shape.together, call) and seen.passes()
