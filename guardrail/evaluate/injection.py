"""`guardrail eval injection`: attacks found and false alarms of a policy's injection rules."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guardrail.cli.common import A_FILE, fail, load_guard, policy_option, terminal

if TYPE_CHECKING:
    from guardrail.evaluate.labelled import Labelled
    from guardrail.evaluate.report import Curve, Report, Table
    from guardrail.guard import Guard

LABELS = ("injection", "typographic_label", "typographic_jailbreak")
CHANNELS = ("typed", "tool", "image")


@dataclass(frozen=True)
class Scored:
    """A row with the best score of the injection rules, and whether one of them hit.

    `failed` says why a row has no score.
    """

    row: Labelled
    score: float = 0.0
    hit: bool = False
    failed: str | None = None


@click.command()
@click.argument("data", type=A_FILE)
@policy_option
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a page that holds all of it.",
)
@click.option("--worst", default=15, show_default=True, type=click.IntRange(0, 500))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
def injection(data: Path, policy: str, page: Path | None, worst: int, workers: int) -> None:
    """Attacks found and false alarms on labelled rows.

    DATA holds JSON lines with label ("attack", "benign" or null) and text, or prompt, tool and
    images as `guardrail scan` reads them; kind, source and lang make groups. Only the policy's
    rules on injection run. Ends with 3 if some rows could not be screened.
    """
    from guardrail.evaluate.labelled import UnreadableRow, labelled

    guard = only_injection(load_guard(policy))
    try:
        rows = list(labelled(data))
    except UnreadableRow as error:
        fail(f"{data}: {error}")
    scored = screened(rows, guard, data.parent, workers)
    report = reported(scored, f"{data.name}, policy {guard.policy.id}", worst, data.parent)
    report.show(terminal())
    if page is not None:
        page.write_text(report.html(), encoding="utf-8")
    if any(item.failed for item in scored):
        sys.exit(3)


def only_injection(guard: Guard) -> Guard:
    """A guard with the same policy less all rules that look for something else."""
    from guardrail.guard import Guard

    rules = tuple(r for r in guard.policy.rules if set(r.detector.spec.labels) & set(LABELS))
    if not rules:
        fail(f"policy {guard.policy.id}: no rule looks for injection")
    return Guard(replace(guard.policy, rules=rules))


def screened(rows: Sequence[Labelled], guard: Guard, root: Path, workers: int) -> list[Scored]:
    """Every row under the guard, with a progress bar."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.progress import track

    def screen(row: Labelled) -> Scored:
        return _screened(row, guard, root)

    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(screen, rows)
        console = terminal(stderr=True)
        return list(track(done, "rows", total=len(rows), console=console, transient=True))


def _screened(row: Labelled, guard: Guard, root: Path) -> Scored:
    from guardrail.cli.scan import Fields, screen_row
    from guardrail.errors import ContentError

    try:
        result = screen_row(row.row, guard, Fields(), root, True)
    except (ContentError, OSError, ValueError) as error:
        return Scored(row, failed=type(error).__name__)
    broken = [r["status"] for r in result["rules"] if r["status"] in ("not_run", "error")]
    if broken:
        return Scored(row, failed=broken[0])
    found = [f for f in result["findings"] if f["label"] in LABELS]
    score = max((f["score"] for f in found), default=0.0)
    return Scored(row, score, any(f["hit"] for f in found))


def reported(scored: Sequence[Scored], about: str, worst: int, root: Path) -> Report:
    """The figures of screened rows."""
    from guardrail.evaluate.report import Report

    judged = [s for s in scored if s.failed is None and s.row.attack is not None]
    left_out = sum(s.failed is not None for s in scored)
    hits = sum(s.hit for s in scored if s.row.attack is None)
    unlabelled = sum(s.row.attack is None for s in scored)
    more = f"{len(scored)} rows, {left_out} could not be screened"
    if unlabelled:
        more += f"; of {unlabelled} without a label {hits} were flagged"
    groups: tuple[tuple[str, Callable[[Scored], str]], ...] = (
        ("how it came in", lambda s: s.row.channel),
        ("kind", lambda s: s.row.kind),
        ("source", lambda s: s.row.source),
        ("language", lambda s: s.row.lang),
    )
    tables = [_overall(judged), *(_by(name, of, judged) for name, of in groups)]
    tables += [_calibration(judged)]
    misses = sorted((s for s in judged if s.row.attack), key=lambda s: s.score)
    alarms = sorted((s for s in judged if not s.row.attack), key=lambda s: -s.score)
    tables += [
        _worst("Worst misses", [s for s in misses if not s.hit][:worst], root),
        _worst("Worst false alarms", [s for s in alarms if s.hit][:worst], root),
    ]
    return Report("Prompt injection", f"{about}: {more}", tables, _curves(judged))


