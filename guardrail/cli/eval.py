"""`guardrail eval`: one module of `guardrail.evaluate` a subject."""

from __future__ import annotations

import click

from guardrail.cli import Commands

SUBJECTS: dict[str, str] = {
    "schema": "Answers held to a declared output: validity, re-asks, cost a token.",
    "entities": "Things in pictures told from things that are not, and invented ones found.",
    "injection": "Attacks found and false alarms of the rules on injection.",
}


@click.group(cls=Commands, package="guardrail.evaluate", commands=SUBJECTS)
def eval() -> None:
    """Measure checks on labelled data."""
