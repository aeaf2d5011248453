"""Rows that are drawn from the project's templates, in the folder `text`."""

from __future__ import annotations

import pkgutil
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module

import spacy.lang

from guardrail_detectors.injection.encoder import TOOL, TYPED, UNREADABLE
from tests.bench.injection.planting import (
    HERE,
    as_read,
    document,
    foreign_order,
    in_case,
    templates,
    with_order,
)
from tests.bench.injection.rows import Row

SHOWN = "own/shown"
WICKED = 0.45  # of the requests in a dress
_MORE_SPACES = re.compile(r"(?<=\S) {2,}")


def generated(count: int, seed: int, *, everything: bool = False) -> list[Row]:
    """Rows of all kinds, each with its share. Some kinds of what pictures show are held out,
    except from `everything`."""
    rng = random.Random(seed)
    makers, shares = zip(*_MAKERS, *([(_shown, 10)] if everything else []), strict=True)
    return [rng.choices(makers, shares)[0](rng) for _ in range(count)]


def shown(count: int, seed: int) -> list[Row]:
    """Harmless texts of the kinds of pictures that are held out, each another: of one kind, or as
    much as a whole screen shows."""
    rng = random.Random(seed)
    found: dict[str, Row] = {}
    while len(found) < count:
        rows = [_shown(rng, attacks=0) for _ in range(rng.choice((1, 1, 2, 4)))]
        row = replace(rows[0], text="\n".join(row.text for row in rows))
        found.setdefault(row.text, row)
    return list(found.values())


def everyday(count: int, seed: int) -> list[Row]:
    """Typed requests for ordinary things, worded as requests for wicked ones often are; some in
    other languages."""
    rng = random.Random(seed)
    return [_everyday(rng) for _ in range(count)]


def _everyday(rng: random.Random) -> Row:
    grammar, lang, section = templates(), "en", "everyday"
    if rng.random() < 0.35:
        lang = rng.choice(grammar.languages())
        section = f"{lang}.{rng.choice(('q', 'q', 'look'))}"
    text = in_case(rng, grammar.one(section, rng))
    return Row(text, False, TYPED, "ordinary", "own/everyday", lang)


def stories(count: int, seed: int) -> list[Row]:
    """Typed requests dressed as fiction, research or somebody's job, or with a machine-made tail.
    The dress is the same for both: an attack is what asks for something wicked."""
    rng = random.Random(seed)
    return [_story(rng) for _ in range(count)]


def _story(rng: random.Random) -> Row:
    grammar, attack = templates(), rng.random() < WICKED
    template = rng.choice(grammar.sections["story"])
    goal = template.replace("{goal_", "{w_" if attack else "{h_")
    text = in_case(rng, _MORE_SPACES.sub(" ", grammar.fill(goal, rng)))
    kind = "jailbreak" if attack else "ordinary"
    return Row(text, attack, TYPED, kind, "own/story")


def _inserted(rng: random.Random) -> Row:
    return with_order(rng, *document(rng), "own/inserted")


def _clean(rng: random.Random) -> Row:
    text, lang = document(rng)
    return as_read(rng, Row(text, False, TOOL, "document", "own/document", lang))


def _shown(rng: random.Random, attacks: float = 0.4) -> Row:
    """What a screen or another picture shows, with or without an instruction."""
    text = templates().one("other_screen", rng)
    if rng.random() < attacks:
        return with_order(rng, text, "en", SHOWN)
    return as_read(rng, Row(text, False, TOOL, "document", SHOWN))


def _instructive(rng: random.Random) -> Row:
    """What is full of tasks that are no attack: exercises, prompts in figures, screens of
    assistants. Only what is marked as an instruction is one there."""
    text, group = templates().one("instructive", rng), "own/instructive"
    if rng.random() < 0.2:
        return with_order(rng, text, "en", group, marked=True)
    return as_read(rng, Row(text, False, TOOL, "document", group))


@cache
def _sentences() -> list[tuple[str, str]]:
    """The example sentences that spaCy (MIT) carries for its languages."""
    found = []
    for module in pkgutil.iter_modules(spacy.lang.__path__):
        try:
            examples = import_module(f"spacy.lang.{module.name}.examples")
        except ImportError:
            continue
        found += [(text, module.name) for text in examples.sentences if len(module.name) == 2]
    return found


def _sentence(rng: random.Random) -> Row:
    drawn = [rng.choice(_sentences())]
    while rng.random() < 0.5:
        drawn.append(rng.choice([pair for pair in _sentences() if pair[1] == drawn[0][1]]))
    text, channel = " ".join(pair[0] for pair in drawn), rng.choice([TYPED, TOOL])
    return Row(text, False, channel, "ordinary", "own/sentence", drawn[0][1])


def _article(rng: random.Random) -> Row:
    """A document that speaks about assistants and attacks without giving orders."""
    grammar = templates()
    facts = [grammar.one(rng.choice(["fact", "fact", "about"]), rng) for _ in range(4)]
    return Row(" ".join(facts), False, TOOL, "document", "own/article")


