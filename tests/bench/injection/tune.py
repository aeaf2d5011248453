"""Fine-tuning of the encoder: the upper layers and the head, on chunks of texts."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from guardrail_detectors.injection.encoder import BEFORE
from guardrail_detectors.injection.pieces import _WORD, Pieces
from guardrail_detectors.normalise import plain
from tests.bench.injection.backbone import Backbone
from tests.bench.injection.network import Encoder
from tests.bench.injection.rows import Row

LIMIT = 128  # pieces of a chunk, beside the three or so around it
FROZEN = 3  # lower layers left as they are
BATCH = 1_200  # tokens of a batch, where none is learned from


@dataclass
class Piece:
    """A chunk of a row, ready for the encoder."""

    row: int
    ids: list[int]
    label: float
    tokens: list[float] | None  # 1 where the instruction stands; None where that is unknown
    weight: float
    unsure: bool  # one of several chunks of an attack that may stand in any of them


def vocabulary(backbone: Backbone, size: int) -> Pieces:
    """The `size` most frequent pieces and every single character."""
    kept = kept_pieces(backbone, size)
    return Pieces(
        [backbone.pieces[i] for i in kept], backbone.scores[kept].tolist(), backbone.normal
    )


def kept_pieces(backbone: Backbone, size: int) -> NDArray[np.int64]:
    """Which pieces `vocabulary` keeps; pieces are sorted by frequency."""
    return np.array([i for i, p in enumerate(backbone.pieces) if i < size or len(p) == 1])


def prefix(pieces: Pieces, channel: str) -> list[int]:
    """What stands before a chunk: where it was found."""
    return [0, *pieces.word(BEFORE[channel])]


def cut(rows: Sequence[Row], pieces: Pieces, most: int = 12) -> list[Piece]:
    """Rows as chunks."""
    found = []
    for number, row in enumerate(rows):
        text = row.text
        if row.span is None:
            text = plain(text).text
        chunks = list(pieces.chunks(text, LIMIT))[:most]
        for chunk in chunks:
            tokens: list[float] | None = None
            label = float(row.attack)
            if row.span is not None:
                tokens = []
                for word in _WORD.finditer(text, chunk.start, chunk.end):
                    inside = row.span[0] <= word.start() < row.span[1]
                    tokens += [float(inside)] * len(pieces.word(word[0]))
                tokens = tokens[: len(chunk.ids)]
                overlap = min(chunk.end, row.span[1]) - max(chunk.start, row.span[0])
                if 0 < overlap < min(25, 0.5 * (row.span[1] - row.span[0])):
                    continue
                label = float(overlap > 0)
            elif not row.attack:
                tokens = [0.0] * len(chunk.ids)
            before = prefix(pieces, row.channel)
            ids = [*before, *chunk.ids, 2]
            if tokens is not None:
                tokens = [0.0] * len(before) + tokens + [0.0]
            unsure = row.attack and row.span is None and len(chunks) > 1
            found.append(Piece(number, ids, label, tokens, row.weight, unsure))
    return found


def batches(pieces: Sequence[Piece], rng: random.Random, size: int = BATCH) -> list[list[int]]:
    """Chunks of like length together, in random order."""
    order = sorted(range(len(pieces)), key=lambda i: len(pieces[i].ids) + rng.random() * 4)
    found: list[list[int]] = [[]]
    for index in order:
        longest = len(pieces[index].ids)
        if found[-1] and longest * (len(found[-1]) + 1) > size:
            found.append([])
        found[-1].append(index)
    rng.shuffle(found)
    return found


def padded(rows: Sequence[Sequence[float]], fill: float = 0) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def narrow() -> AbstractContextManager[object]:
    """Sums in 16 bits where the processor has them: elsewhere they take many times as long."""
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


class Lower:
    """What the frozen layers make of each chunk, computed once."""

    def __init__(self, model: Encoder, words: Tensor) -> None:
        self.model, self.words = model, words

    def __call__(self, pieces: Sequence[Piece], log: Path) -> list[Tensor]:
        states: list[Tensor] = [torch.zeros(0)] * len(pieces)
        started = time.time()
        for number, batch in enumerate(batches(pieces, random.Random(0))):
            ids = padded([pieces[i].ids for i in batch], 1).long()
            mask = padded([[1.0] * len(pieces[i].ids) for i in batch])
            with torch.no_grad(), narrow():
                x = self.model.run(self.model.embed(self.words[ids]), mask, 0, FROZEN)
            for row, i in enumerate(batch):
                states[i] = x[row, : len(pieces[i].ids)].to(torch.bfloat16).clone()
            if number % 50 == 0:
                note(log, f"lower {number} {time.time() - started:.0f}s")
        return states


def note(log: Path, line: str) -> None:
    with log.open("a") as out:
        out.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def upper(
    model: Encoder, states: Sequence[Tensor], batch: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Chunk and token logits of a batch, and the mask."""
    x = torch.nn.utils.rnn.pad_sequence([states[i] for i in batch], batch_first=True).float()
    mask = padded([[1.0] * len(states[i]) for i in batch])
    with narrow():
        x = model.run(x, mask, FROZEN, len(model.layers))
    chunk, token = model.head(x.float(), mask)
    return chunk, token, mask


