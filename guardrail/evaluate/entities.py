"""`guardrail eval entities`: things told to be in pictures and not, and what free answers invent.

Figures as in POPE (Li et al., arXiv 2305.10355) for absences drawn at random, from what is often
there and from what goes with what is there, and as in CHAIR (Rohrbach et al., arXiv 1809.02156)
for answers. Probabilities are fitted by pictures: those scored are never among those fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guardrail.cli.common import A_FILE, fail, load_guard, terminal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from guardrail.evaluate.report import Table

KINDS = ("random", "popular", "adversarial")
FOLDS = 8


@dataclass(frozen=True)
class Asked:
    """One thing asked of one picture: whether it holds, and the backend's features."""

    picture: int
    kind: str  # "present", one of KINDS, "colour" or "count"
    features: tuple[float, ...]
    holds: bool


@dataclass
class Scores:
    """All that was asked of the pictures of a data set under one rule."""

    rows: list[dict[str, Any]]
    asked: list[Asked] = field(default_factory=list)
    unknown: int = 0

    def of(self, *kinds: str) -> list[Asked]:
        """The questions of some kinds."""
        return [one for one in self.asked if one.kind in kinds]


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
        name: _as_it_is(scores.of(*kinds), name, check)
        if as_it_is
        else cross_fitted(scores.of(*kinds))
        for name, kinds in (
            ("presence", ("present", *KINDS)),
            ("colour", ("colour",)),
            ("count", ("count",)),
        )
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
        _fit(scores, check).write(fitted)
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


def scored(rows: list[dict[str, Any]], folder: Path, check: Any) -> Scores:
    """Ask a backend for what is there and what is not."""
    from guardrail_detectors.entities.backend import Asked as Question

    scores = Scores(rows)
    with click.progressbar(list(enumerate(rows)), label="pictures", hidden=len(rows) < 20) as bar:
        for number, row in bar:
            image = _image(folder / row["file"], number)
            counts, colours = row.get("object_counts") or {}, row.get("colours") or {}
            wanted: list[tuple[str, Question, bool]] = []
            for name in row["objects"]:
                wanted.append(("present", Question((name,)), True))
                for colour, holds in _others(colours.get(name), COLOURS, number):
                    wanted.append(("colour", Question((name,), colours=(colour,)), holds))
                for count, holds in _near(counts.get(name)):
                    wanted.append(("count", Question((name,), count=count), holds))
            for kind in KINDS:
                wanted += [(kind, Question((n,)), False) for n in row["absent"].get(kind, ())]
            for (kind, _, holds), seen in zip(
                wanted, check.backend.look(image, [one for _, one, _ in wanted]), strict=True
            ):
                part = kind if kind in ("colour", "count") else "presence"
                features = getattr(seen, part)
                if features is None:
                    scores.unknown += part == "presence"
                    continue
                scores.asked.append(Asked(number, kind, features, holds))
    return scores


COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black")


def _others(right: str | None, of: Sequence[str], number: int) -> Iterator[tuple[str, bool]]:
    """The right one, and a wrong one that changes from picture to picture."""
    if right in of:
        wrong = [one for one in of if one != right]
        yield str(right), True
        yield wrong[number % len(wrong)], False


def _near(count: int | None) -> Iterator[tuple[int, bool]]:
    """The right number up to four, and its neighbours."""
    if count is not None and 1 <= count <= 4:
        yield count, True
        yield (count + 1 if count < 4 else 3), False


def cross_fitted(asked: Sequence[Asked]) -> NDArray[np.float64]:
    """The probability of each question, by a map fitted on other pictures."""
    import numpy as np

    from guardrail_detectors.entities.fitting import fit

    features = np.array([one.features for one in asked])
    holds = np.array([float(one.holds) for one in asked])
    pictures = np.array([one.picture for one in asked])
    order = np.random.default_rng(0).permutation(pictures.max() + 1)
    chances = np.zeros(len(asked))
    for fold in range(FOLDS):
        here = order[pictures] % FOLDS == fold
        if here.any() and not here.all():
            logistic = fit(features[~here], holds[~here])
            chances[here] = [logistic(row) for row in features[here]]
    return chances


def _ranking(asked: Sequence[Asked], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """What AUC is taken of: where there is one feature, that alone orders the questions."""
    import numpy as np

    single = all(len(one.features) == 1 for one in asked)
    return np.array([one.features[0] for one in asked]) if single else chances


def _as_it_is(asked: Sequence[Asked], name: str, check: Any) -> NDArray[np.float64]:
    import numpy as np

    return np.array([check.calibration[name](one.features) for one in asked])


def presence(scores: Scores, chances: NDArray[np.float64]) -> Table:
    """Present things against each kind of absent ones."""
    import numpy as np

    from guardrail.evaluate.figures import auc, bootstrap, calibration_error
    from guardrail.evaluate.report import Table

    asked = scores.of("present", *KINDS)
    kinds = np.array([one.kind for one in asked])
    pictures = np.array([one.picture for one in asked])
    ranks = _ranking(asked, chances)
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
            _ranking(asked, cross_fitted(asked)),
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
        image = _image(folder / row["file"], number)
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


def _image(path: Path, number: int) -> Any:
    from guardrail import Image

    return Image(path.read_bytes(), name=f"images/{number}")


def _fit(scores: Scores, check: Any) -> Any:
    import numpy as np

    from guardrail_detectors.entities.calibration import Calibration
    from guardrail_detectors.entities.fitting import fit

    maps = dict(check.calibration.maps)
    for name, kinds in (
        ("presence", ("present", *KINDS)),
        ("colour", ("colour",)),
        ("count", ("count",)),
    ):
        asked = scores.of(*kinds)
        if asked:
            features = np.array([one.features for one in asked])
            maps[name] = fit(features, np.array([float(one.holds) for one in asked]))
    return Calibration(maps, check.abstain)
