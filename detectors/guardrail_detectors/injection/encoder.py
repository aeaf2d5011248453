"""Tier two: the lower half of multilingual-e5-small, fine-tuned, over chunks of whole sentences.

The lowest layers are the backbone's own. Above them stand two encoders, since what is ordinary in
typed text, a task, is an attack in a document: one reads what was typed or had to be decoded, the
other tools, documents and pictures. The word rows are kept as the backbone's four-bit blocks and
looked up here; the layers are 8-bit ONNX graphs. See docs/injection-model.md for data, figures
and licences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from guardrail_detectors.injection.pieces import Chunk, Pieces
from guardrail_detectors.sessions import session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LIMIT = 128  # pieces of a chunk

# The word before a chunk tells where it stands. The first two are those that e5 was trained with.
TYPED, TOOL, UNREADABLE = "typed", "tool", "unreadable"
BEFORE = {TYPED: "query:", TOOL: "passage:", UNREADABLE: "decoded:"}

# Which encoder reads what stands there.
ENCODERS = {"typed": (TYPED, UNREADABLE), "documents": (TOOL,)}

_FIRST, _LAST = 0, 2
_REMEMBERED = 20_000  # logits, each under a digest of its chunk


def weights(name: str) -> Path:
    """A file of the shipped weights."""
    return Path(str(files(__package__).joinpath("weights", name)))


@lru_cache(maxsize=1)
def load_pieces() -> Pieces:
    """The shipped vocabulary, once a process."""
    with np.load(weights("pieces.npz")) as at:
        pieces = at["pieces"].tobytes().decode().split("\n")
        normal = at["normal"].tobytes().decode("utf-8", "surrogatepass").split("\x00")
        return Pieces(
            pieces, at["scores"].tolist(), dict(zip(normal[::2], normal[1::2], strict=True))
        )


class Encoder:
    """Gives each chunk a logit for holding an attack. `lower` makes states of word rows, and the
    graph of a place in `upper` makes a logit of these."""

    def __init__(
        self,
        lower: InferenceSession,
        upper: Mapping[str, InferenceSession],
        rows: NDArray[np.uint8],
        pieces: Pieces,
    ) -> None:
        self._lower, self._upper, self._rows, self._pieces = lower, upper, rows, pieces
        self._before = {place: (_FIRST, *pieces.word(word)) for place, word in BEFORE.items()}
        self._known: dict[bytes, float] = {}

    def logits(self, chunks: Sequence[tuple[Chunk, str]]) -> NDArray[np.float64]:
        """The logit of every chunk, given with its place (see `BEFORE`). Each runs alone: the
        8-bit layers scale what they are given by its largest value, so that a chunk's logit would
        depend on its neighbours. What was read before, as another reading or in an earlier turn,
        is not read again."""
        return np.array([self._logit(chunk, place) for chunk, place in chunks])

    def _logit(self, chunk: Chunk, place: str) -> float:
        ids = np.array([(*self._before[place], *chunk.ids, _LAST)])
        key = blake2b(ids.tobytes(), digest_size=16).digest()
        logit = self._known.get(key)
        if logit is None:
            mask = np.ones(ids.shape, np.float32)
            words = _unpacked(self._rows[ids])
            (states,) = self._lower.run(None, {"words": words, "mask": mask})
            (logits,) = self._upper[place].run(None, {"states": states, "mask": mask})
            logit = float(logits[0])
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = logit
        return logit


def _unpacked(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows of numbers from blocks of one half-precision scale and 32 four-bit numbers."""
    blocks = packed.reshape(*packed.shape[:-1], -1, 18)
    scale = blocks[..., :2].copy().view(np.float16).astype(np.float32)
    both = np.concatenate([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], -1)
    values: NDArray[np.float32] = (both.astype(np.float32) - 8) * scale
    return values.reshape(*packed.shape[:-1], -1)


@lru_cache(maxsize=1)
def load_encoder() -> Encoder:
    """The shipped encoders, once a process, on one thread."""
    return opened(weights("."))


def opened(folder: Path) -> Encoder:
    """The encoders whose layers lie in a folder, with the shipped vocabulary."""
    rows = np.load(weights("words.npy"), mmap_mode="r")
    upper = {
        place: graph
        for name, places in ENCODERS.items()
        for graph in [session(folder / f"encoder-{name}.onnx")]
        for place in places
    }
    return Encoder(session(folder / "encoder-lower.onnx"), upper, rows, load_pieces())
