"""Rows that were written one by one, in the folder `samples`."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from guardrail_detectors.injection.encoder import TOOL, TYPED
from tests.bench.injection.planting import as_read, document, put
from tests.bench.injection.rows import Row

SAMPLES_HELD = "own/samples-held"
_TEXTS = Path(__file__).parent / "samples"
_SAMPLES = {
    "ordinary": (False, TYPED, "ordinary"),
    "tricky": (False, TYPED, "overdefense"),
    "jailbreak": (True, TYPED, "jailbreak"),
    "attack": (True, TYPED, "direct"),
    "documents": (False, TOOL, "document"),
}
_PLACE = re.compile("⟦(.*?)‖(.*?)⟧", re.DOTALL)  # of an instruction, or of what belongs there


def samples(seed: int, *, everything: bool = False, copies: int = 2) -> list[Row]:
    """Texts that were written one by one for the project, in the folder `samples`: prompts,
    documents, instructions of which each is put into so many documents, which are there without
    it too, and pairs of documents. One in five is held out, except from `everything`."""
    return [row for row in _samples(seed, copies) if everything or row.group != SAMPLES_HELD]


def held_samples(seed: int) -> list[Row]:
    """Those that are held out."""
    return [row for row in _samples(seed, 1) if row.group == SAMPLES_HELD]


def _samples(seed: int, copies: int) -> Iterator[Row]:
    rng = random.Random(seed)
    for name, (attack, channel, kind) in _SAMPLES.items():
        for text in lines(_TEXTS, name):
            yield Row(text, attack, channel, kind, _sample_group(text))
    for text in lines(_TEXTS, "paired"):
        yield from _pair(rng, text)
    documents: dict[str, list[str]] = {}
    for text in lines(_TEXTS, "documents"):
        documents.setdefault(_sample_group(text), []).append(text)
    for order in lines(_TEXTS, "planted") * copies:
        group = _sample_group(order)
        text = rng.choice(documents[group]) if rng.random() < 0.5 else document(rng)[0]
        yield put(rng, text, order, "en", group)
        yield as_read(rng, Row(text, False, TOOL, "document", group))


def _pair(rng: random.Random, text: str) -> Iterator[Row]:
    """A document with an instruction at a place, and the same document with what belongs there."""
    group, found = _sample_group(text), _PLACE.search(text)
    if found is None:
        raise ValueError(f"no place for an instruction is marked: {text[:60]!r}")
    for part, attack in ((1, True), (2, False)):
        start, end = found.span()
        whole = text[:start] + found[part] + text[end:]
        span = (start, start + len(found[part])) if attack else None
        kind = "indirect" if attack else "document"
        yield as_read(rng, Row(whole, attack, TOOL, kind, group, span=span))


def _sample_group(text: str) -> str:
    return SAMPLES_HELD if crc32(text.encode()) % 5 == 0 else "own/samples"


def lines(folder: Path, kind: str) -> list[str]:
    """The texts of a folder's files of a kind, one a line; a line break inside one is written as
    two characters."""
    files = sorted(folder.glob(f"{kind}*.txt"))
    found = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return [line.replace("\\n", "\n") for line in found if line]
