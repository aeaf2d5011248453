"""`guardrail redteam`: one module of `guardrail.redteam` a command."""

from __future__ import annotations

import click

from guardrail.cli import Commands

KINDS = {
    "render": "Draw attack texts onto pictures in many styles.",
    "search": "Change one attack until it gets through a policy, and count.",
}


@click.group(cls=Commands, package="guardrail.redteam", commands=KINDS)
def redteam() -> None:
    """Try a policy on attacks that nobody has seen."""
