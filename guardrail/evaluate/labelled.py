"""Labelled rows: what an evaluation reads, and what a policy made of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENTS = ("indirect", "document", "ocr_document")  # kinds that are read as a tool's result


class UnreadableRow(ValueError):
    """A row that cannot be used; the message names the line."""


@dataclass(frozen=True)
class Labelled:
    """A row to screen and whether it is an attack; None where that is not to be judged."""

    line: int
    row: Mapping[str, Any]
    attack: bool | None
    kind: str = "-"
    source: str = "-"
    lang: str = "-"

    @property
    def text(self) -> str:
        """What stands in the row, or the name of its first picture."""
        shown = self.row.get("prompt") or self.row.get("tool")
        return _shown(str(shown or (self.images or ["-"])[0]))

    @property
    def images(self) -> list[str]:
        """The paths of its pictures."""
        named = self.row.get("images") or []
        return [named] if isinstance(named, str) else list(named)

    @property
    def channel(self) -> str:
        """How the text comes in: typed, tool or image."""
        if self.row.get("images"):
            return "image"
        return "tool" if self.row.get("tool") else "typed"


def labelled(path: Path) -> Iterator[Labelled]:
    """The rows of a JSON-lines file.

    A row has `label` ("attack", "benign" or null), may have `kind`, `source` and `lang`, and what
    `guardrail scan` reads: `prompt`, `tool`, `images`. `text` stands for `tool` where the kind is
    a document's, and for `prompt` elsewhere. Raises UnreadableRow.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _labelled(number, line)


def _shown(text: str) -> str:
    """A text without what no terminal should be sent and no page can hold."""
    return "".join(char if char.isprintable() or char.isspace() else "\ufffd" for char in text)


def _labelled(number: int, line: bytes) -> Labelled:
    try:
        row = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise UnreadableRow(f"line {number}: not a line of JSON") from None
    except RecursionError:
        raise UnreadableRow(f"line {number}: nested too deeply") from None
    if not isinstance(row, dict) or "label" not in row:
        raise UnreadableRow(f"line {number}: an object with a label is expected")
    label = row["label"]
    if label not in ("attack", "benign", None):
        raise UnreadableRow(f'line {number}: label: "attack", "benign" or null is expected')
    names = {key: _shown(str(row.get(key) or "-")) for key in ("kind", "source", "lang")}
    given = {key: row[key] for key in ("prompt", "tool", "images") if row.get(key)}
    if isinstance(row.get("text"), str):
        given["tool" if names["kind"] in DOCUMENTS else "prompt"] = row["text"]
    if not given:
        raise UnreadableRow(f"line {number}: no text, prompt, tool or images")
    return Labelled(number, given, None if label is None else label == "attack", **names)
