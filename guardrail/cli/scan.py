"""`guardrail scan`: many screenings, row by row, resumable."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guardrail.cli.common import (
    A_FILE,
    counted,
    fail,
    load_guard,
    output_option,
    policy_option,
    terminal,
)

if TYPE_CHECKING:
    from guardrail.guard import Guard, Screening

EXIT_SOME_UNREADABLE = 3
TOLD_EVERY = 100  # rows, where there is no terminal for a progress bar


@dataclass(frozen=True)
class Fields:
    """Which keys of a row hold what."""

    prompt: str = "prompt"
    image: str = "images"
    id: str = "id"


@click.command()
@click.argument("source", type=A_FILE)
@output_option("target", "Where the rows go; an unfinished file is continued.")
@policy_option
@click.option("--all-scores", is_flag=True, help="Also give the scores under their thresholds.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--prompt-field", default="prompt", show_default=True)
@click.option("--image-field", default="images", show_default=True)
@click.option("--id-field", default="id", show_default=True)
def scan(
    source: Path,
    target: Path,
    policy: str,
    all_scores: bool,
    workers: int,
    prompt_field: str,
    image_field: str,
    id_field: str,
) -> None:
    """Screen every row of a JSON-lines file.

    A row: {"id", "prompt"?, "images"?: [path relative to the file], "output"?, "tool"?,
    "system"?}. Ends with 3 if some rows could not be read; they are in the output with the reason.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    if target.exists() and target.samefile(source):
        fail(f"{target}: the rows out need a file of their own")
    guard = load_guard(policy)
    fields = Fields(prompt_field, image_field, id_field)
    try:
        done, unreadable, others = _finished(target, guard.policy.digest)
        # Half of a surrogate pair is written as JSON escapes it.
        opened = target.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        fail(f"{target}: {error.strerror}")
    except ValueError as error:
        fail(f"{target}: {error}")
    with source.open("rb") as lines:
        total = sum(1 for _ in lines)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    if done:
        there = counted(done, "row is there already", "rows are there already")
        click.echo(f"{target}: {there}", err=True)
    if others:
        made = counted(others, "row was made", "rows were made")
        click.echo(f"{target}: {made} under another policy than {policy} is now", err=True)
    console = terminal(stderr=True)
    with (
        source.open("rb") as lines,
        opened as out,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("rows", total=total, completed=done)
        numbered = islice(enumerate(lines, start=1), done, None)
        for row in _rows(numbered, guard, fields, source.parent, all_scores, workers):
            row["policy"] = guard.policy.digest
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()
            unreadable += row["action"] == "error"
            progress.advance(task)
            done += 1
            if not console.is_terminal and done % TOLD_EVERY == 0:
                click.echo(f"{done} of {total} rows", err=True)
    if unreadable:
        click.echo(f"{unreadable} of {total} rows could not be read", err=True)
        sys.exit(EXIT_SOME_UNREADABLE)


def _finished(target: Path, policy: str | None) -> tuple[int, int, int]:
    """How many rows the output holds, how many of them are errors, and how many were made under a
    policy with another digest; a cut last line goes.

    Raises ValueError for a file that no scan has written.
    """
    if not target.is_file():
        return 0, 0, 0
    whole = done = unreadable = others = 0
    made_so = f'"policy": {json.dumps(policy)}'.encode()
    with target.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            if b'"action": "' not in line:
                raise ValueError(f"line {done + 1} is no row of a scan: name another file with -o")
            whole += len(line)
            done += 1
            unreadable += b'"action": "error"' in line
            others += made_so not in line
    with target.open("rb+") as out:
        out.truncate(whole)
    return done, unreadable, others


def _rows(
    lines: Iterator[tuple[int, bytes]],
    guard: Guard,
    fields: Fields,
    root: Path,
    all_scores: bool,
    workers: int,
) -> Iterator[dict[str, Any]]:
    """Rows out in the order of rows in, a few more than there are workers under way."""
    waiting: deque[Future[dict[str, Any]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number, line in lines:
            waiting.append(pool.submit(_row, number, line, guard, fields, root, all_scores))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _row(
    number: int, line: bytes, guard: Guard, fields: Fields, root: Path, all_scores: bool
) -> dict[str, Any]:
    from guardrail.errors import ContentError

    identity: Any = number
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("not an object")
        identity = row.get(fields.id, number)
        return {"id": identity, **screen_row(row, guard, fields, root, all_scores)}
    except ContentError as error:
        reason = str(error)
    except (UnicodeDecodeError, json.JSONDecodeError):
        reason = "not a line of JSON"
    except ValueError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
    except RecursionError:
        reason = "nested too deeply"
    return {"id": identity, "action": "error", "reason": reason}


def screen_row(
    row: Mapping[str, Any], guard: Guard, fields: Fields, root: Path, all_scores: bool
) -> dict[str, Any]:
    """One row screened, without its id. Raises ValueError, OSError or ContentError."""
    keys = (fields.prompt, "tool", "system", "output")
    prompt, tool, system, output = (_text(row, key) for key in keys)
    named = row.get(fields.image) or []
    paths = [named] if isinstance(named, str) else named
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ValueError(f"{fields.image}: neither a path nor a list of paths")
    given = any(text is not None for text in (prompt, tool, system)) or bool(paths)
    if not given and output is None:
        raise ValueError(f"nothing to screen: no {fields.prompt}, {fields.image}, tool or output")
    images = [(root / path).read_bytes() for path in paths] or None

    done = []
    if given:
        screened = guard.screen(prompt, images, tool=tool, system=system, thorough=all_scores)
        done.append(screened)
    if output is not None:
        checked = guard.check(
            output, prompt=prompt, images=images, tool=tool, system=system, thorough=all_scores
        )
        done.append(checked)
    return _result(done, all_scores)


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key}: not a text")
    return value


def _result(done: list[Screening], all_scores: bool) -> dict[str, Any]:
    from guardrail.record import finding_dict
    from guardrail.verdict import Status

    order = list(Status)
    rules: dict[str, Any] = {}
    hits: dict[Any, dict[str, Any]] = {}
    below: dict[tuple[str, str], Any] = {}
    for screening in done:
        for result in screening.verdict.rules:
            known = rules.get(result.rule)
            weight = (
                result.action,
                result.status is not Status.SKIPPED,
                order.index(result.status),
            )
            if known is None or weight > known[0]:
                rules[result.rule] = (weight, result)
            hits |= {f: finding_dict(f) | {"hit": True} for f in result.findings}
            for finding in result.below if all_scores else ():
                key = (finding.detector, finding.label)
                if key not in below or finding.score > below[key].score:
                    below[key] = finding
    hit_labels = {(finding.detector, finding.label) for finding in hits}
    rest = [finding_dict(f) | {"hit": False} for key, f in below.items() if key not in hit_labels]
    row: dict[str, Any] = {
        "action": str(max(screening.action for screening in done)),
        "rules": [
            {"id": r.rule, "status": str(r.status), "action": str(r.action)}
            for _, r in rules.values()
        ],
        "findings": [*hits.values(), *rest],
    }
    redacted = {
        text.name: text.text
        for screening in done
        if screening.verdict.edits and not screening.action.stops
        for text in screening.content.texts
        if any(edit.where.part == text.name for edit in screening.verdict.edits)
    }
    if redacted:
        row["redacted"] = redacted
    row["ms"] = round(sum(screening.record.ms for screening in done), 2)
    return row
