"""Zero-shot presence with a real model of open_clip: the small one that is trained for tests."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from guardrail import Action, Guard, Image, MissingExtra, NotRun, Stage, Text, View
from guardrail.evaluate.figures import auc
from guardrail_detectors.entities import encoders, entities
from guardrail_detectors.entities.backend import Asked
from guardrail_detectors.entities.check import Check
from guardrail_detectors.entities.contrast import Contrast, Settings
from guardrail_detectors.entities.encoders import OnnxPair, OpenClip, load_encoder
from tests.bench.drawn_clip.scenes import Scene, drawn
from tests.bench.drawn_clip.shapes import COLOURS, NOUNS, PAPERS, draw
from tests.entities.drawn import ARGUMENTS, FOLDER

CALIBRATED = {**ARGUMENTS, "calibration": str(FOLDER / "calibration.json")}


@pytest.fixture(scope="module")
def check() -> Check:
    made = entities(**CALIBRATED).warm()
    assert isinstance(made, Check)
    return made


def png(picture: Pillow.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def scenes(count: int, seed: int) -> Iterator[tuple[bytes, Scene]]:
    rng = random.Random(seed)
    for _ in range(count):
        picture, scene = drawn(rng)
        yield png(picture), scene


def showing(*things: tuple[str, str]) -> bytes:
    """A picture of up to four coloured things, one in each quarter."""
    picture = Pillow.new("RGB", (128, 128), PAPERS[0])
    for number, (colour, noun) in enumerate(things):
        thing, mask = draw(noun, 52, COLOURS[colour], PAPERS[0])
        picture.paste(thing, (6 + 62 * (number % 2), 6 + 62 * (number // 2)), mask)
    return png(picture)


def test_present_things_are_told_from_absent_ones_on_unseen_pictures(check: Check) -> None:
    present, absent = [], []
    rng = random.Random(5)
    for picture, scene in scenes(24, seed=90_001):
        there = sorted(scene.nouns)
        gone = rng.sample([noun for noun in NOUNS if noun not in scene.nouns], 6)
        seen = check.backend.look(Image(picture), [Asked((noun,)) for noun in [*there, *gone]])
        chances = [check.calibration["presence"](one.presence or ()) for one in seen]
        present += chances[: len(there)]
        absent += chances[len(there) :]
    assert auc(present, absent) >= 0.97


def test_the_model_is_open_clips_and_knows_what_it_learned(check: Check) -> None:
    encoder = load_encoder("open_clip", FOLDER.name, FOLDER, 1)
    assert isinstance(encoder, OpenClip)
    assert len(NOUNS) >= 60
    assert all(encoder.knows(noun) for noun in NOUNS)
    assert not encoder.knows("wombat")
    (seen,) = check.backend.look(Image(showing(("red", "fish"))), [Asked(("wombat",))])
    assert seen.presence is None


def guarded(rule: dict[str, Any], **arguments: Any) -> Guard:
    policy = {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "x"},
        "timeout_ms": 60_000,
        "rules": [
            {
                "id": "things",
                "when": "output",
                "check": {"use": "entities", **CALIBRATED, **arguments},
                **rule,
            }
        ],
    }
    return Guard(policy)


def test_an_answer_is_held_against_its_picture_end_to_end() -> None:
    picture = showing(("red", "fish"), ("blue", "house"), ("green", "umbrella"))
    answer = (
        "The picture shows a fish, a house and an umbrella. There is also a bicycle. "
        "No dog is visible."
    )
    rule = {"action": "replace", "text": "[unverified: {found}]"}
    done = guarded(rule, heat=True).check(answer, images=[picture])
    assert done.content.texts[0].text == answer.replace("a bicycle", "a [unverified: bicycle]")
    (finding,) = done.findings
    assert len(finding.heat) == 5
    scores = dict(next(run.best for run in done.record.stages[0].checks if run.name == "entities"))
    assert 0 <= scores["dissimilar"] <= 1
    json.dumps(done.record.to_dict())


def test_a_second_check_of_a_picture_costs_the_text_side_only() -> None:
    model = load_encoder("open_clip", FOLDER.name, FOLDER, 1)._model  # type: ignore[attr-defined]
    pictures: list[int] = []
    hook = model.visual.register_forward_hook(lambda *_: pictures.append(1))
    try:
        guard = guarded({"action": "flag"})
        picture = showing(("pink", "crown"), ("black", "anchor"))
        guard.check("A crown and a skull.", images=[picture])
        assert len(pictures) == 1
        guard.check("An anchor and a ladder.", images=[picture])
        assert len(pictures) == 1
    finally:
        hook.remove()


def test_weights_that_are_not_there_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDRAIL_MODELS", str(tmp_path))
    view = View(Stage.OUTPUT, (Text("A dog.", "output", "assistant", "model"),))
    with pytest.raises(NotRun, match="guardrail models pull open_clip/ViT-B-32/openai"):
        entities(model="ViT-B-32/openai", read=False).run(view)
    with pytest.raises(NotRun, match="no folder"):
        entities(file=str(tmp_path / "none"), read=False).run(view)
    with pytest.raises(NotRun, match="no weights"):
        entities(file=str(tmp_path), read=False).run(view)
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"broken")
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(NotRun, match="cannot be loaded"):
        entities(file=str(tmp_path), read=False).run(view)


def test_a_rule_without_weights_blocks_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDRAIL_MODELS", str(tmp_path))
    policy = {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "x"},
        "rules": [
            {
                "id": "things",
                "when": "output",
                "check": {"use": "entities", "read": False},
                "action": "flag",
            }
        ],
    }
    done = Guard(policy).check("A dog.", images=[showing(("red", "fish"))])
    assert done.action is Action.BLOCK
    assert "guardrail models pull open_clip/ViT-B-32/laion2b_s34b_b79k" in done.verdict.reason


def test_a_calibration_of_another_backend_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"maps": {"presence": {"weights": [1.0], "bias": 0.0}}, "abstain": null}')
    done = guarded({"action": "flag"}, calibration=str(path)).check(
        "A fish.", images=[showing(("red", "fish"))]
    )
    assert "is for another backend" in done.verdict.reason
    path.write_text("[]")
    done = guarded({"action": "flag"}, calibration=str(path)).check(
        "A fish.", images=[showing(("red", "fish"))]
    )
    assert "cannot be read" in done.verdict.reason


class _Vision(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels)  # type: ignore[no-any-return]


class _Words(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model.encode_text(ids)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a pair of ONNX files, with its tokenizer as tokenizer.json."""
    from open_clip import SimpleTokenizer
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("onnx")
    model = load_encoder("open_clip", FOLDER.name, FOLDER, 1)._model  # type: ignore[attr-defined]
    options: dict[str, Any] = {"dynamo": False, "opset_version": 17}
    torch.onnx.export(
        _Vision(model).eval(), (torch.zeros(1, 3, 64, 64),),
        str(folder / "vision_model.onnx"),
        input_names=["pixel_values"], output_names=["image_embeds"],
        **options,
    )  # fmt: skip
    torch.onnx.export(
        _Words(model).eval(), (torch.zeros(1, 16, dtype=torch.long),),
        str(folder / "text_model.onnx"),
        input_names=["input_ids"], output_names=["text_embeds"],
        dynamic_axes={"input_ids": {0: "n"}, "text_embeds": {0: "n"}}, **options,
    )  # fmt: skip
    words = SimpleTokenizer()
    merges = list(words.bpe_ranks)
    tokenizer = Tokenizer(models.BPE(words.encoder, merges, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    start, end = "<start_of_text>", "<end_of_text>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, words.sot_token_id), (end, words.eot_token_id)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"size": {"shortest_edge": 64}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.filterwarnings("ignore:.*")  # the exporter's, of tracing
def test_a_pair_of_onnx_files_gives_the_same(exported: Path) -> None:
    mine, theirs = OnnxPair(exported, 1), load_encoder("open_clip", FOLDER.name, FOLDER, 1)
    texts = ["a picture of a red fish", "two houses", "fish"]
    assert np.allclose(mine.texts(texts), theirs.texts(texts), atol=1e-4)
    pictures = [Pillow.open(BytesIO(data)).convert("RGB") for data, _ in scenes(2, seed=3)]
    assert np.allclose(mine.images(pictures), theirs.images(pictures), atol=0.02)
    settings = Settings(("{}", "a picture of {}"), NOUNS)
    picture = Image(showing(("red", "fish")))
    asked = [Asked(("fish",)), Asked(("ladder",))]
    fish, ladder = Contrast(mine, settings).look(picture, asked)
    assert fish.presence is not None
    assert ladder.presence is not None
    assert fish.presence[0] > ladder.presence[0] + 1


def test_onnx_files_that_are_not_there_are_not_run(tmp_path: Path) -> None:
    with pytest.raises(NotRun, match="no ONNX dual encoder"):
        OnnxPair(tmp_path, 1)
    with pytest.raises(NotRun, match="file: name the folder"):
        load_encoder("onnx", "", None, 1)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(MissingExtra, match=r"guardrail-vision\[clip\]"):
        encoders.OpenClip("x", FOLDER, 1)
