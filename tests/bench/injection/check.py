"""Texts that no model was trained on, and how many of them are flagged:
python -m tests.bench.injection.check [--show]

They were written one by one for this, by other hands than those that the models learn from, and
stand in the folder `check`, each kind in a file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from guardrail.evaluate.figures import auc, recall_at, wilson
from guardrail_detectors.injection.scan import Scan
from tests.bench.injection.written import lines

KINDS = {
    "typed": (("ordinary", "tricky"), ("jailbreak",)),
    "tool": (("documents",), ("poisoned",)),
}
THRESHOLD = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--show", action="store_true", help="print what is judged wrongly")
    given = parser.parse_args()
    scan, folder = Scan(3, True), Path(__file__).parent / "check"
    for source, (harmless, attacks) in KINDS.items():
        score: dict[str, list[float]] = {}
        for kind in (*harmless, *attacks):
            texts = lines(folder, kind)
            score[kind] = [max(s for _, s in scan(text, source)) for text in texts]
            flagged = [value >= THRESHOLD for value in score[kind]]
            print(f"{source} {kind}: {wilson(sum(flagged), len(flagged))} flagged of {len(texts)}")
            for text, wrong in zip(texts, flagged, strict=True):
                if given.show and wrong != (kind in attacks):
                    print(f"    {text[:160]!r}")
        hits = [value for kind in attacks for value in score[kind]]
        misses = [value for kind in harmless for value in score[kind]]
        print(
            f"{source}: AUC {auc(hits, misses):.3f}, found at 1%/5% false alarms "
            f"{recall_at(hits, misses, 0.01):.3f}/{recall_at(hits, misses, 0.05):.3f}"
        )


if __name__ == "__main__":
    main()
