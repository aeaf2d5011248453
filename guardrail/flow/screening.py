"""One stage of a call: its parts looked at in waves, decided on, and edited.

Cheap checks and typed text come first, then the pictures, then the text found in them. A wave
that stops the call ends the screening; what was not looked at is then skipped, never passed.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from guardrail.content import Call, Content, Part, Text
from guardrail.detector import Stage
from guardrail.edit import apply
from guardrail.flow.plan import Plan
from guardrail.flow.room import MANY, Found, Room, Use
from guardrail.flow.steps import Job, Pause, Run, Step
from guardrail.policy import Failure, Policy
from guardrail.record import PartFacts, StageRecord, facts
from guardrail.reencode import Reencode
from guardrail.verdict import Action, Area, RuleResult, Status, Verdict

OUT_OF_SCOPE = "the policy's scope does not cover this call"


@dataclass(slots=True)
class Screened:
    """A screened stage: what was decided, and the parts its edits change. `found` holds what was
    found in each part, and in what was read in it."""

    verdict: Verdict
    content: Content
    changed: Mapping[str, Part] = field(default_factory=dict)
    found: Found = field(default_factory=dict)


def screen(
    plan: Plan,
    stage: Stage,
    call: Call,
    content: Content,
    failures: Sequence[Failure] = (),
    *,
    thorough: bool = False,
    asked: int | None = None,
) -> Generator[Step, Any, tuple[Screened, StageRecord]]:
    """Look at the parts of one stage in waves, decide, and make the edits.

    `asked` is how often the model has been asked again, None where it cannot be.
    """
    started = time.time_ns()
    if not plan.policy.scope.covers(call.context):
        skipped = (RuleResult(rule.id, Status.SKIPPED, reason=OUT_OF_SCOPE) for rule in plan.rules)
        facts_of = tuple(_facts(plan, part, None) for part in content.parts)
        verdict = Verdict(rules=(*skipped, *plan.policy.off))
        record = StageRecord(stage, started, time.time_ns(), facts_of, (), verdict)
        return Screened(verdict, content), record

    room = Room(plan, stage, call, asked=asked)
    room.broken += failures
    room.weigh_parts(content)
    pictures = list(content.images)
    texts = [room.as_meant(text) for text in content.texts]
    if len(content.parts) > MANY:
        yield Pause()

    def stopped() -> bool:
        return not thorough and room.stops()

    if not stopped():
        yield from room.wave(room.detections(texts))
    if pictures and not stopped():
        yield from room.wave([room.opening(image) for image in pictures])
        room.weigh_pictures(pictures)
    opened = [image for image in pictures if image.name in room.pictures]
    found: list[Text] = []
    if opened and not stopped():
        extractions = [job for image in opened for job in room.extractions(image)]
        yield from room.wave([*room.detections(opened), *extractions])
        found = [room.as_meant(text) for text in room.texts]
    if not stopped():
        whole: list[Use] = []
        if plan.looks_at_calls:
            yield from room.wave(room.extractions_beside([*texts, *opened, *found]))
            whole = room.whole_call([*texts, *opened, *found])
        yield from room.wave([*room.detections(found), *whole])
    else:
        room.leave_out([*texts, *pictures])

    verdict = room.verdict()
    changed: Mapping[str, Part] = {}
    reencode = plan.policy.reencodes if stage is Stage.INPUT and pictures else None
    if (verdict.edits or reencode) and not verdict.action.stops and not verdict.ask_again:
        (made,) = yield Run((_edit_job(plan.policy, content, verdict, reencode),))
        if made.failure is None:
            changed = made.value
        else:
            verdict = replace(
                verdict, action=Action.BLOCK, reason=f"edit: {made.failure.reason}", edits=()
            )
    parts: list[PartFacts] = []
    for part in content.parts:
        parts.append(_facts(plan, part, room.pictures.get(part.name)))
        if not len(parts) % MANY:
            yield Pause()
    record = StageRecord(stage, started, time.time_ns(), tuple(parts), tuple(room.runs), verdict)
    return Screened(verdict, content.replace(changed), changed, room.found), record


def _edit_job(policy: Policy, content: Content, verdict: Verdict, reencode: Reencode | None) -> Job:
    inline = reencode is None and not any(isinstance(e.where, Area) for e in verdict.edits)
    timeout = policy.timeouts.text if inline else policy.timeouts.image
    run = partial(apply, content, verdict.edits, reencode)
    return Job(
        "edit", "1", "edit", "*", run, None, timeout / 1000, inline=inline, picture=not inline
    )


def _facts(plan: Plan, part: Part, picture: Mapping[str, Any] | None) -> PartFacts:
    if isinstance(part, Text):
        return facts(part, plan.digest(part))
    known = dict(picture or {})
    digest = known.pop("sha256", None) or part.sha256
    return facts(part, digest, known or None)
