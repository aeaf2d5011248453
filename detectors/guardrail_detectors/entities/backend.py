"""What looks for a thing in a picture: one signature for all backends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from guardrail.content import Box, Image
from guardrail_detectors.entities.calibration import Calibration

Heat = tuple[tuple[Box, float], ...]


@dataclass(frozen=True)
class Asked:
    """A thing to look for: its name with shorter forms of it, a colour, and a number.

    `names` are tried in their order: "wooden dining table", "dining table", "table".
    """

    names: tuple[str, ...]
    colours: tuple[str, ...] = ()
    count: int | None = None


@dataclass(frozen=True)
class Seen:
    """What a backend makes of it. Features go through a calibration to become probabilities; None
    where the backend cannot tell: the word is unknown to it, or it does not look for such."""

    presence: tuple[float, ...] | None = None
    colour: tuple[float, ...] | None = None
    count: tuple[float, ...] | None = None
    heat: Heat = ()


class Backend(Protocol):
    """Looks for things in a picture. `identity` names model, weights and settings."""

    @property
    def identity(self) -> str:
        """Changes whenever the same picture could give other features."""
        ...

    @property
    def scripts(self) -> frozenset[str]:
        """The scripts of names that it reads ("latin", "han", ...)."""
        ...

    def calibration(self) -> Calibration:
        """The one that belongs to the model."""
        ...

    def look(self, image: Image, asked: Sequence[Asked]) -> list[Seen]:
        """Features for each thing asked for; may raise NotRun."""
        ...

    def similarity(self, image: Image, text: str) -> float | None:
        """Of the picture and a whole text, a cosine in [-1, 1]; None where there is no such."""
        ...
