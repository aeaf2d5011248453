"""The judge, fitted on what models make of sources that they have not seen, and its figures."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from guardrail.evaluate.figures import auc, bootstrap, recall_at, threshold_at, wilson
from guardrail_detectors.injection import encoder as shipped
from guardrail_detectors.injection.encoder import TOOL, TYPED
from guardrail_detectors.injection.linear import Linear
from guardrail_detectors.injection.scan import MOST_READ, Scan
from tests.bench.injection import weigh
from tests.bench.injection.folds import held
from tests.bench.injection.generate import SHOWN, generated, shown
from tests.bench.injection.training import Run, readable
from tests.bench.injection.written import held_samples

MISSED = 0.01  # of the attacks that the encoder finds, may never be shown to it


def look(run: Run, linear: Linear, reader: shipped.Encoder) -> list[weigh.Seen]:
    """Every labelled row of the sources that no model has seen, harmless rows drawn anew, of which
    there are more kinds, and the texts that were held out of those written one by one."""
    kept = run.work / "seen.pickle"
    if not kept.exists():
        scan = Scan(3, True, lambda: linear, lambda: reader)
        found = []
        rows = [row for row in readable(run.data) if held(row.group)]
        own = [row for row in readable(generated(2_500, 99)) if not row.attack]
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
