"""`guardrail eval entities`: things told to be in pictures and not, and what free answers invent.

entity_scores.py asks and fits, entity_tables.py says how good that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from guardrail.cli.common import A_FILE, fail, load_guard, terminal
from guardrail.evaluate.entity_scores import (
    FOLDS,
    PARTS,
    as_calibrated,
    calibrated,
    cross_fitted,
    scored,
)
from guardrail.evaluate.entity_tables import gain, invented, presence, told_apart


@click.command()
@click.argument("data", type=A_FILE)
@click.option("--policy", required=True, help="A policy with a rule on entities.")
@click.option("--against", help="Another policy, whose AUC is held against the first one's.")
@click.option(
    "--fit",
    "fitted",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a calibration fitted on all of DATA.",
)
@click.option("--as-it-is", is_flag=True, help="Use the rule's calibration instead of fitting.")
@click.option("--most", default=100_000, help="Look at no more pictures than this.")
def entities(
    data: Path, policy: str, against: str | None, fitted: Path | None, as_it_is: bool, most: int
) -> None:
    """How well things that are in pictures are told from things that are not.

    DATA holds JSON lines with file (a picture, relative to DATA), objects (present), and absent
    ({random, popular, adversarial}: names); where they have them, also object_counts, colours
    ({name: colour}) and answers ({model: text}) count. Rows without objects are passed over.
    """
    rows = list(_rows(data, most))
    if not rows:
        fail(f"{data}: no row has file, objects and absent")
    check = _check(policy)
    scores = scored(rows, data.parent, check)
    if not scores.of("present"):
        fail(f"{data}: the backend knows none of the names")
    console = terminal()
    chances = {
        name: as_calibrated(scores.of(*kinds), name, check)
        if as_it_is
        else cross_fitted(scores.of(*kinds))
        for name, kinds in PARTS.items()
        if scores.of(*kinds)
    }
    from guardrail.evaluate.report import Report

    how = "the rule's calibration" if as_it_is else f"fitted on other pictures, {FOLDS} folds"
    about = f"{len(rows)} pictures; {scores.unknown} names unknown to the backend; {how}"
    tables = [presence(scores, chances["presence"])]
    tables += [
        told_apart(name, scores.of(name), chances[name])
        for name in ("colour", "count")
        if name in chances
    ]
    if against is not None:
        tables.append(gain(scores, scored(rows, data.parent, _check(against))))
    if any(row.get("answers") or row.get("vlm_answers") for row in rows):
        tables += list(invented(rows, data.parent, check))
    Report(f"Entities: {data.name}, policy {policy}", about, tables).show(console)
    if fitted is not None:
        calibrated(scores, check).write(fitted)
        click.echo(f"calibration written to {fitted}")


def _rows(data: Path, most: int) -> Iterator[dict[str, Any]]:
    count = 0
    with data.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if count < most and row.get("file") and row.get("objects") and row.get("absent"):
                count += 1
                yield row


def _check(policy: str) -> Any:
    """The loaded check of the policy's first rule on entities."""
    from guardrail.errors import NotRun

    rules = load_guard(policy).policy.rules
    found = next((rule for rule in rules if rule.detector.spec.name == "entities"), None)
    if found is None:
        fail(f"policy {policy}: no rule checks entities")
    try:
        return found.detector.warm()
    except NotRun as error:
        fail(str(error))
