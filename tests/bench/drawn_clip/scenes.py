"""Drawn pictures with what is true of them, and captions that are true or false of them.

python -m tests.bench.drawn_clip.scenes FOLDER [COUNT] [SEED] writes pictures with a pope.jsonl
as `guardrail eval entities` reads it.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.bench.drawn_clip.shapes import COLOURS, NOUNS, PAPERS, draw

Fact = tuple[str, ...]  # ("colour", "red", "fish")

SIDE = 128
NUMBERS = ("one", "two", "three", "four")
WORDS = tuple(
    "OPEN STOP EXIT SALE FREE TAXI CAFE BANK HOTEL MENU PUSH PULL HELP KIDS ZONE SHOP "
    "MILK BEER FIRE SLOW WARM GOLD PARK DOGS".split()
)
_PLURALS = {
    "bus": "buses", "cross": "crosses", "person": "people", "fish": "fish", "knife": "knives",
    "leaf": "leaves", "glass": "glasses of wine", "scissors": "scissors", "glasses": "glasses",
    "torch": "torches", "cherry": "cherries", "butterfly": "butterflies",
    "lightning": "lightning bolts", "snowman": "snowmen",
}  # fmt: skip


def plural(noun: str) -> str:
    """More than one of it."""
    return _PLURALS.get(noun, f"{noun}s")


def one(noun: str) -> str:
    """With its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


@dataclass(frozen=True)
class Group:
    """Things of one kind and colour; `x` and `y` are the middle of the first, in [0, 1]."""

    noun: str
    colour: str
    count: int
    x: float
    y: float


@dataclass(frozen=True)
class Scene:
    """All that a picture shows."""

    groups: tuple[Group, ...]
    word: str | None = None

    @property
    def nouns(self) -> frozenset[str]:
        """The kinds of things in it."""
        return frozenset(group.noun for group in self.groups)

    @cached_property
    def facts(self) -> frozenset[Fact]:
        """All that a caption can say of it, and be right."""
        said: set[Fact] = set() if self.word is None else {("word", self.word)}
        for group in self.groups:
            said |= {
                ("noun", group.noun),
                ("colour", group.colour, group.noun),
                ("count", NUMBERS[group.count - 1], group.noun),
            }
        for left, right in permutations(self.groups, 2):
            if left.x < right.x:
                said.add(("left", left.noun, right.noun))
        return frozenset(said)


def drawn(rng: random.Random) -> tuple[Image.Image, Scene]:
    """A picture of 128 by 128 pixels with one to four kinds of things, and its scene."""
    paper = rng.choice(PAPERS)
    picture = Image.new("RGB", (SIDE, SIDE), paper)
    taken: list[tuple[int, int, int, int]] = []
    word = rng.choice(WORDS) if rng.random() < 0.3 else None
    if word is not None:
        _letter(picture, word, rng, taken)
    groups = []
    for noun in rng.sample(NOUNS, rng.choice((1, 1, 2, 2, 3, 3, 4))):
        colour = rng.choice(tuple(COLOURS))
        ink = tuple(min(255, max(0, c + rng.randint(-14, 14))) for c in COLOURS[colour])
        size = rng.randint(32, 56)
        spots = []
        for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 4))):
            spot = _free(rng, size, taken)
            if spot is None:
                break
            thing, mask = draw(noun, size, (ink[0], ink[1], ink[2]), paper)
            tilt = rng.uniform(-12, 12)
            thing, mask = (layer.rotate(tilt, Image.Resampling.BICUBIC) for layer in (thing, mask))
            picture.paste(thing, spot, mask)
            spots.append(((spot[0] + size / 2) / SIDE, (spot[1] + size / 2) / SIDE))
        if spots:
            groups.append(Group(noun, colour, len(spots), *spots[0]))
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    return (picture, Scene(tuple(groups), word)) if groups else drawn(rng)


def _letter(
    picture: Image.Image, word: str, rng: random.Random, taken: list[tuple[int, int, int, int]]
) -> None:
    font = ImageFont.load_default(rng.randint(22, 30))
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = (int(side) for side in pen.textbbox((0, 0), word, font=font))
    width, height = right - left, bottom - top
    x, y = rng.randint(2, SIDE - width - 2), rng.randint(2, SIDE - height - 2)
    pen.text((x - left, y - top), word, fill=rng.choice(((20, 20, 20), (150, 20, 20))), font=font)
    taken.append((x, y, x + width, y + height))


