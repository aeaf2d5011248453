"""What the proxy itself decides of a call, as results of rules in the call's record.

These rules bear the names of their places in a policy: `unscreenable.audio`, `proxy.addresses`,
`proxy.file_ids`, `proxy.malformed`; what is over a limit or broken falls under `limits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guardrail import Policy
from guardrail.hosting import (
    LIMITS_RULE,
    Action,
    Context,
    Record,
    RuleResult,
    Stage,
    StageRecord,
    Status,
    Verdict,
    record_id,
)

if TYPE_CHECKING:
    from guardrail_integrations.proxy.verdicts.refusals import Refusal

MALFORMED, ADDRESSES, FILE_IDS = "proxy.malformed", "proxy.addresses", "proxy.file_ids"
_BROKEN = (MALFORMED, LIMITS_RULE)  # rules whose checks were made, and failed


@dataclass(frozen=True)
class Note:
    """The result of a rule of the proxy, and the stage that it belongs to."""

    stage: Stage
    result: RuleResult


def note_of(rule: str, action: Action, reason: str, *, would: Action | None = None) -> RuleResult:
    """A rule of the proxy that holds something against a call. `reason` must hold no content."""
    status = Status.ERROR if rule in _BROKEN else Status.NOT_RUN
    return RuleResult(rule, status, action, action if would is None else would, reason)


def with_notes(record: Record, notes: Sequence[Note]) -> Record:
    """A record with notes among the results of its stages."""
    for note in notes:
        stages = list(record.stages)
        at = next((n for n, one in enumerate(stages) if one.stage is note.stage), len(stages))
        if at == len(stages):
            ended = record.ended_ns
            stages.append(StageRecord(note.stage, ended, ended, (), (), Verdict()))
        stage, result = stages[at], note.result
        verdict = replace(stage.verdict, rules=(*stage.verdict.rules, result))
        if result.action > verdict.action:
            reason = f"{result.rule}: {result.reason}"
            verdict = replace(verdict, action=result.action, reason=reason)
        stages[at] = replace(stage, verdict=verdict)
        error = None if result.action.stops else record.error  # a block is no failure
        record = replace(record, stages=tuple(stages), error=error)
    return record


def named(refusal: Refusal) -> Refusal:
    """A refusal with the id of the record that is to be made of it."""
    return replace(refusal, record=record_id())


def refused_record(
    policy: Policy, context: Context, refusal: Refusal, started_ns: int, ended_ns: int
) -> Record:
    """The record of a call that was refused before anything in it was looked at, or passed on
    unread (which is no refusal, but bears one's code)."""
    record = Record(
        id=refusal.record,
        policy_id=policy.id,
        policy_version=policy.version,
        policy_digest=policy.digest,
        policy_file=policy.file,
        context=context,
        started_ns=started_ns,
        ended_ns=ended_ns,
        error=refusal.code if refusal.status >= 500 else None,
    )
    if refusal.status >= 500:
        return record
    return with_notes(record, [Note(Stage.INPUT, blocked(refusal))])


class RefusedCall:
    """See hosting.Told, of such a call."""

    def __init__(self, record: Record) -> None:
        self.record, self.id = record, record.id
        self.looked_at, self.asks, self.usage = record.stages, record.asks, record.usage


def blocked(refusal: Refusal) -> RuleResult:
    """A refusal, or what was passed on in place of one, as the result of a rule."""
    action = Action.FLAG if refusal.status < 400 else Action.BLOCK
    reason = f"{refusal.param}: {refusal.code}" if refusal.param else refusal.code
    return note_of(refusal.rule or "proxy", action, reason)
