"""The command line. Each command is a module of its own, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "check": "Screen one input, and an answer if there is one.",
    "scan": "Screen many rows of a JSON-lines file.",
    "policy": "Check, test and show policies.",
    "explain": "Say why a recorded call ended as it did.",
    "doctor": "See whether every check works here.",
    "demo": "Draw some pictures, run them, and see what happens.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"guardrail.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="guardrail-vision", prog_name="guardrail")
def main() -> None:
    """Safety and observability for calls to vision-language models."""
