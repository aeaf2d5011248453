"""Rows to train on and to judge by, and the file of labelled ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guardrail_detectors.injection.encoder import TOOL, TYPED, UNREADABLE

_UNTRUSTED_KINDS = {"indirect", "document", "ocr_document"}


@dataclass(frozen=True)
class Row:
    """`span` is where the instruction stands, None where that is the whole text or unknown."""

    text: str
    attack: bool
    channel: str
    kind: str
    group: str  # what is held out together
    lang: str = "en"
    span: tuple[int, int] | None = None
    weight: float = 1.0


def labelled(path: Path) -> Iterator[Row]:
    """Rows of a file as `shared/data/injection/SOURCES.md` describes. Requests that are only
    harmful are attacks where they have to be decoded, and are given as if they were."""
    for line in path.open(encoding="utf-8"):
        row = json.loads(line)
        text, kind, source = row["text"], row["kind"], row["source"]
        attack, channel = row["label"] != "benign", TYPED
        if row["label"] is None:
            channel = UNREADABLE
        elif kind in _UNTRUSTED_KINDS:
            channel = TOOL
        yield Row(text, attack, channel, kind, source, row["lang"])
