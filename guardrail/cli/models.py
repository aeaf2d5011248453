"""`guardrail models`: weights fetched, listed and checked."""

from __future__ import annotations

import sys

import click

EXIT_DAMAGED = 1


@click.group()
def models() -> None:
    """Fetch weights that checks need, and see what is here."""


@models.command()
@click.argument("name")
@click.option("--url", help="Fetch this one file instead of what NAME stands for.")
@click.option("--sha256", help="What the file of --url must have.")
def pull(name: str, url: str | None, sha256: str | None) -> None:
    """Fetch the weights of NAME, such as open_clip/ViT-B-32/laion2b_s34b_b79k.

    They are kept in $GUARDRAIL_MODELS (or the user's data folder), each file with its sha256; a
    copy of that folder serves a machine without network. $HF_ENDPOINT names a mirror of the hub.
    """
    from guardrail.cli.common import fail
    from guardrail.models import MANIFEST, ModelError, Source
    from guardrail.models import pull as fetch

    shown = sys.stderr.isatty()

    def told(file: str, size: int, of: int | None) -> None:
        if shown:
            total = f" of {of / 1e6:.0f}" if of else ""
            click.echo(f"\r{file}: {size / 1e6:.0f}{total} MB", nl=False, err=True)

    try:
        if url is not None:
            sources = [Source(url, url.rstrip("/").rpartition("/")[2].partition("?")[0], sha256)]
        else:
            sources = _sources(name)
        folder = fetch(name, sources, told)
    except ModelError as error:
        fail(str(error))
    if shown:
        click.echo(err=True)
    import json

    for file, facts in json.loads((folder / MANIFEST).read_text("utf-8"))["files"].items():
        word = "checked" if facts["checked"] else "not checked: the server names none"
        click.echo(f"{file}  {facts['bytes']} bytes  sha256 {facts['sha256']} ({word})")
    click.echo(f"in {folder}")


def _sources(name: str):  # type: ignore[no-untyped-def]
    from guardrail.cli.common import fail
    from guardrail.errors import NotRun
    from guardrail.models import sources_of

    try:
        return sources_of(name)
    except NotRun as error:
        fail(str(error))


@models.command(name="list")
def list_() -> None:
    """List what is here, and whether it is still what was fetched. Ends with 1 if it is not."""
    from guardrail.models import damage, models_home, pulled

    sick = False
    for name, folder in pulled():
        wrong = damage(folder)
        sick = sick or bool(wrong)
        click.echo(f"{name}  {'; '.join(wrong) or 'whole'}")
    click.echo(f"in {models_home()}")
    if sick:
        sys.exit(EXIT_DAMAGED)
