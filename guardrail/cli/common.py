"""What several commands share: loading a guard, exit codes, the file of records."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from guardrail.guard import Guard
    from guardrail.record import Sink

F = TypeVar("F", bound=Callable[..., Any])

EXIT_STOPPED = 10
EXIT_USAGE = 2
UNBROKEN = 1 << 20  # columns; no line that a command prints is as wide

A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def output_option(into: str, about: str, *, folder: bool = False) -> Callable[[F], F]:
    """The option -o, which a command needs: a file, or a folder."""
    kind = click.Path(dir_okay=folder, file_okay=not folder, path_type=Path)
    return click.option("-o", "--output", into, required=True, type=kind, help=about)


policy_option = click.option(
    "--policy", default="default", show_default=True, help="A shipped policy's name or a file."
)
records_option = click.option(
    "--records",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where records are kept [default: $GUARDRAIL_RECORDS, or the user's state folder].",
)


def records_file(given: Path | None) -> Path:
    """The file of records: as given, from the environment, or in the XDG state folder."""
    if given is not None:
        return given
    if named := os.environ.get("GUARDRAIL_RECORDS"):
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "guardrail" / "records.jsonl"


def load_guard(policy: str, *sinks: Sink) -> Guard:
    """A guard under the policy; ends the command with the policy's mistakes."""
    from guardrail.errors import PolicyError
    from guardrail.guard import Guard

    try:
        return Guard(policy, sinks=sinks)
    except PolicyError as error:
        fail(str(error))


def terminal(*, stderr: bool = False) -> Console:
    """Where a command prints. Into a pipe or a file, lines are never broken."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout  # None where it is closed
    width = None if stream is not None and stream.isatty() else UNBROKEN
    return Console(stderr=stderr, highlight=False, emoji=False, width=width)


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things in words: "1 rule", "2 rules"."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def fail(message: str) -> NoReturn:
    """End the command with a usage or policy error."""
    click.echo(message, err=True)
    sys.exit(EXIT_USAGE)
