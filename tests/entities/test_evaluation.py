"""`guardrail eval entities` on painted pictures with a detector for them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from guardrail.cli import main
from guardrail_detectors.entities.calibration import Calibration, Logistic, read_calibration
from guardrail_detectors.entities.fitting import fit
from tests.entities.detectors import CLASSES, painted, write

COLOUR = dict(zip(CLASSES, ("#ff0000", "#0000ff", "#00ff00"), strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "patches.onnx")
    for crops in (1, 2):
        check = {
            "use": "entities",
            "backend": "detector",
            "file": "patches.onnx",
            "classes": list(CLASSES),
            "crops": crops,
            "read": False,
        }
        policy = {
            "apiVersion": "guardrail/v1",
            "policy": {"id": f"crops{crops}"},
            "rules": [{"id": "x", "when": "output", "check": check, "action": "flag"}],
        }
        (folder / f"crops{crops}.yaml").write_text(json.dumps(policy))
    rng = random.Random(1)
    rows: list[dict[str, object]] = [{"file": "other.png", "kind": "no objects"}]
    for number in range(16):
        here = rng.choice(CLASSES)
        gone = [name for name in CLASSES if name != here]
        x, y = rng.choice((32, 128)), rng.choice((32, 128))
        picture = painted((COLOUR[here], (x, y, x + 63, y + 63)))
        (folder / f"{number}.png").write_bytes(picture)
        rows.append(
            {
                "file": f"{number}.png",
                "objects": [here],
                "object_counts": {here: 1},
                "absent": {"random": gone, "popular": gone[:1], "adversarial": gone[1:]},
            }
        )
    rows[-1]["answers"] = {"model": f"A {here}, and a {gone[0]}."}
    (folder / "pope.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def run(data: Path, *words: str) -> tuple[int, str]:
    given = ["eval", "entities", str(data / "pope.jsonl"), *words]
    done = CliRunner().invoke(main, given, env={"COLUMNS": "200"})
    return done.exit_code, done.output


def test_figures_of_presence_gain_and_a_calibration(data: Path, tmp_path: Path) -> None:
    policies = [str(data / f"crops{crops}.yaml") for crops in (2, 1)]
    written = tmp_path / "calibration.json"
    code, said = run(data, "--policy", policies[0], "--against", policies[1], "--fit", str(written))
    assert code == 0, said
    assert "16 pictures; 0 names unknown to the backend" in said
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert rows["random"][2] == "1.0000"
    fitted = read_calibration(written)
    assert fitted["presence"]([5.0]) > 0.9 > 0.1 > fitted["presence"]([-6.0])


def test_the_calibration_of_the_rule_is_used_as_it_is(data: Path) -> None:
    code, said = run(data, "--policy", str(data / "crops1.yaml"), "--as-it-is")
    assert code == 0, said
    assert "the rule's calibration" in said


def test_a_policy_without_such_a_rule_is_told(data: Path) -> None:
    code, said = run(data, "--policy", "default")
    assert code == 2
    assert "no rule checks entities" in said


def test_a_calibration_comes_back_as_it_was(tmp_path: Path) -> None:
    made = Calibration({"presence": Logistic((1.5, -2.0), 0.25)}, (0.2, 0.7))
    made.write(tmp_path / "c.json")
    assert read_calibration(tmp_path / "c.json") == made


def test_a_fit_gives_back_the_odds_it_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 2))
    chances = 1 / (1 + np.exp(-(2 * features[:, 0] - features[:, 1])))
    labels = (rng.random(20_000) < chances).astype(float)
    found = fit(features, labels)
    assert found.weights == pytest.approx((2, -1), abs=0.1)
    assert found.bias == pytest.approx(0, abs=0.1)
