"""`guardrail policy`: check, test, show policies, and their JSON Schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guardrail.cli.common import EXIT_USAGE, counted, fail, terminal

if TYPE_CHECKING:
    from guardrail.detector import Window
    from guardrail.guard import Guard
    from guardrail.policy import Policy, PolicyTest
    from guardrail.verdict import Action, RuleResult

EXIT_FAILED = 1


@click.group()
def policy() -> None:
    """Check, test and show policies."""


names = click.argument("policies", nargs=-1, required=True)


@policy.command()
@names
def check(policies: tuple[str, ...]) -> None:
    """Say whether policies can be used; every mistake with its line. Folders stand for all in
    them. Ends with 2 if one has mistakes."""
    from guardrail.errors import PolicyError
    from guardrail.policy.load import load_policy

    wrong = 0
    for name in _each(policies):
        try:
            loaded = load_policy(name)
        except PolicyError as error:
            wrong += len(error.mistakes)
            click.echo(str(error), err=True)
        else:
            rules, tests = counted(len(loaded.rules), "rule"), counted(len(loaded.tests), "test")
            click.echo(f"{name}: {rules}, {tests}, no mistakes")
    if wrong:
        click.echo(counted(wrong, "mistake"), err=True)
        sys.exit(EXIT_USAGE)


@policy.command()
@names
def test(policies: tuple[str, ...]) -> None:
    """Run the tests that stand inside policies. Ends with 1 if one fails.

    A rule in shadow mode is tested by what it would do.
    """
    from rich.markup import escape

    from guardrail.guard import Guard

    console = terminal()
    run = failed = 0
    for name in _each(policies):
        guard = Guard(_load(name))
        if not guard.policy.tests:
            console.print(f"{escape(name)}: no tests inside")
        for case in guard.policy.tests:
            problems = list(_problems(guard, case))
            run, failed = run + 1, failed + bool(problems)
            mark = "[red]failed[/]" if problems else "[green]passed[/]"
            console.print(f"{mark}  {escape(name)}:{case.line}", soft_wrap=True)
            for problem in problems:
                console.print(f"        {escape(problem)}", soft_wrap=True)
    console.print(f"{run - failed} passed, {failed} failed")
    if failed:
        sys.exit(EXIT_FAILED)


@policy.command()
@click.argument("name", metavar="POLICY")
def show(name: str) -> None:
    """Show a policy with everything that it leaves to defaults filled in."""
    from rich.markup import escape
    from rich.tree import Tree

    from guardrail.flow.plan import panes_of

    loaded = _load(name)
    console = terminal()
    on_error, timeouts = loaded.on_error, loaded.timeouts
    top = Tree(f"[bold]{loaded.id}[/] {loaded.version}  mode {loaded.mode}  {escape(name)}")
    top.add(f"on_error: input {on_error.input}, output {on_error.output}")
    top.add(f"timeout_ms: text {timeouts.text}, image {timeouts.image}")
    limits = top.add("limits")
    for key, value in vars(loaded.limits).items():
        limits.add(f"{key}: {'none' if value is None else value}")
    if loaded.overlap:
        top.add("overlap: the model is asked while the input is screened")
    if (trust := loaded.trust) is not None:
        untrusted = [name for name in ("tool", "images") if getattr(trust, name)]
        note = "with" if trust.system_note else "without"
        mark = ", with a canary" if trust.canary else ""
        told = f"{trust.mark}, {note} a note{mark}"
        top.add(f"untrusted: {', '.join(untrusted) or 'nothing'}; {told}")
    waits = ", ".join(_held(pane.window) for pane in panes_of(loaded.holding()))
    top.add(f"streamed answers: {'held ' + waits if waits else 'not held'}")
    for extractor in loaded.extractors:
        top.add(f"extract: {extractor.spec.name}  {extractor.spec.model or ''}")
    for rule in loaded.rules:
        where = ", ".join(sorted(rule.when))
        mode = f"{loaded.mode_of(rule)}, severity {rule.severity}"
        node = top.add(
            f"[bold]{rule.id}[/] (line {rule.line}): {rule.detector.spec.name} on {where}"
        )
        node.add(mode)
        for label, steps in rule.levels.items():
            actions = ", ".join(f"{action} from {at:g}" for action, at in steps)
            node.add(f"{'all other categories' if label == '*' else label}: {actions}")
        if rule in loaded.holding():
            node.add(f"holds streamed answers: {_held(rule.window)}")
        if rule.message:
            node.add(f"says: {escape(rule.message)}")
    console.print(top, soft_wrap=True)


@policy.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    from guardrail.policy.schema import policy_schema

    click.echo(json.dumps(policy_schema(), indent=2))


def _held(window: Window) -> str:
    """How much of a stream a window holds, in words."""
    if window is None:
        return "whole, until checked"
    return "by sentences" if window == "sentence" else f"back by {window} characters"


def _each(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield name
            continue
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        if not files:
            fail(f"{name}: there are no .yaml files in this folder")
        yield from map(str, files)


def _load(name: str) -> Policy:
    from guardrail.errors import PolicyError
    from guardrail.policy.load import load_policy

    try:
        return load_policy(name)
    except PolicyError as error:
        fail(str(error))


def _problems(guard: Guard, case: PolicyTest) -> Iterator[str]:
    """How a test's outcome differs from what it expects."""
    from guardrail.errors import ContentError

    pictures = [Path(image) for image in case.images] or None
    results: list[RuleResult] = []
    try:
        tool, system = case.tool, case.system
        if case.prompt is not None or tool is not None or system is not None or pictures:
            screening = guard.screen(case.prompt, pictures, tool=tool, system=system, thorough=True)
            results += screening.verdict.rules
        if case.output is not None:
            screening = guard.check(
                case.output,
                prompt=case.prompt,
                images=pictures,
                tool=tool,
                system=system,
                thorough=True,
            )
            results += screening.verdict.rules
    except ContentError as error:
        yield str(error)
        return
    if case.expect is not None:
        got = max(result.would for result in results)
        if got is not case.expect:
            yield f"expected {case.expect}, got {got}"
            yield from _reasons(results)
    for rule, expected in case.expect_rules.items():
        mine = [result for result in results if result.rule == rule]
        acted: Action = max(result.would for result in mine)
        if acted is not expected:
            yield f"{rule}: expected {expected}, got {acted}"
            yield from _reasons(mine)


def _reasons(results: Sequence[RuleResult]) -> Iterator[str]:
    for result in results:
        if result.reason:
            yield f"    {result.rule} {result.status}: {result.reason}"
        for finding in result.below:
            yield f"    {result.rule}: {finding.label} {finding.score:.2f} is below its threshold"
