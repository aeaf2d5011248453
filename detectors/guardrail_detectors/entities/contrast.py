"""Zero-shot presence by a dual encoder: an entity against its absence and against others.

Cosines of pictures and texts mean nothing by themselves (the two lie apart, Liang et al., arXiv
2203.02053), so every figure is a difference: to prompts that say nothing of the entity, and to
distractors, things of other names, in units of their spread. The picture is looked at whole and in
overlapping crops. Vectors of pictures are kept by the sha256 of the picture and the model, vectors
of prompts by their text: a second check of a picture costs the text side only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from guardrail.content import Box, Image
from guardrail.detector import remembered
from guardrail_detectors.entities.backend import Asked, Seen
from guardrail_detectors.entities.calibration import Calibration, Logistic
from guardrail_detectors.entities.classes import COCO
from guardrail_detectors.entities.encoders import Encoder, Vectors
from guardrail_detectors.entities.kept import Kept
from guardrail_detectors.entities.lexicon import NUMBERS, plural

TEMPLATES = ("a photo of {}", "a picture of {}", "there is {} in the picture", "{}")
ABSENT = ("a photo", "a picture of something else", "an empty scene")
COLOURS = tuple("red orange yellow green blue purple pink brown black white gray".split())
_WORDS = {value: word for word, value in NUMBERS.items()}
_GRIDS = {1: (), 2: ((2, 0.6),), 3: ((2, 0.6), (3, 0.42))}  # tiles a side, and their share of it

# A first guess, for a model that nothing was fitted to: a thing that stands out by two spreads or
# more among the distractors is taken to be there.
DEFAULT = Calibration(
    {
        "presence": Logistic((0.8, 0.8, 0.0), -3.2),
        "colour": Logistic((1.0,), 0.0),
        "count": Logistic((1.0,), 0.0),
    },
    abstain=(0.35, 0.65),
)

_pictures, _prompts = Kept[Vectors](2_000), Kept[Vectors](20_000)


class Settings(NamedTuple):
    """How entities are put into words, and where in a picture they are looked for."""

    templates: tuple[str, ...] = TEMPLATES
    distractors: tuple[str, ...] = COCO
    crops: int = 2
    scripts: frozenset[str] = frozenset({"latin"})


class Contrast:
    """The backend over a dual encoder."""

    def __init__(self, encoder: Encoder, settings: Settings) -> None:
        self._encoder, self._settings = encoder, settings
        self._distractors = [n for n in settings.distractors if encoder.knows(n)]
        self._named = Kept[Vectors](20_000)
        self.identity = f"{encoder.identity} {settings!r}"

    @property
    def scripts(self) -> frozenset[str]:
        """See Backend."""
        return self._settings.scripts

    def calibration(self) -> Calibration:
        """See Backend."""
        return DEFAULT

    def look(self, image: Image, asked: Sequence[Asked]) -> list[Seen]:
        """See Backend. Features of presence: how far the entity stands out among distractors on
        the whole picture and on its best crop, and over the absent prompts; of colour and count:
        the log-odds of what is claimed among all colours or numbers."""
        areas = self._areas(image)
        pictures = self._vectors_of(image, areas)
        return [self._seen(pictures, areas, one) for one in asked]

    def similarity(self, image: Image, text: str) -> float | None:
        """See Backend."""
        whole = self._vectors_of(image, self._areas(image))[0]
        return float(whole @ self._encoder.texts([text])[0])

    def _seen(self, pictures: Vectors, areas: Sequence[Box], asked: Asked) -> Seen:
        name = next((name for name in asked.names if self._encoder.knows(name)), None)
        if name is None:
            return Seen()
        words = set(name.split())
        others = [n for n in self._distractors if words.isdisjoint(n.split())]
        entity = pictures @ self._prompt(name)
        rest = pictures @ np.stack([self._prompt(other) for other in others]).T
        apart = (entity - rest.mean(1)) / (rest.std(1) + 1e-6)
        absent = pictures[0] @ np.stack(self._texts(ABSENT)).T
        best = int(apart.argmax())
        presence = (float(apart[0]), float(apart.max()), float(100 * (entity[0] - absent.mean())))
        heat = tuple(
            (area, float(1 / (1 + np.exp(-(score - 2.0)))))
            for area, score in zip(areas, apart, strict=True)
        )
        colour = self._colour(pictures[best], name, asked.colours) if asked.colours else None
        count = self._count(pictures[0], name, asked.count) if asked.count else None
        return Seen(presence, colour, count, heat)

    def _colour(
        self, picture: Vectors, name: str, claimed: tuple[str, ...]
    ) -> tuple[float, ...] | None:
        known = [colour for colour in COLOURS if self._encoder.knows(colour)]
        if not set(claimed) <= set(known):
            return None
        scores = [float(picture @ self._prompt(f"{colour} {name}")) for colour in known]
        others = [s for c, s in zip(known, scores, strict=True) if c not in claimed]
        mine = [s for c, s in zip(known, scores, strict=True) if c in claimed]
        return (100 * (max(mine) - max(others)),) if others else None

    def _count(self, picture: Vectors, name: str, claimed: int) -> tuple[float, ...] | None:
        if not 1 <= claimed <= 5:
            return None
        said = {n: f"{_WORDS[n]} {name if n == 1 else plural(name)}" for n in range(1, 6)}
        said = {n: text for n, text in said.items() if self._encoder.knows(text)}
        if claimed not in said or len(said) < 2:
            return None
        vectors = dict(zip(said, self._texts(list(said.values())), strict=True))
        scores = {n: float(picture @ vector) for n, vector in vectors.items()}
        return (100 * (scores.pop(claimed) - max(scores.values())),)

    def _prompt(self, name: str) -> Vectors:
        """The mean of the ensemble's vectors, at length 1 (CLIP, arXiv 2103.00020, 3.1.4)."""
        return self._named.one(name, lambda: self._ensemble(name))

    def _ensemble(self, name: str) -> Vectors:
        article = "an" if name[:1] in "aeiou" else "a"
        said = [t.format(f"{article} {name}") for t in self._settings.templates]
        said = [text for text in said if self._encoder.knows(text)] or [name]
        mean = np.mean(self._texts(said), axis=0)
        vector: Vectors = mean / np.linalg.norm(mean)
        return vector

    def _texts(self, texts: Sequence[str]) -> list[Vectors]:
        keys = [(self._encoder.identity, text) for text in texts]
        return _prompts.get(
            keys, lambda rows: list(self._encoder.texts([texts[row] for row in rows]))
        )

    def _areas(self, image: Image) -> list[Box]:
        width, height = image.picture.width, image.picture.height
        areas = [Box(0, 0, width, height)]
        for side, share in _GRIDS[self._settings.crops]:
            w, h = max(1, round(width * share)), max(1, round(height * share))
            steps = [index / (side - 1) for index in range(side)]
            areas += [
                Box(x := round((width - w) * dx), y := round((height - h) * dy), x + w, y + h)
                for dy in steps
                for dx in steps
            ]
        return areas

    def _vectors_of(self, image: Image, areas: Sequence[Box]) -> Vectors:
        key = (self._encoder.identity, image.sha256, self._settings.crops)

        def encode() -> Vectors:
            picture = image.picture.rgb(max_side=1024)
            scale = picture.width / image.picture.width
            crops = [
                picture.crop(
                    (round(x0 * scale), round(y0 * scale), round(x1 * scale), round(y1 * scale))
                )
                for x0, y0, x1, y1 in areas
            ]
            return self._encoder.images(crops)

        named = ("embedding", *map(str, key))
        return _pictures.one(key, lambda: remembered(named, encode))
