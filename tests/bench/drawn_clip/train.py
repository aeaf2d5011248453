"""Trains the small CLIP of the tests: python -m tests.bench.drawn_clip.train [MINUTES [TO [FROM]]]

The model is open_clip's own (a ModifiedResNet of four blocks on 64 pixels a side, a text
transformer of two layers over CLIP's own tokenizer), the loss is open_clip's SigLipLoss with the
truth of every picture under every caption of the batch in place of its diagonal (Zhai et al.,
arXiv 2303.15343). Captions of a batch are facts of its pictures and facts that differ in a word.
Things are learned first; then the pairs that differ in a colour, a number or a word count more.
Drawn with one seed, watched on pictures of another, on one CPU thread. With FROM, training goes on
from a model after its first part.
"""

from __future__ import annotations

import json
import random
import sys
import time
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from guardrail.evaluate.figures import auc
from guardrail_detectors.torchvision import mend
from tests.bench.drawn_clip.scenes import Fact, Scene, caption, drawn, facts_near
from tests.bench.drawn_clip.shapes import COLOURS, NOUNS

FOLDER = Path(__file__).parents[2] / "entities" / "drawn_clip"
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 64,
        "heads": 4,
        "layers": 2,
    },
    "init_logit_scale": 2.302585,
    "init_logit_bias": -6.0,
}
PREPROCESS = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
BATCH, PICTURES, WATCHED = 192, 16_000, 300
RATE, DECAY = 2e-3, 0.02
FIRST = 0.3  # the part of the time in which things are learned
NEAR = 3.0  # how much more those pairs count that differ in a colour, a number or a word alone


def _is_near(fact: Fact, scene: Scene) -> bool:
    """Whether the picture shows the thing, so that the rest of the fact decides."""
    if fact[0] == "word":
        return scene.word is not None
    return fact[0] in ("colour", "count") and fact[-1] in scene.nouns


def pictures(count: int, seed: int) -> tuple[np.ndarray[Any, Any], list[Scene]]:
    """Drawn pictures at the model's size, bytes (count, 3, 64, 64), and their scenes."""
    rng, scenes = random.Random(seed), []
    side = MODEL["vision_cfg"]["image_size"]
    pixels = np.empty((count, 3, side, side), np.uint8)
    for row in range(count):
        picture, scene = drawn(rng)
        small = picture.resize((side, side), Image.Resampling.BICUBIC)
        pixels[row] = np.asarray(small).transpose(2, 0, 1)
        scenes.append(scene)
    return pixels, scenes


def normal(pixels: np.ndarray[Any, Any]) -> torch.Tensor:
    """As the model's preprocessing has it."""
    return (torch.from_numpy(pixels).float() / 255 - 0.5) / 0.25


def train(minutes: float, folder: Path, start: Path | None = None) -> None:
    """Train for so many minutes of wall time, and save the model."""
    mend()
    import open_clip
    from open_clip.loss import SigLipLoss
    from open_clip.model import CLIP

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = CLIP(**MODEL, output_dict=True).to(memory_format=torch.channels_last)
    tokenizer = open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])

    class KnownTruth(SigLipLoss):
        truth: torch.Tensor  # (pictures, captions): 1 true, -1 false, 0 left out

        def get_ground_truth(self, *_: Any, **__: Any) -> torch.Tensor:
            return self.truth

    loss_of = KnownTruth()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    data, scenes = pictures(PICTURES, seed=0)
    watched = pictures(WATCHED, seed=1)
    rng, order, seen = random.Random(2), np.random.default_rng(2), set[int]()
    began, busy, step, told = time.monotonic(), time.process_time(), 0, 0.0
    print(f"{PICTURES} pictures drawn", flush=True)
    skipped = 0.0
    if start is not None:
        from safetensors.torch import load_file

        state = load_file(start / "open_clip_model.safetensors")
        model.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
        skipped = FIRST
    while (gone := skipped + (1 - skipped) * (time.monotonic() - began) / 60 / minutes) < 1:
        warm = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = RATE * warm * (0.02 + 0.98 * (1 + cos(pi * gone)) / 2)
        rows = order.choice(PICTURES, BATCH, replace=False)
        facts = list(dict.fromkeys(fact for row in rows for fact in facts_near(scenes[row], rng)))
        tokens = tokenizer([caption(fact, rng) for fact in facts])
        seen.update(tokens.unique().tolist())
        truth = torch.tensor([[1.0 if f in scenes[r].facts else -1.0 for f in facts] for r in rows])
        near = torch.tensor([[float(_is_near(f, scenes[r])) for f in facts] for r in rows])
        pixels = normal(data[rows])
        pixels = pixels * (0.85 + 0.3 * torch.rand(BATCH, 1, 1, 1)) + 0.08 * torch.randn(
            BATCH, 3, 1, 1
        )
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            out = model(pixels.to(memory_format=torch.channels_last), tokens)
        vectors = out["image_features"].float(), out["text_features"].float()
        loss = torch.zeros(())
        weight_near = NEAR * min(1.0, max(0.0, 5 * (gone - FIRST)))
        for weight, loss_of.truth in ((1.0, truth), (weight_near, truth * near)):
            loss = loss + weight * loss_of(*vectors, out["logit_scale"], out["logit_bias"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if gone - told > 0.04 or step == 20:
            told = gone
            seconds = time.process_time() - busy
            figures = watch(model, tokenizer, watched)
            shown = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
            print(
                f"{gone:4.0%} {seconds:.0f} s step {step} loss {loss.item():.2f} AUC {shown}",
                flush=True,
            )
            save(model, folder, sorted(seen))
    print(watch(model, tokenizer, watched))
    save(model, folder, sorted(seen))


@torch.inference_mode()
def watch(
    model: torch.nn.Module, tokenizer: Any, watched: tuple[np.ndarray[Any, Any], list[Scene]]
) -> dict[str, float]:
    """AUC of single prompts on whole pictures of another seed: things, and colours of things."""
    model.eval()
    images = torch.cat([model.encode_image(normal(b), True) for b in np.split(watched[0], 6)])
    rng = random.Random(0)
    facts = [("noun", noun) for noun in NOUNS]
    facts += [("colour", c, noun) for c in COLOURS for noun in NOUNS]
    texts = model.encode_text(tokenizer([caption(fact, rng) for fact in facts]), True)
    scores = (images @ texts.T).numpy()
    figures: dict[str, tuple[list[float], list[float]]] = {"noun": ([], []), "colour": ([], [])}
    for row, scene in zip(scores, watched[1], strict=True):
        for fact, score in zip(facts, row, strict=True):
            if fact[-1] in scene.nouns or fact[0] == "noun":
                figures[fact[0]][fact not in scene.facts].append(float(score))
    return {name: auc(*scored) for name, scored in figures.items()}


def save(model: torch.nn.Module, folder: Path, seen: list[int]) -> None:
    """Write a folder that open_clip loads as local-dir: half precision; the embeddings of tokens
    that were never seen are zero."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    table = state["token_embedding.weight"]
    state["token_embedding.weight"] = torch.zeros_like(table)
    state["token_embedding.weight"][seen] = table[seen]
    state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    state.pop("attn_mask", None)
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    minutes, *where = sys.argv[1:] or ["45"]
    folders = [Path(name) for name in where] or [FOLDER]
    train(float(minutes), *folders)
