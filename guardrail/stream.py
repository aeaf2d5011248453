"""A streamed answer, held until it has been checked. Knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardrail.content import Content, Ending, Text, Usage, ending
from guardrail.edit import cut_chunks, cuts
from guardrail.policy import Failure
from guardrail.verdict import Edit, Status


@dataclass(frozen=True)
class Delta:
    """What one chunk adds to the answer: pieces of text, each with the key of the text it
    continues ("output", a further choice, a tool call's arguments)."""

    parts: tuple[tuple[str, str], ...] = ()
    usage: Usage = Usage()
    finish_reason: str | None = None
    model: str | None = None
    response_id: str | None = None


class Held:
    """The texts of a stream as they have come so far, and which chunk each piece came in."""

    def __init__(self, max_chars: int) -> None:
        self.count = 0
        self._max_chars = max_chars
        self._chars = 0
        self._pieces: dict[str, list[tuple[int, str]]] = {}
        self._ended: Ending = "whole"

    def add(self, delta: Delta) -> None:
        """Take in the next chunk. Past the limit on text its pieces are counted, not kept."""
        for key, text in delta.parts:
            self._chars += len(text)
            if self._chars <= self._max_chars:
                self._pieces.setdefault(key, []).append((self.count, text))
        self._ended = ending(delta.finish_reason) if delta.finish_reason else self._ended
        self.count += 1

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Set once the answer has grown over the limit on text."""
        if self._chars <= self._max_chars:
            return ()
        message = f"output: {self._chars} characters, over the limit of {self._max_chars}"
        return (Failure(Status.ERROR, f"{message} (limits.max_text_chars)"),)

    @property
    def content(self) -> Content:
        """The answer so far, one part for each text."""
        return Content(
            tuple(
                Text(
                    "".join(text for _, text in pieces),
                    name=key,
                    role="assistant",
                    source="model",
                    ended=self._ended,
                )
                for key, pieces in self._pieces.items()
            )
        )

    def rewritten(self, edits: Sequence[Edit]) -> dict[int, Mapping[str, str]]:
        """For each chunk that the edits touch, its new texts by key."""
        changed: dict[int, dict[str, str]] = {}
        for key, pieces in self._pieces.items():
            texts = [text for _, text in pieces]
            changes = cuts(edits, key, "".join(texts))
            if not changes:
                continue
            new = cut_chunks(texts, changes)
            joined: dict[int, tuple[str, str]] = {}
            for (index, old), text in zip(pieces, new, strict=True):
                before, after = joined.get(index, ("", ""))
                joined[index] = (before + old, after + text)
            for index, (old, text) in joined.items():
                if old != text:
                    changed.setdefault(index, {})[key] = text
        return dict(changed)
