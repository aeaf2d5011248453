"""`guardrail explain`: why a recorded call ended as it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from guardrail.cli.common import A_FILE, counted, fail, records_file, records_option, terminal


@click.command()
@click.argument("record_id")
@click.option(
    "--image",
    type=A_FILE,
    help="The picture of that call: the boxes are drawn on a copy of it.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the drawn copy goes [default: beside the picture].",
)
@records_option
def explain(record_id: str, image: Path | None, out: Path | None, records: Path | None) -> None:
    """Say why a call ended as it did: rule, score, threshold, line of the policy, model.

    RECORD_ID is the id in the exception, the trace, or the output of `check`; its beginning is
    enough.
    """
    from rich.markup import escape

    from guardrail.cli.report import tree
    from guardrail.record import read_records

    path = records_file(records)
    if not path.exists():
        fail(f"{path}: there are no records here; name the file with --records")
    if not record_id:
        fail("the id of a record, or its beginning, is needed")
    found = {
        identity: kept
        for kept in read_records(path)
        if (identity := str(kept.get("id", ""))).startswith(record_id)
    }
    if not found:
        fail(f"{path}: no record {record_id}")
    if len(found) > 1 and record_id not in found:
        last = ", ".join([*found][-3:])
        fail(f"{path}: {len(found)} records begin with {record_id}, the last of them {last}")
    record = found.get(record_id) or next(iter(found.values()))

    console = terminal()
    console.print(tree(record, checks=False))
    for line in _sentences(record):
        console.print(escape(line), soft_wrap=True)
    if image is not None:
        target = out or image.with_name(f"{image.stem}.explained.png")
        boxes = _draw(record, image, target)
        drawn = counted(boxes, "box", "boxes")
        console.print(f"{drawn} drawn: {escape(str(target))}", soft_wrap=True)


def _sentences(record: Mapping[str, Any]) -> Iterator[str]:
    policy = record["policy"]
    for stage in record["stages"]:
        runs = {run["name"]: run for run in stage["checks"]}
        for rule in stage["rules"]:
            if rule["status"] not in ("hit", "not_run", "error"):
                continue
            line = f"{policy['file']}:{rule['line']}" if rule.get("line") else "built in"
            yield f"{rule['id']} ({line}) ended as {rule['status']}: {rule['action']}"
            if rule["status"] != "hit":
                yield f"    because {rule.get('reason', '')}"
                continue
            yield (
                f"    because {rule['label']} scored {rule['score']:.3f}, "
                f"at or over the threshold {rule['threshold']}"
            )
            for name in sorted({finding["detector"] for finding in rule["findings"]}):
                run = runs.get(name)
                if run is not None:
                    model = f", model {run['model']}" if run["model"] else ""
                    yield f"    found by {name} {run['version']}{model}"


def _draw(record: Mapping[str, Any], image: Path, target: Path) -> int:
    from PIL import ImageDraw

    from guardrail.content import Image
    from guardrail.errors import PictureError

    given = Image(image.read_bytes(), name=str(image))
    names = {
        part["name"]
        for stage in record["stages"]
        for part in stage["parts"]
        if part["digest"] == given.sha256
    }
    if not names:
        fail(f"{image}: this picture was not in that call (its sha256 is {given.sha256[:12]})")
    try:
        drawn = given.picture.rgb().copy()
    except PictureError as error:
        fail(str(error))
    pen = ImageDraw.Draw(drawn)
    count = 0
    for stage in record["stages"]:
        for rule in stage["rules"]:
            for finding in rule.get("findings", []):
                where = finding.get("where", {})
                if where.get("part") not in names or "box" not in where:
                    continue
                for box in where.get("boxes", [where["box"]]):
                    pen.rectangle(tuple(box), outline=(220, 0, 0), width=3)
                    pen.text((box[0] + 2, max(0, box[1] - 14)), finding["label"], fill=(220, 0, 0))
                    count += 1
    drawn.save(target, "PNG")
    return count
