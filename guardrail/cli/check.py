"""`guardrail check`: one screening."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from guardrail.cli.common import (
    A_FILE,
    EXIT_STOPPED,
    fail,
    load_guard,
    policy_option,
    records_file,
    records_option,
    terminal,
)


@click.command()
@policy_option
@click.option("--prompt", help="The typed text.")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=A_FILE,
    help="A picture; may be given several times.",
)
@click.option(
    "--pdf",
    "pdfs",
    multiple=True,
    type=A_FILE,
    help="A PDF, of which all pages are screened; may be given several times.",
)
@click.option("--tool", help="The result of a tool.")
@click.option("--system", help="The system prompt.")
@click.option("--output", help="The model's answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@records_option
def check(
    policy: str,
    prompt: str | None,
    images: tuple[Path, ...],
    pdfs: tuple[Path, ...],
    tool: str | None,
    system: str | None,
    output: str | None,
    as_json: bool,
    records: Path | None,
) -> None:
    """Screen one input, and an answer if there is one.

    Ends with 0 for allow, flag and redact, with 10 for review and block, and with 2 for a
    usage or policy error.
    """
    from guardrail.content import Text
    from guardrail.errors import ContentError
    from guardrail.record import JsonLinesSink

    given = any(text is not None for text in (prompt, tool, system)) or bool(images or pdfs)
    if not given and output is None:
        fail("nothing to check: give --prompt, --image, --pdf, --tool, --system or --output")
    guard = load_guard(policy, JsonLinesSink(records_file(records)))
    pictures = list(images) or None
    done = []
    try:
        if given:
            done.append(guard.screen(prompt, pictures, tool=tool, system=system, pdfs=pdfs))
        if output is not None and not any(one.action.stops for one in done):
            checked = guard.check(output, prompt=prompt, images=pictures, tool=tool, system=system)
            done.append(checked)
    except ContentError as error:
        fail(str(error))

    if as_json:
        rows = [screening.record.to_dict() for screening in done]
        click.echo(json.dumps(rows, indent=2))
    else:
        from guardrail.cli.report import tree

        console = terminal()
        for screening in done:
            console.print(tree(screening.record.to_dict()))
            if screening.verdict.edits and not screening.action.stops:
                edited = {edit.where.part for edit in screening.verdict.edits}
                for part in screening.content.parts:
                    if part.name in edited:
                        now = part.text if isinstance(part, Text) else "covered in the boxes above"
                        click.echo(f"{part.name} is then: {now}")
    if any(screening.action.stops for screening in done):
        sys.exit(EXIT_STOPPED)