def _overall(judged: Sequence[Scored]) -> Table:
    """AUC and recall at fixed false alarms, all together and by how the text came in."""
    import numpy as np

    from guardrail.evaluate.figures import auc, bootstrap, recall_at
    from guardrail.evaluate.report import Table

    rows = []
    for name in ("all", *CHANNELS):
        chosen = [s for s in judged if name in ("all", s.row.channel)]
        score = np.array([s.score for s in chosen])
        attack = np.array([bool(s.row.attack) for s in chosen])
        if not attack.any() or attack.all():
            continue

        def drawn(
            figure: Callable[..., float],
            *more: float,
            score: Any = score,
            attack: Any = attack,
        ) -> str:
            def of(index: Any) -> float:
                s, a = score[index], attack[index]
                return figure(s[a], s[~a], *more)

            return str(bootstrap(of, len(score), rounds=300))

        counts = f"{attack.sum()}/{(~attack).sum()}"
        rows.append([name, counts, drawn(auc), drawn(recall_at, 0.01), drawn(recall_at, 0.05)])
    headings = ("", "attacks/harmless", "AUC", "found at 1% false", "found at 5% false")
    return Table("Ranking (95% bootstrap intervals)", headings, rows)


def _by(name: str, of: Callable[[Scored], str], judged: Sequence[Scored]) -> Table:
    """Attacks found and false alarms at the policy's own thresholds."""
    from guardrail.evaluate.figures import wilson
    from guardrail.evaluate.report import Table

    groups: dict[str, list[Scored]] = defaultdict(list)
    for item in judged:
        groups[of(item)].append(item)
    rows = []
    for group, items in [("all", list(judged)), *sorted(groups.items())]:
        row = [group]
        for attack in (True, False):
            hits = [s.hit for s in items if s.row.attack is attack]
            row += [str(len(hits)), str(wilson(sum(hits), len(hits))) if hits else "-"]
        rows.append(row)
    headings = (name, "attacks", "found", "harmless", "false alarms")
    return Table(f"By {name} (at the policy's thresholds, 95% intervals)", headings, rows)


def _calibration(judged: Sequence[Scored]) -> Table:
    from guardrail.evaluate.figures import calibration_error, reliability
    from guardrail.evaluate.report import Table

    scores = [s.score for s in judged]
    labels = [bool(s.row.attack) for s in judged]
    rows = [
        [f"{mean:.3f}", f"{share:.3f}", str(count)]
        for mean, share, count in reliability(scores, labels)
    ]
    error = f"expected calibration error {calibration_error(scores, labels):.3f}" if rows else ""
    return Table("Calibration", ("mean score", "share of attacks", "rows"), rows, error)


def _curves(judged: Sequence[Scored]) -> list[Curve]:
    import numpy as np

    from guardrail.evaluate.figures import reliability
    from guardrail.evaluate.report import Curve

    score = np.array([s.score for s in judged])
    attack = np.array([bool(s.row.attack) for s in judged])
    if not attack.any() or attack.all():
        return []
    cuts = np.quantile(score, np.linspace(1, 0, 200))
    ranked = [
        (float((score[~attack] >= c).mean()), float((score[attack] >= c).mean())) for c in cuts
    ]
    even = [(mean, share) for mean, share, _ in reliability(score, attack)]
    return [
        Curve("ROC", "across: false alarms, up: attacks found", [(0, 0), *ranked, (1, 1)]),
        Curve("Reliability", "across: mean score, up: share of attacks", even),
    ]


def _worst(title: str, items: Sequence[Scored], root: Path) -> Table:
    from guardrail.evaluate.report import Table

    rows = [
        [
            str(s.row.line),
            f"{s.score:.3f}",
            s.row.kind,
            s.row.source,
            " ".join(s.row.text.split())[:300],
        ]
        for s in items
    ]
    pictures = [_data_url(root / s.row.images[0]) if s.row.images else None for s in items]
    return Table(title, ("line", "score", "kind", "source", "text"), rows, pictures=pictures)


def _data_url(path: Path) -> str | None:
    """A small JPEG of a picture, or nothing where it cannot be drawn."""
    import io
    from base64 import b64encode

    from PIL import Image as Pillow

    try:
        with Pillow.open(path) as opened:
            opened.thumbnail((480, 360))
            out = io.BytesIO()
            opened.convert("RGB").save(out, "JPEG", quality=80)
    except (OSError, ValueError, Pillow.DecompressionBombError):
        return None
    return f"data:image/jpeg;base64,{b64encode(out.getvalue()).decode()}"
