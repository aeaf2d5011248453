"""What several commands share: loading a guard, exit codes, the file of records."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

    from guardrail.guard import Guard
    from guardrail.record import Sink

EXIT_STOPPED = 10
EXIT_USAGE = 2
PIPE_WIDTH = 400  # columns; wider than any line a command prints but paths and contents

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
    """Where a command prints. Into a pipe or a file, lines keep their length."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)
    return made


def fail(message: str) -> NoReturn:
    """End the command with a usage or policy error."""
    click.echo(message, err=True)
    sys.exit(EXIT_USAGE)