def _asked(rng: random.Random) -> Row:
    """A question seen in a picture."""
    text = templates().one(rng.choice(["benignq", "b_math", "b_trigger", "b_role"]), rng)
    return Row(text, False, TOOL, "document", "own/asked", weight=0.5)


def _bare(rng: random.Random) -> Row:
    """An attack that is the whole of a picture or result."""
    section = rng.choice(
        ["t_override", "t_short", "t_persona", "bare", "bare", "t_leak", "t_marks", "x_order"]
    )
    return Row(templates().one(section, rng), True, TOOL, "indirect", "own/bare")


def _direct(rng: random.Random) -> Row:
    section = rng.choice(["t_attack", "j_attack", "j_attack"])
    return Row(in_case(rng, templates().one(section, rng)), True, TYPED, "direct", "own/direct")


def _held(rng: random.Random) -> Row:
    """A document with a place that takes anything: an instruction, or what belongs there."""
    grammar = templates()
    attack = rng.random() < 0.55
    filler, lang = grammar.one("x_order" if attack else "clean_order", rng), "en"
    if rng.random() < 0.15:
        lang = rng.choice(grammar.languages())
        filler = foreign_order(rng, lang) if attack else grammar.one(f"{lang}.doc", rng)
    filler = in_case(rng, filler)
    before, _, after = grammar.one("holder", rng).partition(HERE)
    kind, span = (
        ("indirect", (len(before), len(before) + len(filler))) if attack else ("document", None)
    )
    return as_read(rng, Row(before + filler + after, attack, TOOL, kind, "own/held", lang, span))


def _foreign_attack(rng: random.Random) -> Row:
    grammar, lang = templates(), rng.choice(templates().languages())
    parts = rng.choice(["over", "over goal", "leak", "q over"]).split()
    text = " ".join(grammar.one(f"{lang}.{part}", rng) for part in parts)
    return Row(text, True, rng.choice([TYPED, TYPED, TOOL]), "direct", "own/foreign", lang)


def _foreign_benign(rng: random.Random) -> Row:
    grammar, lang = templates(), rng.choice(templates().languages())
    sections = [f"{lang}.q"] * 3 + [f"{lang}.look", f"{lang}.doc"]
    parts = [grammar.one(rng.choice(sections), rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    return Row(" ".join(parts), False, TYPED, "ordinary", "own/foreign", lang)


def _prompt(rng: random.Random) -> Row:
    section = rng.choice(["t_benign", "k_benign", "k_benign"])
    return Row(in_case(rng, templates().one(section, rng)), False, TYPED, "ordinary", "own/prompt")


def _unreadable(rng: random.Random) -> Row:
    """What comes of text that nobody reads without decoding it: there a harmful request is an
    attack, too, and letters may have lost case, accents and stops."""
    grammar, lang, attack = templates(), "en", rng.random() < 0.5
    if rng.random() < 0.15:
        lang = rng.choice(grammar.languages())
        text = grammar.one(f"{lang}.{rng.choice(_FOREIGN[attack])}", rng)
    else:
        text = grammar.one(rng.choice(_ENCODED[attack]), rng)
    if attack and rng.random() < 0.1:
        text = f"{grammar.one('benignq', rng)} {text}"
    chance = rng.random()
    if chance < 0.15:
        text = " ".join(re.findall(r"\w+", text.lower()))
    text = text.upper() if chance > 0.92 else text
    kind = "obfuscated" if attack else "ordinary"
    return Row(text, attack, UNREADABLE, kind, "own/unreadable", lang)


_FOREIGN = {True: ("over", "goal", "leak"), False: ("q", "doc", "look")}
_ENCODED = {
    True: "wicked wicked wicked x_order x_order t_short o_say j_leak bare t_override".split(),
    False: "fact fact mailline mailline benignq benignq b_code reviewline about doc b_write "
    "b_harmword k_trig".split(),
}


def _pasted(rng: random.Random) -> Row:
    """A document with an instruction in it, pasted into the user's own request."""
    row = replace(_inserted(rng))
    request = templates().one("request", rng)
    text = f"{request}\n\n{row.text}" if rng.random() < 0.8 else f"{row.text}\n\n{request}"
    shift = text.index(row.text)
    assert row.span is not None
    span = (row.span[0] + shift, row.span[1] + shift)
    return Row(text, True, TYPED, "indirect", "own/pasted", row.lang, span, 0.7)


def _pasted_clean(rng: random.Random) -> Row:
    text, lang = document(rng)
    request = templates().one("request", rng)
    text = f"{request}\n\n{text}" if rng.random() < 0.8 else f"{text}\n\n{request}"
    return Row(text, False, TYPED, "document", "own/pasted", lang)


_MAKERS: list[tuple[Callable[[random.Random], Row], float]] = [
    (_inserted, 24),
    (_clean, 16),
    (_held, 26),
    (_instructive, 14),
    (_article, 3),
    (_asked, 2),
    (_bare, 4),
    (_direct, 24),
    (_foreign_attack, 7),
    (_foreign_benign, 9),
    (_sentence, 5),
    (_prompt, 34),
    (_pasted, 4),
    (_pasted_clean, 4),
    (_unreadable, 8),
]
