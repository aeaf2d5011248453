"""Any text classifier of the transformers library, over texts of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from guardrail.detector import Detector, Spec, View
from guardrail.errors import NotRun
from guardrail.verdict import Finding, Span
from guardrail_detectors.pretrained import places_of, pretrained

BATCH = 8  # windows a forward pass


FLOOR = 0.1


class Window(NamedTuple):
    """A piece of a text and its score in each category."""

    start: int
    end: int
    scores: Mapping[str, float]


def classifier(
    *,
    model: str,
    labels: dict[str, str],
    multi_label: bool | None = None,
    window: int = 256,
    overlap: int = 32,
) -> Detector:
    """Scores texts with a text-classification model (extra `transformers`).

    model: a hub id or a local folder.
    labels: the model's classes that matter, each with the category of a finding; classes with
        the same category are added up. Other classes are ignored.
    multi_label: whether classes do not exclude each other (sigmoid, not softmax); as the model's
        own configuration says where left out.
    window: tokens that are looked at together. A longer text is looked at in windows, and a
        finding covers its window; the best window counts.
    overlap: tokens that one window shares with the next.

    Scores are the model's probabilities. Runs on the CPU.
    """
    if not labels:
        raise ValueError("labels: name at least one class of the model and its category")
    if not 16 <= window <= 8192:
        raise ValueError("window: from 16 to 8192 tokens")
    if not 0 <= overlap <= window // 2:
        raise ValueError("overlap: from 0 to half the window")

    def load() -> Windows:
        return _load(model, tuple(labels.items()), multi_label, window, overlap)

    def run(view: View) -> list[Finding]:
        windows = load()
        return [
            Finding("classifier", category, score, Span(part.name, piece.start, piece.end))
            for part in view.texts
            for piece in windows(part.text)
            for category, score in piece.scores.items()
            if score >= FLOOR
        ]

    spec = Spec(
        name="classifier",
        version="1",
        labels=tuple(dict.fromkeys(labels.values())),
        floor=FLOOR,
        threshold=0.5,
        model=model,
    )
    return Detector(spec, run, load)


Windows = Callable[[str], Iterator[Window]]


@lru_cache(maxsize=8)
def _load(
    name: str,
    labels: tuple[tuple[str, str], ...],
    multi_label: bool | None,
    size: int,
    overlap: int,
) -> Windows:
    model, tokenizer = pretrained(name, "AutoModelForSequenceClassification", "AutoTokenizer")

    import torch

    if not tokenizer.is_fast:
        raise NotRun(f"the model {name} has no fast tokenizer, which windows need")
    known = {str(label): int(index) for index, label in model.config.id2label.items()}
    classes = places_of(name, known, [label for label, _ in labels])
    problem = getattr(model.config, "problem_type", None)
    apart = problem == "multi_label_classification" if multi_label is None else multi_label
    apart = apart or len(known) == 1
    longest = min(size, int(getattr(model.config, "max_position_embeddings", size)))
    longest = min(longest, int(tokenizer.model_max_length))

    def probabilities(texts: Any) -> list[list[float]]:
        padded = tokenizer.pad(texts, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**padded).logits
        shares = torch.sigmoid(logits) if apart else torch.softmax(logits, dim=-1)
        rows: list[list[float]] = shares.clamp(0, 1).tolist()
        return rows

    def windows(text: str) -> Iterator[Window]:
        if not text.strip():
            return
        cut = tokenizer(
            text,
            truncation=True,
            max_length=longest,
            stride=min(overlap, longest // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        offsets = cut.pop("offset_mapping")
        cut.pop("overflow_to_sample_mapping")
        for first in range(0, len(offsets), BATCH):
            batch = {key: rows[first : first + BATCH] for key, rows in cut.items()}
            for places, row in zip(
                offsets[first : first + BATCH], probabilities(batch), strict=True
            ):
                spans = [place for place in places if place[0] < place[1]]
                if spans:
                    scores: dict[str, float] = {}
                    for label, category in labels:
                        score, best = row[classes[label]], scores.get(category, 0.0)
                        scores[category] = max(best, score) if apart else min(1.0, best + score)
                    yield Window(spans[0][0], spans[-1][1], scores)

    return windows
