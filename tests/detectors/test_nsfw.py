"""Explicit pictures: the embedded model, animations, and a transformers classifier."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pillow
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from guardrail import Area, Detector, Image, NotRun, PictureError, Stage, View
from guardrail.canaries import CANARIES
from guardrail_detectors.nsfw import nsfw
from tests.bench import pictures

(EXPLICIT,) = (canary.picture() for canary in CANARIES if canary.detector == "nsfw")


def score(detector: Detector, *images: Image) -> list[float]:
    return [finding.score for finding in detector.run(View(Stage.INPUT, images))]


def test_the_test_picture_is_found_and_ordinary_ones_are_not() -> None:
    detector = nsfw()
    high, low, page = score(
        detector, Image(EXPLICIT), Image(pictures.photo((640, 480))), Image(pictures.screenshot())
    )
    assert high > 0.9
    assert low < 0.3
    assert page < 0.1


def test_size_hardly_changes_the_score() -> None:
    out = BytesIO()
    Pillow.open(BytesIO(EXPLICIT)).resize((1500, 1500)).save(out, "JPEG")
    (large,) = score(nsfw(), Image(out.getvalue()))
    assert large > 0.9


def test_the_worst_frame_counts() -> None:
    bad = Pillow.open(BytesIO(EXPLICIT)).convert("RGB")
    calm = Pillow.new("RGB", bad.size, "white")
    out = BytesIO()
    calm.save(out, "PNG", save_all=True, append_images=[calm, bad, calm])
    (finding,) = nsfw().run(View(Stage.INPUT, (Image(out.getvalue()),)))
    assert finding.score > 0.9
    assert finding.where == Area("images/0", frame=2)


def test_a_broken_picture_is_an_error_not_a_pass() -> None:
    with pytest.raises(PictureError):
        score(nsfw(), Image(EXPLICIT[:500]))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ViT with random weights, saved as a user's local model."""
    folder = tmp_path_factory.mktemp("vit")
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        num_labels=3,
        id2label={0: "safe", 1: "drawn", 2: "explicit"},
        label2id={"safe": 0, "drawn": 1, "explicit": 2},
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_a_transformers_classifier_takes_the_models_place(classifier: Path) -> None:
    image = Image(pictures.screenshot())
    one, other, both = (
        score(nsfw(model=f"hf:{classifier}", unsafe_classes=classes), image)[0]
        for classes in (["explicit"], ["drawn"], ["drawn", "explicit"])
    )
    assert 0 < one < 1
    assert both == pytest.approx(one + other, abs=1e-5)


def test_a_class_the_model_lacks_is_not_run(classifier: Path) -> None:
    with pytest.raises(NotRun, match="no class 'lewd'"):
        score(nsfw(model=f"hf:{classifier}", unsafe_classes=["lewd"]), Image(EXPLICIT))


def test_weights_that_are_not_there_are_not_run(tmp_path: Path) -> None:
    with pytest.raises(NotRun, match="cannot be loaded"):
        score(nsfw(model=f"hf:{tmp_path}", unsafe_classes=["x"]), Image(EXPLICIT))


@pytest.mark.parametrize("arguments", [{"model": "best"}, {"model": "hf:x"}, {"threads": 0}])
def test_arguments_are_checked(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"model|unsafe_classes|threads"):
        nsfw(**arguments)  # type: ignore[arg-type]
