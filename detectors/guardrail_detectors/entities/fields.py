"""What structured answers claim: names, colours, counts and boxes in the fields of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from guardrail_detectors.entities import lexicon as words
from guardrail_detectors.entities.claims import Claim, claims

NAMES = frozenset(
    "object objects entity entities item items label labels name names class classes category "
    "categories thing things subject subjects animal animals tag tags detected detections "
    "present visible contents".split()
)
PROSE = frozenset("caption description summary answer text explanation scene reason".split())
_COUNTS = frozenset("count number quantity amount num".split())
_BOXES = frozenset("box bbox bbox_2d bounding_box boundingbox rect region".split())
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|true|false|null|-?\d[\d.eE+-]*')
_FENCE = re.compile(r"^\s*```\w*\s*|\s*```\s*$")
MAX_DEPTH = 50


@dataclass
class Leaf:
    """A value of a JSON text: where it stands, and under which keys."""

    value: Any
    start: int
    end: int
    path: tuple[str | int, ...]


@dataclass(frozen=True)
class Placed:
    """A claim of a structured answer, with the box that stands beside it."""

    claim: Claim
    box: tuple[float, float, float, float] | None = None


def is_structured(text: str) -> bool:
    """Whether an answer is JSON."""
    inner = _FENCE.sub("", text).strip()
    return inner[:1] in ("{", "[") and inner[-1:] in ("}", "]")


def leaves(text: str) -> Iterator[Leaf]:
    """The values of a JSON text in order. A text that is none ends where it stops being one."""
    path: list[str | int] = []
    opened: list[str] = []
    key: str | None = None
    expects_key = False
    for token in _TOKEN.finditer(text):
        said = token[0]
        if said in "{[":
            if len(opened) >= MAX_DEPTH:
                return
            if opened:
                path.append(key if opened[-1] == "{" and key is not None else _next(path, opened))
            opened.append(said)
            expects_key, key = said == "{", None
            if said == "[":
                path.append(0)
        elif said in "}]":
            if not opened:
                return
            if opened.pop() == "[":
                path.pop()
            if opened:
                path.pop()
            expects_key = False
        elif said == ",":
            expects_key = bool(opened) and opened[-1] == "{"
            if opened and opened[-1] == "[" and isinstance(path[-1], int):
                path[-1] += 1
        elif said == ":":
            expects_key = False
        elif expects_key and said[0] == '"':
            key = str(_value(said))
        else:
            at = (*path, key) if opened and opened[-1] == "{" and key is not None else tuple(path)
            quoted = said[0] == '"'
            yield Leaf(_value(said), token.start() + quoted, token.end() - quoted, at)


def _next(path: list[str | int], opened: list[str]) -> str | int:
    """The step from a list into the container that stands in it."""
    return "" if opened[-1] == "{" else "[]"


def _value(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        return None


def claims_of(text: str, names: frozenset[str] = NAMES) -> list[Placed]:
    """What a structured answer claims. `names` are the keys whose values name things."""
    objects: dict[tuple[str | int, ...], dict[str, Leaf]] = {}
    lists: dict[tuple[str | int, ...], list[Leaf]] = {}
    found: list[Placed] = []
    for leaf in leaves(text):
        last = leaf.path[-1] if leaf.path else ""
        if isinstance(last, str):
            objects.setdefault(leaf.path[:-1], {})[last.lower()] = leaf
        else:
            lists.setdefault(leaf.path[:-1], []).append(leaf)
    for path, listed in lists.items():
        if _key(path) in names:
            found += [Placed(_named(leaf)) for leaf in listed if _is_name(leaf)]
    for path, members in objects.items():
        if _denied(members):
            continue
        box = _box(path, lists)
        for key, leaf in members.items():
            if key in PROSE and isinstance(leaf.value, str):
                found += [Placed(_moved(claim, leaf)) for claim in claims(leaf.value)]
            elif key in names and _is_name(leaf):
                found.append(Placed(_with(_named(leaf), members), box))
            elif leaf.value is True or (_key(path) in names and _is_number(leaf.value)):
                word = key.removeprefix("has_").removeprefix("is_").replace("_", " ")
                if key in _COUNTS or key in _BOXES:
                    continue
                if (key.startswith("has_") or _key(path) in names) and leaf.value:
                    count = None if leaf.value is True else int(leaf.value)
                    one = words.singular(word)
                    at = (leaf.start, leaf.end)
                    found.append(Placed(Claim(tuple(one.split()), *at, count=count, count_at=at)))
    return found


def _key(path: tuple[str | int, ...]) -> str:
    """The last name of a path, in small letters."""
    named = [step for step in path if isinstance(step, str) and step not in ("", "[]")]
    return str(named[-1]).lower() if named else "objects" if not path or path[0] == 0 else ""


def _is_name(leaf: Leaf) -> bool:
    value = leaf.value
    return isinstance(value, str) and 0 < len(value.split()) <= 6 and not value.endswith((".", "?"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100


def _denied(members: dict[str, Leaf]) -> bool:
    for key in ("present", "visible", "exists", "found", "detected"):
        if key in members and members[key].value in (False, 0, "no", "false", "absent"):
            return True
    return any(members[key].value in (0, "0") for key in _COUNTS if key in members)


def _named(leaf: Leaf) -> Claim:
    said = claims(f"a {leaf.value}")
    if len(said) == 1 and said[0].end == len(leaf.value) + 2:
        return _moved(said[0], leaf, before=2)
    parts = tuple(str(leaf.value).lower().split())
    return Claim((*parts[:-1], words.singular(parts[-1])), leaf.start, leaf.end)


def _moved(claim: Claim, leaf: Leaf, before: int = 0) -> Claim:
    """A claim of a string with its places in the whole text."""
    plain = leaf.end - leaf.start == len(str(leaf.value))

    def place(at: tuple[int, int] | None) -> tuple[int, int] | None:
        if at is None:
            return None
        return (at[0] - before + leaf.start, at[1] - before + leaf.start) if plain else whole

    whole = (leaf.start, leaf.end)
    start, end = place((claim.start, claim.end)) or whole
    return Claim(
        claim.words, start, end, claim.colours, place(claim.colour_at), claim.count,
        place(claim.count_at), claim.definite,
    )  # fmt: skip


def _with(claim: Claim, members: dict[str, Leaf]) -> Claim:
    colour = next((members[key] for key in ("color", "colour") if key in members), None)
    count = next((members[key] for key in _COUNTS if key in members), None)
    colours, colour_at = claim.colours, claim.colour_at
    if colour is not None and str(colour.value).lower() in words.COLOURS:
        colours = (words.COLOURS[str(colour.value).lower()],)
        colour_at = (colour.start, colour.end)
    number, count_at = claim.count, claim.count_at
    if count is not None and _is_number(count.value):
        number, count_at = int(count.value), (count.start, count.end)
    return Claim(
        claim.words, claim.start, claim.end, colours, colour_at, number, count_at, claim.definite
    )


def _box(
    path: tuple[str | int, ...], lists: dict[tuple[str | int, ...], list[Leaf]]
) -> tuple[float, float, float, float] | None:
    for key in _BOXES:
        values = [leaf.value for leaf in lists.get((*path, key), [])]
        if len(values) == 4 and all(isinstance(value, (int, float)) for value in values):
            return (float(values[0]), float(values[1]), float(values[2]), float(values[3]))
    return None
