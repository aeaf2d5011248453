"""The command line. Each command is a module of its own, imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from errno import ENOSPC
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

COMMANDS = {
    "check": "Screen one input, and an answer if there is one.",
    "scan": "Screen many rows of a JSON-lines file.",
    "serve": "Put a policy in front of a model endpoint.",
    "policy": "Check, test and show policies.",
    "explain": "Say why a recorded call ended as it did.",
    "doctor": "See whether every check works here.",
    "models": "Fetch weights that checks need.",
    "eval": "Measure checks on labelled data.",
    "redteam": "Draw attacks, and look for those that get through.",
    "demo": "Draw some pictures, run them, and see what happens.",
}


class Commands(click.Group):
    """A group whose commands are modules of `package`, each with a command of its own name."""

    def __init__(self, *args: Any, package: str, commands: Mapping[str, str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._package, self._about = package, commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which help shows them."""
        return list(self._about)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module."""
        if cmd_name not in self._about:
            return None
        module = import_module(f"{self._package}.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a file that cannot be written or read, or a full disk, is told in a
        line."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is None and error.errno != ENOSPC:
                raise
            where = f"{error.filename}: " if error.filename is not None else ""
            click.echo(f"{where}{error.strerror}", err=True)
            ctx.exit(2)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._about.items()))


@click.group(
    cls=Commands,
    package="guardrail.cli",
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="guardrail-vision", prog_name="guardrail")
def main() -> None:
    """Safety and observability for calls to vision-language models."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal has a "≥"
