"""`guardrail doctor`: whether every check of a policy works here, shown on inputs that must hit."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from guardrail.cli.common import load_guard, policy_option, terminal
from guardrail.content import Call, Content, Part
from guardrail.detector import Stage
from guardrail.flow.drivers import play
from guardrail.flow.order import Outcome, screened_only

if TYPE_CHECKING:
    from guardrail.canaries import Canary
    from guardrail.guard import Guard
    from guardrail.record import CheckRun

EXIT_SICK = 1


@dataclass
class Health:
    """What is known of one detector or extractor."""

    name: str
    kind: str
    version: str
    model: str | None
    state: str = "not tried"
    loading_ms: float | None = None
    first_ms: float | None = None
    warm_ms: float | None = None
    found: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether it ran and found all that it must."""
        return self.state == "works" and not self.missed


@click.command()
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def doctor(policy: str, as_json: bool) -> None:
    """See whether every check of a policy works here.

    Runs the published test inputs (guardrail.canaries) through the policy's checks, first cold
    and then warm. Ends with 1 if a check does not run or misses what it must find.
    """
    report = examine(load_guard(policy), load_guard(policy))
    if as_json:
        click.echo(json.dumps([asdict(health) for health in report], indent=2))
    else:
        _print(report)
    if not all(health.well for health in report):
        sys.exit(EXIT_SICK)


def examine(cold: Guard, warm: Guard) -> list[Health]:
    """Run every canary through both guards, whose caches are empty and apart."""
    from guardrail.canaries import CANARIES

    report: dict[str, Health] = {}
    for extractor in cold.policy.extractors:
        spec = extractor.spec
        report[spec.name] = Health(spec.name, "extractor", spec.version, spec.model)
    for rule in cold.plan.rules:
        spec = rule.detector.spec
        report[spec.name] = Health(spec.name, "detector", spec.version, spec.model)
    for canary in CANARIES:
        for guard, first in ((cold, True), (warm, False)):
            runs, hits = _screened(guard, canary)
            for run in runs:
                if run.name in report:
                    _note(report[run.name], run, first)
            if first and _is_expected(guard, canary):
                health = report[canary.detector]
                (health.found if canary.detector in hits else health.missed).append(canary.name)
    return list(report.values())


def _is_expected(guard: Guard, canary: Canary) -> bool:
    """Whether a rule of the policy looks where this canary is."""
    through = {extractor.spec.name for extractor in guard.policy.extractors}
    if canary.through is not None and canary.through not in through:
        return False
    return any(canary.concerns(rule) for rule in guard.plan.rules)


def _screened(guard: Guard, canary: Canary) -> tuple[list[CheckRun], set[str]]:
    """The checks that ran on a canary, and the detectors of the rules that it hit."""
    done = [_outcome(guard, Stage.INPUT, canary.parts(guard.policy.limits))]
    if answer := canary.answer():
        done.append(_outcome(guard, Stage.OUTPUT, answer))
    detectors = {rule.id: rule.detector.spec.name for rule in guard.plan.rules}
    hits = {
        detectors[result.rule]
        for outcome in done
        for result in outcome.verdict.rules
        if result.findings and result.rule in detectors
    }
    return [run for outcome in done for run in outcome.record.stages[0].checks], hits


def _outcome(guard: Guard, stage: Stage, parts: tuple[Part, ...]) -> Outcome:
    content = Content(parts)
    call = Call(content if stage is Stage.INPUT else Content())
    flow = screened_only(guard.plan, call, stage, content, thorough=True)
    return play(flow, guard.runner, lambda _: None)


def _note(health: Health, run: CheckRun, first: bool) -> None:
    if run.status in ("not_run", "error"):
        health.state = run.reason
    elif health.state == "not tried":
        health.state = "works"
    if first:
        health.loading_ms = round(max(run.loading_ms, health.loading_ms or 0.0), 1)
        health.first_ms = health.first_ms or round(run.ms, 1)
    elif not run.cached:
        health.warm_ms = round(max(run.ms, health.warm_ms or 0.0), 1)


def _times(*figures: float | None) -> list[str]:
    return ["" if ms is None else f"{ms:.1f}" for ms in figures]


def _print(report: list[Health]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    table = Table(
        "check", "state", "model", "version", "load ms", "first ms", "warm ms", "test inputs"
    )
    for health in report:
        state = escape(health.state)
        tried: Any = f"{len(health.found)} of {len(health.found) + len(health.missed)} found"
        if health.missed:
            tried = f"[red]missed: {', '.join(health.missed)}[/]"
        table.add_row(
            health.name,
            f"[green]{state}[/]" if health.state == "works" else f"[red]{state}[/]",
            health.model or "",
            health.version,
            *_times(health.loading_ms, health.first_ms, health.warm_ms),
            tried if health.found or health.missed else "",
        )
    console.print(table)
    sick = [health.name for health in report if not health.well]
    console.print(f"not well: {', '.join(sick)}" if sick else "every check works")
