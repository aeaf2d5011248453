"""What a backend says of things that are in pictures and of things that are not.

Probabilities are fitted by pictures: those scored are never among those fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = ("random", "popular", "adversarial")
PARTS = {"presence": ("present", *KINDS), "colour": ("colour",), "count": ("count",)}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black")
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


def scored(rows: list[dict[str, Any]], folder: Path, check: Any) -> Scores:
    """Ask a backend for what is there and what is not."""
    from guardrail_detectors.entities.backend import Asked as Question

    scores = Scores(rows)
    with click.progressbar(list(enumerate(rows)), label="pictures", hidden=len(rows) < 20) as bar:
        for number, row in bar:
            image = image_of(folder / row["file"], number)
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


def ranking(asked: Sequence[Asked], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """What AUC is taken of: where there is one feature, that alone orders the questions."""
    import numpy as np

    single = all(len(one.features) == 1 for one in asked)
    return np.array([one.features[0] for one in asked]) if single else chances


def as_calibrated(asked: Sequence[Asked], name: str, check: Any) -> NDArray[np.float64]:
    """The probability of each question, by the calibration of the rule."""
    import numpy as np

    return np.array([check.calibration[name](one.features) for one in asked])


def calibrated(scores: Scores, check: Any) -> Any:
    """A calibration fitted on all that was asked."""
    import numpy as np

    from guardrail_detectors.entities.calibration import Calibration
    from guardrail_detectors.entities.fitting import fit

    maps = dict(check.calibration.maps)
    for name, kinds in PARTS.items():
        asked = scores.of(*kinds)
        if asked:
            features = np.array([one.features for one in asked])
            maps[name] = fit(features, np.array([float(one.holds) for one in asked]))
    return Calibration(maps, check.abstain)


def image_of(path: Path, number: int) -> Any:
    """The picture of a row."""
    from guardrail import Image

    return Image(path.read_bytes(), name=f"images/{number}")
