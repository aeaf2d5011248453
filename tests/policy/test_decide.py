"""The pure decision: strictest wins, shadow never acts, nothing that did not run has passed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from guardrail import Action, Area, Finding, Span, Stage, Status
from guardrail.policy import Failure, Mode, Observed, OnError, Policy, Rule, decide
from guardrail.testing import fixed_detector

LABELS = ("a", "b", "c")
DETECTOR = fixed_detector(dict.fromkeys(LABELS, 1.0))

levels = st.lists(
    st.tuples(st.sampled_from(list(Action)[1:]), st.floats(0, 1)),
    min_size=1,
    max_size=3,
    unique_by=lambda step: step[0],
).map(
    lambda steps: tuple(
        zip(sorted(a for a, _ in steps), sorted(at for _, at in steps), strict=True)
    )
)
wheres = st.none() | st.just(Span("p", 0, 1)) | st.just(Area("images/0"))
findings = st.lists(
    st.builds(Finding, st.just("fixed"), st.sampled_from(LABELS), st.floats(0, 1), wheres),
    max_size=4,
).map(tuple)
failures = st.lists(
    st.builds(Failure, st.sampled_from([Status.NOT_RUN, Status.ERROR]), st.just("why")), max_size=2
).map(tuple)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Policy, list[Observed]]:
    count = draw(st.integers(1, 4))
    rules = tuple(
        Rule(
            id=f"r{index}",
            when=frozenset({"input"}),
            detector=DETECTOR,
            levels=draw(st.dictionaries(st.sampled_from([*LABELS, "*"]), levels, min_size=1)),
            mode=draw(st.sampled_from([Mode.SHADOW, Mode.ENFORCE])),
        )
        for index in range(count)
    )
    on_error = OnError(draw(st.sampled_from(sorted(set(Action) - {Action.REDACT}))), Action.BLOCK)
    policy = Policy(id="p", rules=rules, on_error=on_error)
    observed = [
        Observed(rule, draw(findings), draw(failures), draw(st.integers(0, 2))) for rule in rules
    ]
    return policy, observed


@given(cases())
def test_the_strictest_rule_wins(case: tuple[Policy, list[Observed]]) -> None:
    policy, observed = case
    verdict = decide(policy, Stage.INPUT, observed)
    assert verdict.action == max(result.action for result in verdict.rules)
    assert bool(verdict.reason) == (verdict.action > Action.ALLOW)


@given(cases())
def test_shadow_rules_never_act(case: tuple[Policy, list[Observed]]) -> None:
    policy, observed = case
    shadow = replace(policy, mode=Mode.SHADOW)
    verdict = decide(shadow, Stage.INPUT, observed)
    assert verdict.action is Action.ALLOW
    assert verdict.edits == ()
    enforced = replace(policy, rules=tuple(replace(r, mode=Mode.ENFORCE) for r in policy.rules))
    acted = decide(
        enforced,
        Stage.INPUT,
        [replace(o, rule=r) for o, r in zip(observed, enforced.rules, strict=True)],
    )
    assert [r.would for r in verdict.rules] == [r.action for r in acted.rules]


@given(cases())
def test_what_did_not_run_has_not_passed(case: tuple[Policy, list[Observed]]) -> None:
    policy, observed = case
    for one, result in zip(observed, decide(policy, Stage.INPUT, observed).rules, strict=True):
        if one.failures:
            assert result.status is not Status.PASSED
            assert result.would >= policy.on_error.input
        elif not one.looked_at:
            assert result.status is Status.SKIPPED


@given(cases(), st.integers(0, 3))
def test_a_higher_score_is_never_milder(case: tuple[Policy, list[Observed]], which: int) -> None:
    policy, observed = case
    one = observed[which % len(observed)]
    placed = tuple(replace(f, where=Span("p", 0, 1)) for f in one.findings)
    one = replace(one, findings=placed)
    if not one.findings:
        return
    raised = replace(one, findings=tuple(replace(f, score=1.0) for f in one.findings))
    before = decide(policy, Stage.INPUT, [replace(one, failures=())]).rules[0].would
    after = decide(policy, Stage.INPUT, [replace(raised, failures=())]).rules[0].would
    assert after >= before


@given(cases())
def test_edits_are_for_findings_that_are_to_be_redacted(
    case: tuple[Policy, list[Observed]],
) -> None:
    policy, observed = case
    verdict = decide(policy, Stage.INPUT, observed)
    wanted = {
        finding.where
        for one, result in zip(observed, verdict.rules, strict=True)
        if result.action > Action.ALLOW
        for finding in result.findings
        if one.rule.level(finding)[0] is Action.REDACT and finding.where is not None
    }
    assert {edit.where for edit in verdict.edits} == wanted


def test_a_finding_without_a_place_cannot_be_redacted_and_blocks() -> None:
    rule = Rule("r", frozenset({"input"}), DETECTOR, levels={"*": ((Action.REDACT, 0.5),)})
    policy = Policy(id="p", rules=(rule,))
    verdict = decide(policy, Stage.INPUT, [Observed(rule, (Finding("fixed", "a", 0.9),), (), 1)])
    assert verdict.action is Action.BLOCK


def test_the_reason_is_the_message_of_the_most_severe_rule() -> None:
    low = Rule("low", frozenset(), DETECTOR, levels={"*": ((Action.BLOCK, 0.5),)}, message="Low.")
    high = replace(low, id="high", severity="critical", message="High.")
    policy = Policy(id="p", rules=(low, high))
    found = (Finding("fixed", "a", 0.9),)
    verdict = decide(policy, Stage.INPUT, [Observed(r, found, (), 1) for r in policy.rules])
    assert verdict.reason == "high: High."
