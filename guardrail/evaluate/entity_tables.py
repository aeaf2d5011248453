"""The tables of `guardrail eval entities`.

Figures as in POPE (Li et al., arXiv 2305.10355) for absences drawn at random, from what is often
there and from what goes with what is there, and as in CHAIR (Rohrbach et al., arXiv 1809.02156)
for answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardrail.evaluate.entity_scores import KINDS, Asked, Scores, cross_fitted, image_of, ranking

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from guardrail.evaluate.report import Table


def presence(scores: Scores, chances: NDArray[np.float64]) -> Table:
    """Present things against each kind of absent ones."""
    import numpy as np

    from guardrail.evaluate.figures import auc, bootstrap, calibration_error
    from guardrail.evaluate.report import Table

    asked = scores.of("present", *KINDS)
    kinds = np.array([one.kind for one in asked])
    pictures = np.array([one.picture for one in asked])
    ranks = ranking(asked, chances)
    low, high = 0.35, 0.65
    cells = []
    for kind in KINDS:
        used = (kinds == "present") | (kinds == kind)
        holds = kinds == "present"

        def figure(of: NDArray[np.intp], kind: str = kind) -> float:
            weight = np.bincount(of, minlength=len(scores.rows))[pictures]
            drawn = np.repeat(np.arange(len(asked)), weight)
            return auc(ranks[drawn][kinds[drawn] == "present"], ranks[drawn][kinds[drawn] == kind])

        said, truth = chances[used] >= 0.5, holds[used]
        right, found = (said & truth).sum(), said.sum()
        precision, recall = right / max(1, found), right / max(1, truth.sum())
        sure = (chances[used] <= low) | (chances[used] >= high)
        cells.append(
            (
                kind,
                f"{truth.sum()}/{(~truth).sum()}",
                str(bootstrap(figure, len(scores.rows), rounds=500)),
                f"{(said == truth).mean():.3f}",
                f"{precision:.3f}",
                f"{recall:.3f}",
                f"{2 * precision * recall / max(1e-9, precision + recall):.3f}",
                f"{said.mean():.3f}",
                f"{calibration_error(chances[used], truth):.3f}",
                f"{(~sure).mean():.3f}",
                f"{(said == truth)[sure].mean():.3f}",
            )
        )
    headings = (
        "absent things", "yes/no", "AUC (95%)", "accuracy", "precision", "recall", "F1",
        "yes rate", "ECE", "abstains", "accuracy, sure",
    )  # fmt: skip
    note = f"Abstains: the share between {low} and {high}."
    return Table("Presence", headings, cells, note)


def told_apart(name: str, asked: Sequence[Asked], chances: NDArray[np.float64]) -> Table:
    """Right colours or counts against wrong ones."""
    import numpy as np

    from guardrail.evaluate.figures import auc
    from guardrail.evaluate.report import Table

    holds = np.array([one.holds for one in asked])
    row = (
        f"{holds.sum()}/{(~holds).sum()}",
        f"{auc(chances[holds], chances[~holds]):.3f}",
        f"{((chances >= 0.5) == holds).mean():.3f}",
    )
    return Table(f"Wrong {name}s", ("right/wrong", "AUC", "accuracy"), [row])


def gain(scores: Scores, other: Scores) -> Table:
    """The AUC of one rule over that of another, resampled by picture, both on the same draw."""
    import numpy as np

    from guardrail.evaluate.figures import auc, bootstrap
    from guardrail.evaluate.report import Table

    def values(of: Scores) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        asked = of.of("present", *KINDS)
        return (
            np.array([one.kind for one in asked]),
            np.array([one.picture for one in asked]),
            ranking(asked, cross_fitted(asked)),
        )

    mine, theirs = values(scores), values(other)

    def area(of: tuple[NDArray[Any], ...], draw: NDArray[np.intp], kind: str) -> float:
        kinds, pictures, chances = of
        rows = np.repeat(
            np.arange(len(kinds)), np.bincount(draw, minlength=len(scores.rows))[pictures]
        )
        return auc(chances[rows][kinds[rows] == "present"], chances[rows][kinds[rows] == kind])

    cells = []
    for kind in KINDS:

        def figure(draw: NDArray[np.intp], kind: str = kind) -> float:
            return area(mine, draw, kind) - area(theirs, draw, kind)

        every = np.arange(len(scores.rows))
        cells.append(
            (
                kind,
                f"{area(theirs, every, kind):.4f}",
                f"{area(mine, every, kind):.4f}",
                str(bootstrap(figure, len(scores.rows))),
            )
        )
    return Table("Gain in AUC", ("absent things", "against", "this", "gain (95%)"), cells)


def invented(rows: Sequence[Mapping[str, Any]], folder: Path, check: Any) -> Iterator[Table]:
    """What free answers name that is not there, and how much of it the check finds.

    The truth is the row's objects, which have to be all of those of the label space.
    """
    from guardrail import Call, Content, Stage, Text, View
    from guardrail.evaluate.report import Table
    from guardrail_detectors.entities.claims import claims
    from guardrail_detectors.entities.classes import COCO, vocabulary

    words = vocabulary(COCO)
    tallies: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows):
        image = image_of(folder / row["file"], number)
        for model, answer in (row.get("answers") or row.get("vlm_answers") or {}).items():
            view = View(
                Stage.OUTPUT,
                (Text(answer, "output", "assistant", "model"),),
                Call(Content((image,))),
            )
            absent = {
                (f.where.start, f.where.end)
                for f in check.run(view)
                if f.label == "absent_entity" and f.score >= 1 - check.abstain[0]
            }
            tally = tallies.setdefault(model, dict.fromkeys(_TALLIES, 0))
            tally["answers"] += 1
            false_here = 0
            for claim in claims(answer):
                known = next((words[name] for name in claim.tails if name in words), None)
                if known is None:
                    continue
                there = COCO[known] in row["objects"]
                flagged = (claim.start, claim.end) in absent
                tally["named"] += 1
                tally["invented"] += not there
                tally["found"] += flagged and not there
                tally["false alarms"] += flagged and there
                false_here += not there
            tally["with inventions"] += bool(false_here)
    cells = [
        (
            model,
            str(t["answers"]),
            str(t["named"]),
            f"{t['invented'] / max(1, t['named']):.3f}",
            f"{t['with inventions'] / max(1, t['answers']):.3f}",
            f"{t['found']} of {t['invented']}",
            f"{t['false alarms']} of {t['named'] - t['invented']}",
        )
        for model, t in sorted(tallies.items())
    ]
    headings = (
        "answers by", "answers", "things named", "CHAIR i", "CHAIR s", "inventions flagged",
        "false alarms",
    )  # fmt: skip
    yield Table("Free answers", headings, cells)


_TALLIES = ("answers", "named", "invented", "with inventions", "found", "false alarms")