def scores(
    model: Encoder, pieces: Sequence[Piece], states: Sequence[Tensor]
) -> NDArray[np.float64]:
    """The logit of every chunk."""
    model.eval()
    found = np.zeros(len(pieces))
    with torch.no_grad():
        for batch in batches(pieces, random.Random(0)):
            found[batch] = upper(model, states, batch)[0].double().numpy()
    return found


def _likeliest(model: Encoder, pieces: Sequence[Piece], states: Sequence[Tensor]) -> dict[int, int]:
    """Of each attack that may stand in any of its chunks, the chunk with the highest logit."""
    unsure = [index for index, piece in enumerate(pieces) if piece.unsure]
    current = scores(model, [pieces[i] for i in unsure], [states[i] for i in unsure])
    best: dict[int, int] = {}
    for index, _ in sorted(zip(unsure, current, strict=True), key=lambda pair: pair[1]):
        best[pieces[index].row] = index
    return best


def train(
    model: Encoder,
    pieces: Sequence[Piece],
    states: Sequence[Tensor],
    *,
    rate: float,
    batch: int,
    log: Path,
    seed: int,
    epochs: int = 1,
) -> None:
    """Fit the upper layers and the head. In an attack of several chunks whose place is unknown,
    the chunk with the highest score so far is taken for it, and the others are left out."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    fitted = [p for layer in model.layers[FROZEN:] for p in layer.parameters()]
    head = list(model.head.parameters())
    optimiser = torch.optim.AdamW(
        [{"params": fitted, "lr": rate}, {"params": head, "lr": 3 * rate}], weight_decay=0.01
    )
    plan = [batches(pieces, rng, batch) for _ in range(epochs)]
    steps = sum(map(len, plan))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / 50, 1.0) * max(0.02, 1 - step / steps)
    )
    started, shown = time.time(), []
    for epoch in plan:
        best = _likeliest(model, pieces, states)
        model.train()
        for whole in epoch:
            chosen = [i for i in whole if not pieces[i].unsure or best[pieces[i].row] == i]
            if not chosen:
                schedule.step()
                continue
            chunk, token, mask = upper(model, states, chosen)
            label = torch.tensor([pieces[i].label for i in chosen])
            weight = torch.tensor([pieces[i].weight for i in chosen])
            loss = F.binary_cross_entropy_with_logits(chunk, label * 0.98 + 0.01, weight)
            marked = [r for r, i in enumerate(chosen) if pieces[i].tokens is not None]
            if marked:
                truth = padded([pieces[chosen[r]].tokens or [] for r in marked])
                seen = mask[marked][:, : truth.shape[1]]
                raw = F.binary_cross_entropy_with_logits(
                    token[marked][:, : truth.shape[1]], truth, reduction="none"
                )
                loss = loss + 0.5 * (raw * seen).sum() / seen.sum()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*fitted, *head], 1.0)
            optimiser.step()
            schedule.step()
            shown.append(loss.item())
            if len(shown) % 25 == 0:
                note(
                    log,
                    f"step {len(shown)}/{steps} loss {np.mean(shown[-25:]):.4f}"
                    f" {time.time() - started:.0f}s",
                )
