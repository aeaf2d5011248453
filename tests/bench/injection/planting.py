"""Documents, and instructions put into them. An attack made here knows which characters are the
instruction; everything follows from the seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from guardrail_detectors.injection.encoder import TOOL
from tests.bench.injection.disguises import DISGUISES
from tests.bench.injection.grammar import Grammar
from tests.bench.injection.rows import Row

HERE = "\x00"  # where a template takes an instruction, or something harmless


@cache
def templates() -> Grammar:
    made: dict[str, Callable[[random.Random], str]] = {"here": lambda _: HERE, "junk": _junk}
    for name, encode in DISGUISES.items():
        made[f"{name}_attack"] = partial(_disguised, encode, ("t_short", "o_say", "j_leak"))
        made[f"{name}_benign"] = partial(_disguised, encode, ("fact", "mailline", "benignq"))
    return Grammar(Path(__file__).parent / "text", made)


def _disguised(encode: Callable[[str], str], sections: Sequence[str], rng: random.Random) -> str:
    return encode(templates().one(rng.choice(sections), rng))


def _junk(rng: random.Random) -> str:
    """What a search over tokens leaves behind, or a slip of the keyboard: parts of words, brackets
    and marks of code in no order."""
    words = re.findall(r"[a-z]{4,}", templates().one("doc", rng).lower()) or ["text"]
    pieces = []
    for _ in range(rng.randint(4, 22)):
        word = rng.choice(words)
        cut = rng.randint(2, len(word))
        word = rng.choice([word, word[:cut], word[-cut:], word.title(), word[:cut].title()])
        pieces.append(rng.choice([word, word, word, rng.choice(_MARKS), word + rng.choice(_MARKS)]))
    return "".join(piece + rng.choice(["", " ", " "]) for piece in pieces)


_MARKS = (
    *"!?.:;,=+*#~|&%$@^_-<>/\\()[]{}\"'",
    *("\\(", "]{", "})", "{{", "==", "::", "--", "->", "!--", "``", "${", "/*", "://", "\\\\"),
    *("<?", "...", "();"),
    *("Sure", "tutorial", "Title", "steps", "json", "print", "Here", "Step"),
)


def document(rng: random.Random) -> tuple[str, str]:
    """A harmless document and its language."""
    grammar = templates()
    if rng.random() < 0.25:
        lang = rng.choice(grammar.languages())
        sections = [f"{lang}.doc"] * 4 + [f"{lang}.look"]
        lines = [grammar.one(rng.choice(sections), rng) for _ in range(rng.randint(1, 6))]
        return rng.choice([" ", "\n", "\n\n"]).join(lines), lang
    pieces = [grammar.one("doc", rng)]
    while rng.random() < 0.3:
        pieces.append(grammar.one("doc", rng))
    return "\n\n".join(pieces), "en"


def places(text: str) -> list[int]:
    """Where a sentence may be put in: at the ends, after lines and after sentences."""
    ends = [i + 1 for i in range(len(text) - 1) if text[i] == "\n" or text[i : i + 2] == ". "]
    return [0, *ends, len(text)]


def planted(rows: list[Row], count: int, seed: int) -> list[Row]:
    """Instructions put into the harmless documents of labelled rows; they keep the group."""
    rng = random.Random(seed)
    grammar = templates()
    carriers = [
        row
        for row in rows
        if not row.attack
        and (row.channel == TOOL or "roleplay_responses" in row.group or row.kind == "code")
    ]
    tasks = [
        row.text for row in rows if row.group.startswith("self-instruct") and len(row.text) < 120
    ]
    found = []
    for row in rng.choices(carriers, k=count):
        chance = rng.random()
        if chance < 0.25 and tasks:
            order = rng.choice(tasks)
        else:
            order = grammar.one("x_plain" if chance < 0.5 else "wrap", rng)
        if row.lang in grammar.languages() and rng.random() < 0.6:
            order = foreign_order(rng, row.lang)
        order = in_case(rng, order)
        text = row.text[:1500]
        place = rng.choice([*places(text), len(text)])
        before = rng.choice([" ", "\n"]) if place else ""
        start = place + len(before)
        whole = f"{text[:place]}{before}{order}{rng.choice([' ', chr(10)])}{text[place:]}".rstrip()
        span = (start, start + len(order))
        found.append(Row(whole, True, TOOL, "indirect", row.group, row.lang, span))
    return found


def with_order(
    rng: random.Random, text: str, lang: str, group: str, *, marked: bool = False
) -> Row:
    """A document with an instruction to the one who reads it for somebody, which says so where
    it is `marked`."""
    grammar = templates()
    if lang != "en" and rng.random() < 0.7:
        order = foreign_order(rng, lang)
        if rng.random() < 0.4:
            order = f"{grammar.one(f'{lang}.over', rng)} {order}"
    elif rng.random() < 0.12:
        other = rng.choice(grammar.languages())
        order, lang = foreign_order(rng, other), other
        if rng.random() < 0.5:
            order = f"{grammar.one(f'{other}.over', rng)} {order}"
    else:
        section = "wrap_mark" if marked else "x_plain" if rng.random() < 0.35 else "wrap"
        order = grammar.one(section, rng)
    return put(rng, text, in_case(rng, order), lang, group)


def put(rng: random.Random, text: str, order: str, lang: str, group: str) -> Row:
    """A document with an instruction at one of its places, more often at its end."""
    place = rng.choice(places(text))
    if rng.random() < 0.35:
        place = len(text)
    before = rng.choice(["", " ", "\n", "\n\n", "\n"]) if place else ""
    after = rng.choice([" ", "\n", "\n\n"])
    whole = f"{text[:place]}{before}{order}{after}{text[place:]}".rstrip()
    start = place + len(before)
    row = Row(whole, True, TOOL, "indirect", group, lang, (start, start + len(order)))
    return as_read(rng, row)


def foreign_order(rng: random.Random, lang: str) -> str:
    """An instruction in a language: an attack's, or a plain task where it has some."""
    grammar = templates()
    task = f"{lang}.task"
    plain = task in grammar.sections and rng.random() < 0.4
    return grammar.one(task if plain else f"{lang}.goal", rng)


_MISREAD = str.maketrans("lOSI", "1051")


def as_read(rng: random.Random, row: Row) -> Row:
    """Sometimes as OCR reads a picture: lines broken anywhere, letters misread.

    Each character stays where it is, so that the span holds.
    """
    chance = rng.random()
    if chance > 0.3:
        return row
    width, text, since = rng.randint(22, 60), list(row.text), 0
    for index, char in enumerate(text):
        since = 0 if char == "\n" else since + 1
        if char == " " and since > width:
            text[index], since = "\n", 0
        elif chance < 0.08 and rng.random() < 0.04:
            text[index] = char.translate(_MISREAD)
    return replace(row, text="".join(text))


def in_case(rng: random.Random, order: str) -> str:
    chance = rng.random()
    if chance < 0.06:
        return order.upper()
    if chance < 0.12:
        return order.lower()
    if chance < 0.2:
        return order.rstrip(".")
    if chance < 0.26:
        return _mistyped(rng, order)
    return order


def _mistyped(rng: random.Random, text: str) -> str:
    """The text with two letters of a word changing places, once or twice."""
    letters = list(text)
    places = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    for at in rng.sample(places, min(len(places), rng.choice([1, 1, 2]))):
        letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)
