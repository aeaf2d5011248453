"""The pure decision that a policy makes of what the checks found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import Formatter

from guardrail.detector import Stage
from guardrail.policy.model import Mode, Policy, Rule
from guardrail.verdict import Action, Edit, Finding, RuleResult, Status, Verdict

NEUTRAL_MESSAGE = "A safety policy applies to this."  # of a rule without a message

_STRICTNESS = {"low": 0, "medium": 1, "high": 2, "critical": 3}


@dataclass(frozen=True)
class Failure:
    """Why a check gave no result: `status` is NOT_RUN or ERROR."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Observed:
    """What one rule's checks gave: findings, failures, and how many parts they looked at.

    `skipped` says why it did not look at everything; such a rule has not passed.
    """

    rule: Rule
    findings: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = ()
    looked_at: int = 0
    skipped: str = ""


def judge(policy: Policy, stage: Stage, observed: Observed, asked: int | None = None) -> RuleResult:
    """What one rule makes of what its checks gave; `asked` as for `decide`."""
    rule = observed.rule
    if not (observed.looked_at or observed.failures):
        reason = observed.skipped or "nothing there to look at"
        return RuleResult(rule.id, Status.SKIPPED, reason=reason)
    if not (observed.findings or observed.failures or observed.skipped):
        return rule.passed
    status, action, reason = Status.PASSED, Action.ALLOW, ""
    label, score, threshold = None, None, None
    over: list[Finding] = []
    under: dict[str, Finding] = {}
    for finding in observed.findings:
        reached, at = rule.level(finding)
        if reached is Action.ALLOW:
            best = under.get(finding.label)
            if best is None or finding.score > best.score:
                under[finding.label] = finding
            continue
        over.append(finding)
        if (reached, finding.score) > (action, score or 0.0):
            status, action, label = Status.HIT, reached, finding.label
            score, threshold = finding.score, at
    if over:
        reason = f"{label} {score:.2f} ≥ {threshold:.2f}"
    if action is Action.REDACT and any(finding.where is None for finding in over):
        status, action = Status.HIT, Action.BLOCK
        reason += "; its place is not known, so it cannot be redacted"
    on_error = (rule.on_error or policy.on_error).at(stage)
    if observed.failures and on_error >= action:
        failure = observed.failures[0]
        status, action, reason = failure.status, on_error, failure.reason
    if status is Status.PASSED and observed.skipped:
        status, reason = Status.SKIPPED, observed.skipped
    shadow = policy.mode_of(rule) is Mode.SHADOW
    return RuleResult(
        rule=rule.id,
        status=status,
        action=Action.ALLOW if shadow else action,
        would=action,
        reason=reason,
        findings=tuple(over),
        below=tuple(f for f in under.values() if f.label not in {o.label for o in over}),
        label=label,
        score=score,
        threshold=threshold,
        ask_again=status is Status.HIT
        and not shadow
        and asked is not None
        and asked < rule.ask_again,
    )


def decide(
    policy: Policy,
    stage: Stage,
    observations: Iterable[Observed],
    built_in: Sequence[RuleResult] = (),
    asked: int | None = None,
) -> Verdict:
    """The verdict of a stage: the strictest action of all enforced rules wins.

    Edits of all enforced rules are collected, whatever the action is. The reason is that of the
    strictest rule, the most severe first; it names the rule and never holds content. `asked` is
    how often the model has been asked again, None where it cannot be; a rule that stops the call
    for good leaves no room for it.
    """
    judged = [judge(policy, stage, observed, asked) for observed in observations]
    results = [*built_in, *judged, *policy.off]
    action = max([result.action for result in results], default=Action.ALLOW)
    if action is Action.ALLOW:
        return Verdict(rules=tuple(results))
    rules = {rule.id: rule for rule in policy.rules}
    final = any(result.action.stops and not result.ask_again for result in results)
    ask_again = not final and any(result.ask_again for result in results)
    edits = tuple(
        dict.fromkeys(
            Edit(finding.where, _replacement(rules[result.rule], finding))
            for result in results
            if result.rule in rules and result.action > Action.ALLOW
            for finding in result.findings
            if finding.where is not None and rules[result.rule].level(finding)[0] is Action.REDACT
        )
    )

    def weight(result: RuleResult) -> int:
        rule = rules.get(result.rule)
        return _STRICTNESS[rule.severity] if rule else _STRICTNESS["critical"]

    first = max((r for r in results if r.action is action), key=weight)
    strictest = rules.get(first.rule)
    message = (strictest.message if strictest else first.reason) or NEUTRAL_MESSAGE
    reason = f"{first.rule}: {(strictest and strictest.message) or first.reason}"
    return Verdict(action, tuple(results), edits, reason, message, ask_again)


def _replacement(rule: Rule, finding: Finding) -> str | tuple[str, ...]:
    if rule.replacement is None:
        return f"[{finding.label}]"
    pieces = [""]
    for text, name, _, _ in Formatter().parse(rule.replacement):
        pieces[-1] += text + (finding.label if name == "label" else "")
        if name == "found":
            pieces.append("")
    return tuple(pieces) if len(pieces) > 1 else pieces[0]