def _free(
    rng: random.Random, size: int, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int] | None:
    for _ in range(30):
        x, y = rng.randint(1, SIDE - size - 1), rng.randint(1, SIDE - size - 1)
        if all(
            x > x1 + 1 or x + size < x0 - 1 or y > y1 + 1 or y + size < y0 - 1
            for x0, y0, x1, y1 in taken
        ):
            taken.append((x, y, x + size, y + size))
            return x, y
    return None


FRAMES = (
    "{}", "a picture of {}", "a drawing of {}", "there is {}", "an image with {}",
    "a picture that shows {}", "{} in the picture",
)  # fmt: skip
LETTERING = ('the word "{}"', "the text {}", "a sign that says {}")


def facts_near(scene: Scene, rng: random.Random) -> tuple[Fact, ...]:
    """A fact of the scene, and then some that differ in one word and are false of it."""
    group = rng.choice(scene.groups)
    other = rng.choice([noun for noun in NOUNS if noun not in scene.nouns])
    kind = rng.random()
    if scene.word is not None and kind < 0.2:
        wrong = rng.choice([word for word in WORDS if word != scene.word])
        return ("word", scene.word), ("word", wrong)
    if kind < 0.45:
        return ("noun", group.noun), ("noun", other)
    if kind < 0.72:
        wrong = rng.choice([colour for colour in COLOURS if colour != group.colour])
        right = ("colour", group.colour, group.noun)
        return right, ("colour", wrong, group.noun), ("colour", group.colour, other)
    if kind < 0.9 or len(scene.groups) < 2:
        number = NUMBERS[group.count - 1]
        wrong = rng.choice([word for word in NUMBERS if word != number])
        return ("count", number, group.noun), ("count", wrong, group.noun)
    left, right = sorted(rng.sample(scene.groups, 2), key=lambda group: group.x)
    return (
        ("left", left.noun, right.noun),
        ("left", right.noun, left.noun),
        ("left", left.noun, other),
    )


def caption(fact: Fact, rng: random.Random) -> str:
    """A sentence that says the fact."""
    kind, *words = fact
    if kind == "word":
        return rng.choice(LETTERING).format(words[0].lower())
    if kind == "left":
        return f"{one(words[0])} left of {one(words[1])}"
    if kind == "count" and words[0] != "one":
        return f"{words[0]} {plural(words[1])}"
    said = " ".join(words) if kind == "count" else one(" ".join(words))
    return rng.choice(FRAMES).format(said)


def write(folder: Path, count: int, seed: int) -> None:
    """Pictures with their objects and, for each, three kinds of three absent ones."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = [drawn(rng) for _ in range(count)]
    often: dict[str, int] = dict.fromkeys(NOUNS, 0)
    beside: dict[str, dict[str, int]] = {noun: {} for noun in NOUNS}
    for _, scene in made:
        for noun in scene.nouns:
            often[noun] += 1
            for near in scene.nouns - {noun}:
                beside[noun][near] = beside[noun].get(near, 0) + 1
    with (folder / "pope.jsonl").open("w", encoding="utf-8") as rows:
        for number, (picture, scene) in enumerate(made):
            picture.save(folder / f"{number:05}.png")
            absent = [noun for noun in NOUNS if noun not in scene.nouns]
            near = {n: sum(beside[p].get(n, 0) for p in scene.nouns) for n in absent}
            row = {
                "file": f"{number:05}.png",
                "objects": sorted(scene.nouns),
                "object_counts": {group.noun: group.count for group in scene.groups},
                "colours": {group.noun: group.colour for group in scene.groups},
                "absent": {
                    "random": rng.sample(absent, 3),
                    "popular": sorted(absent, key=lambda noun: -often[noun])[:3],
                    "adversarial": sorted(absent, key=lambda n: (-near[n], -often[n]))[:3],
                },
            }
            rows.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    out, *numbers = sys.argv[1:]
    write(Path(out), *(int(number) for number in (*numbers, "200", "1")[:2]))
