"""The encoder in torch: the lower layers of multilingual-e5-small and a head on its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.bench.injection.backbone import Backbone, unpacked

HIDDEN, HEADS, INNER = 384, 12, 1536
PARTS = {"q": "q", "k": "k", "v": "v", "ao": "out", "fi": "up", "fo": "down"}


class Layer(nn.Module):
    """One layer of BERT (Devlin et al. 2019), normalised after the sums."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))
        self.up, self.down = nn.Linear(HIDDEN, INNER), nn.Linear(INNER, HIDDEN)
        self.norm1, self.norm2 = (nn.LayerNorm(HIDDEN, eps=1e-12) for _ in range(2))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        rows, length, _ = x.shape
        q, k, v = (
            part(x).view(rows, length, HEADS, -1).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(2, 3) * (HIDDEN // HEADS) ** -0.5 + bias
        seen = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, HIDDEN)
        x = self.norm1(x + self.out(seen))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Head(nn.Module):
    """A score for each token, and one for the chunk from its attended and mean tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Linear(HIDDEN, 1)
        self.look = nn.Linear(HIDDEN, 1)
        self.mix = nn.Linear(2 * HIDDEN + 1, 96)
        self.last = nn.Linear(96, 1)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`x` rows x tokens x hidden, `mask` 1 for tokens: chunk and token logits."""
        token = self.token(x).squeeze(-1)
        far = (1 - mask) * -1e4
        share = (self.look(x).squeeze(-1) + token + far).softmax(-1)
        seen = (share.unsqueeze(-1) * x).sum(1)
        mean = (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        strongest = (share * token).sum(1, keepdim=True)
        mixed = torch.cat([seen, mean, strongest * 0.1], -1)
        return self.last(F.gelu(self.mix(mixed))).squeeze(-1), token


class Encoder(nn.Module):
    """`depth` layers and a head. The word rows come from outside."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(512, HIDDEN), requires_grad=False)
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(depth))
        self.head = Head()

    def embed(self, words: Tensor) -> Tensor:
        """Word rows with their positions."""
        return self.norm(words + self.positions[: words.shape[1]])

    def run(self, x: Tensor, mask: Tensor, first: int, last: int) -> Tensor:
        """Layers `first` to `last`."""
        bias = ((1 - mask) * -1e4)[:, None, None, :]
        for layer in self.layers[first:last]:
            x = layer(x, bias)
        return x


class Lower(nn.Module):
    """The frozen layers, which all encoders share: from word rows to states."""

    def __init__(self, model: Encoder, count: int) -> None:
        super().__init__()
        self.model, self.count = model, count

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """States of the tokens."""
        return self.model.run(self.model.embed(words), mask, 0, self.count)


class Upper(nn.Module):
    """The fine-tuned layers and the head of one encoder: from states to chunk logits."""

    def __init__(self, model: Encoder, first: int) -> None:
        super().__init__()
        self.model, self.first = model, first

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """The chunk logits."""
        x = self.model.run(states, mask, self.first, len(self.model.layers))
        logits: Tensor = self.model.head(x, mask)[0]
        return logits


def from_backbone(backbone: Backbone, depth: int) -> Encoder:
    """The encoder with the backbone's weights and a fresh head."""
    torch.manual_seed(0)
    model = Encoder(depth)
    given = {name: torch.from_numpy(value.copy()) for name, value in backbone.tensors.items()}
    with torch.no_grad():
        kind = given["emb.type"].view(2, HIDDEN)[0]
        model.positions.copy_(given["emb.pos"].view(-1, HIDDEN) + kind)
        model.norm.weight.copy_(given["emb.ln.w"])
        model.norm.bias.copy_(given["emb.ln.b"])
        for index, layer in enumerate(model.layers):
            for short, name in PARTS.items():
                linear = getattr(layer, name)
                linear.weight.copy_(given[f"l{index}.{short}.w"].view_as(linear.weight))
                linear.bias.copy_(given[f"l{index}.{short}.b"])
            for short, name in (("aln", "norm1"), ("oln", "norm2")):
                getattr(layer, name).weight.copy_(given[f"l{index}.{short}.w"])
                getattr(layer, name).bias.copy_(given[f"l{index}.{short}.b"])
    return model


def mean(models: Sequence[Encoder]) -> Encoder:
    """The encoder whose weights are the mean of those of all."""
    states = [model.state_dict() for model in models]
    models[0].load_state_dict(
        {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    )
    return models[0]


def word_rows(backbone: Backbone, kept: Tensor) -> Tensor:
    """The embedding rows of the kept pieces."""
    return torch.from_numpy(unpacked(backbone.words[kept.numpy()]))
