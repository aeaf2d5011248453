"""Rows to train on: those the project writes itself, and those of a file of labelled texts.

A generated attack knows which characters are the instruction. Everything follows from the seed.
"""

from __future__ import annotations

import json
import pkgutil
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from zlib import crc32

import spacy.lang

from guardrail_detectors.injection.encoder import TOOL, TYPED, UNREADABLE
from tests.bench.injection.disguises import DISGUISES
from tests.bench.injection.grammar import Grammar

SHOWN = "own/shown"
SAMPLES_HELD = "own/samples-held"
WICKED = 0.45  # of the requests in a dress
_HERE = "\x00"  # where a template takes an instruction, or something harmless
_MORE_SPACES = re.compile(r"(?<=\S) {2,}")
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


@cache
def _grammar() -> Grammar:
    made: dict[str, Callable[[random.Random], str]] = {"here": lambda _: _HERE, "junk": _junk}
    for name, encode in DISGUISES.items():
        made[f"{name}_attack"] = partial(_disguised, encode, ("t_short", "o_say", "j_leak"))
        made[f"{name}_benign"] = partial(_disguised, encode, ("fact", "mailline", "benignq"))
    return Grammar(Path(__file__).parent / "text", made)


def _disguised(encode: Callable[[str], str], sections: Sequence[str], rng: random.Random) -> str:
    return encode(_grammar().one(rng.choice(sections), rng))


def _junk(rng: random.Random) -> str:
    """What a search over tokens leaves behind, or a slip of the keyboard: parts of words, brackets
    and marks of code in no order."""
    words = re.findall(r"[a-z]{4,}", _grammar().one("doc", rng).lower()) or ["text"]
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
    grammar, lang, section = _grammar(), "en", "everyday"
    if rng.random() < 0.35:
        lang = rng.choice(grammar.languages())
        section = f"{lang}.{rng.choice(('q', 'q', 'look'))}"
    text = _case(rng, grammar.one(section, rng))
    return Row(text, False, TYPED, "ordinary", "own/everyday", lang)


def stories(count: int, seed: int) -> list[Row]:
    """Typed requests dressed as fiction, research or somebody's job, or with a machine-made tail.
    The dress is the same for both: an attack is what asks for something wicked."""
    rng = random.Random(seed)
    return [_story(rng) for _ in range(count)]


def _story(rng: random.Random) -> Row:
    grammar, attack = _grammar(), rng.random() < WICKED
    template = rng.choice(grammar.sections["story"])
    goal = template.replace("{goal_", "{w_" if attack else "{h_")
    text = _case(rng, _MORE_SPACES.sub(" ", grammar.fill(goal, rng)))
    kind = "jailbreak" if attack else "ordinary"
    return Row(text, attack, TYPED, kind, "own/story")


def samples(seed: int, *, everything: bool = False, copies: int = 2) -> list[Row]:
    """Texts that were written one by one for the project, in the folder `samples`: prompts,
    documents, and instructions of which each is put into so many documents. One in five is held
    out, except from `everything`."""
    return [row for row in _samples(seed, copies) if everything or row.group != SAMPLES_HELD]


def held_samples(seed: int) -> list[Row]:
    """Those that are held out."""
    return [row for row in _samples(seed, 1) if row.group == SAMPLES_HELD]


def _samples(seed: int, copies: int) -> Iterator[Row]:
    rng = random.Random(seed)
    for name, (attack, channel, kind) in _SAMPLES.items():
        for text in lines(_TEXTS, name):
            yield Row(text, attack, channel, kind, _sample_group(text))
    documents = lines(_TEXTS, "documents")
    apart = [text for text in documents if _sample_group(text) == SAMPLES_HELD]
    for order in lines(_TEXTS, "planted") * copies:
        group = _sample_group(order)
        if rng.random() < 0.5:
            text = rng.choice(apart if group == SAMPLES_HELD else documents)
        else:
            text = _document(rng)[0]
        yield _put(rng, text, order, "en", group)


def _sample_group(text: str) -> str:
    return SAMPLES_HELD if crc32(text.encode()) % 5 == 0 else "own/samples"


_TEXTS = Path(__file__).parent / "samples"
_SAMPLES = {
    "ordinary": (False, TYPED, "ordinary"),
    "tricky": (False, TYPED, "overdefense"),
    "jailbreak": (True, TYPED, "jailbreak"),
    "attack": (True, TYPED, "direct"),
    "documents": (False, TOOL, "document"),
}


def lines(folder: Path, kind: str) -> list[str]:
    """The texts of a folder's files of a kind, one a line; a line break inside one is written as
    two characters."""
    files = sorted(folder.glob(f"{kind}*.txt"))
    found = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return [line.replace("\\n", "\n") for line in found if line]


def _document(rng: random.Random) -> tuple[str, str]:
    """A harmless document and its language."""
    grammar = _grammar()
    if rng.random() < 0.25:
        lang = rng.choice(grammar.languages())
        sections = [f"{lang}.doc"] * 4 + [f"{lang}.look"]
        lines = [grammar.one(rng.choice(sections), rng) for _ in range(rng.randint(1, 6))]
        return rng.choice([" ", "\n", "\n\n"]).join(lines), lang
    pieces = [grammar.one("doc", rng)]
    while rng.random() < 0.3:
        pieces.append(grammar.one("doc", rng))
    return "\n\n".join(pieces), "en"


def _places(text: str) -> list[int]:
    """Where a sentence may be put in: at the ends, after lines and after sentences."""
    ends = [i + 1 for i in range(len(text) - 1) if text[i] == "\n" or text[i : i + 2] == ". "]
    return [0, *ends, len(text)]


def _inserted(rng: random.Random) -> Row:
    return _with_order(rng, *_document(rng), "own/inserted")


def _with_order(
    rng: random.Random, text: str, lang: str, group: str, *, marked: bool = False
) -> Row:
    """A document with an instruction to the one who reads it for somebody, which says so where
    it is `marked`."""
    grammar = _grammar()
    if lang != "en" and rng.random() < 0.7:
        order = _foreign_order(rng, lang)
        if rng.random() < 0.4:
            order = f"{grammar.one(f'{lang}.over', rng)} {order}"
    elif rng.random() < 0.12:
        other = rng.choice(grammar.languages())
        order, lang = _foreign_order(rng, other), other
        if rng.random() < 0.5:
            order = f"{grammar.one(f'{other}.over', rng)} {order}"
    else:
        section = "wrap_mark" if marked else "x_plain" if rng.random() < 0.35 else "wrap"
        order = grammar.one(section, rng)
    return _put(rng, text, _case(rng, order), lang, group)


def _put(rng: random.Random, text: str, order: str, lang: str, group: str) -> Row:
    """A document with an instruction at one of its places, more often at its end."""
    place = rng.choice(_places(text))
    if rng.random() < 0.35:
        place = len(text)
    before = rng.choice(["", " ", "\n", "\n\n", "\n"]) if place else ""
    after = rng.choice([" ", "\n", "\n\n"])
    whole = f"{text[:place]}{before}{order}{after}{text[place:]}".rstrip()
    start = place + len(before)
    row = Row(whole, True, TOOL, "indirect", group, lang, (start, start + len(order)))
    return _as_read(rng, row)


def _foreign_order(rng: random.Random, lang: str) -> str:
    """An instruction in a language: an attack's, or a plain task where it has some."""
    grammar = _grammar()
    task = f"{lang}.task"
    plain = task in grammar.sections and rng.random() < 0.4
    return grammar.one(task if plain else f"{lang}.goal", rng)


_MISREAD = str.maketrans("lOSI", "1051")


def _as_read(rng: random.Random, row: Row) -> Row:
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


def _case(rng: random.Random, order: str) -> str:
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


def _clean(rng: random.Random) -> Row:
    text, lang = _document(rng)
    return _as_read(rng, Row(text, False, TOOL, "document", "own/document", lang))


def _shown(rng: random.Random, attacks: float = 0.4) -> Row:
    """What a screen or another picture shows, with or without an instruction."""
    text = _grammar().one("other_screen", rng)
    if rng.random() < attacks:
        return _with_order(rng, text, "en", SHOWN)
    return _as_read(rng, Row(text, False, TOOL, "document", SHOWN))


def _instructive(rng: random.Random) -> Row:
    """What is full of tasks that are no attack: exercises, prompts in figures, screens of
    assistants. Only what is marked as an instruction is one there."""
    text, group = _grammar().one("instructive", rng), "own/instructive"
    if rng.random() < 0.2:
        return _with_order(rng, text, "en", group, marked=True)
    return _as_read(rng, Row(text, False, TOOL, "document", group))


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
    grammar = _grammar()
    facts = [grammar.one(rng.choice(["fact", "fact", "about"]), rng) for _ in range(4)]
    return Row(" ".join(facts), False, TOOL, "document", "own/article")


def _asked(rng: random.Random) -> Row:
    """A question seen in a picture."""
    text = _grammar().one(rng.choice(["benignq", "b_math", "b_trigger", "b_role"]), rng)
    return Row(text, False, TOOL, "document", "own/asked", weight=0.5)


def _bare(rng: random.Random) -> Row:
    """An attack that is the whole of a picture or result."""
    section = rng.choice(
        ["t_override", "t_short", "t_persona", "bare", "bare", "t_leak", "t_marks", "x_order"]
    )
    return Row(_grammar().one(section, rng), True, TOOL, "indirect", "own/bare")


def _direct(rng: random.Random) -> Row:
    section = rng.choice(["t_attack", "j_attack", "j_attack"])
    return Row(_case(rng, _grammar().one(section, rng)), True, TYPED, "direct", "own/direct")


def _held(rng: random.Random) -> Row:
    """A document with a place that takes anything: an instruction, or what belongs there."""
    grammar = _grammar()
    attack = rng.random() < 0.55
    filler, lang = grammar.one("x_order" if attack else "clean_order", rng), "en"
    if rng.random() < 0.15:
        lang = rng.choice(grammar.languages())
        filler = _foreign_order(rng, lang) if attack else grammar.one(f"{lang}.doc", rng)
    filler = _case(rng, filler)
    before, _, after = grammar.one("holder", rng).partition(_HERE)
    kind, span = (
        ("indirect", (len(before), len(before) + len(filler))) if attack else ("document", None)
    )
    return _as_read(rng, Row(before + filler + after, attack, TOOL, kind, "own/held", lang, span))


def _foreign_attack(rng: random.Random) -> Row:
    grammar, lang = _grammar(), rng.choice(_grammar().languages())
    parts = rng.choice(["over", "over goal", "leak", "q over"]).split()
    text = " ".join(grammar.one(f"{lang}.{part}", rng) for part in parts)
    return Row(text, True, rng.choice([TYPED, TYPED, TOOL]), "direct", "own/foreign", lang)


def _foreign_benign(rng: random.Random) -> Row:
    grammar, lang = _grammar(), rng.choice(_grammar().languages())
    sections = [f"{lang}.q"] * 3 + [f"{lang}.look", f"{lang}.doc"]
    parts = [grammar.one(rng.choice(sections), rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    return Row(" ".join(parts), False, TYPED, "ordinary", "own/foreign", lang)


def _prompt(rng: random.Random) -> Row:
    section = rng.choice(["t_benign", "k_benign", "k_benign"])
    return Row(_case(rng, _grammar().one(section, rng)), False, TYPED, "ordinary", "own/prompt")


def _unreadable(rng: random.Random) -> Row:
    """What comes of text that nobody reads without decoding it: there a harmful request is an
    attack, too, and letters may have lost case, accents and stops."""
    grammar, lang, attack = _grammar(), "en", rng.random() < 0.5
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
    request = _grammar().one("request", rng)
    text = f"{request}\n\n{row.text}" if rng.random() < 0.8 else f"{row.text}\n\n{request}"
    shift = text.index(row.text)
    assert row.span is not None
    span = (row.span[0] + shift, row.span[1] + shift)
    return Row(text, True, TYPED, "indirect", "own/pasted", row.lang, span, 0.7)


def _pasted_clean(rng: random.Random) -> Row:
    text, lang = _document(rng)
    request = _grammar().one("request", rng)
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


def planted(rows: list[Row], count: int, seed: int) -> list[Row]:
    """Instructions put into the harmless documents of labelled rows; they keep the group."""
    rng = random.Random(seed)
    grammar = _grammar()
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
            order = _foreign_order(rng, row.lang)
        order = _case(rng, order)
        text = row.text[:1500]
        place = rng.choice([*_places(text), len(text)])
        before = rng.choice([" ", "\n"]) if place else ""
        start = place + len(before)
        whole = f"{text[:place]}{before}{order}{rng.choice([' ', chr(10)])}{text[place:]}".rstrip()
        span = (start, start + len(order))
        found.append(Row(whole, True, TOOL, "indirect", row.group, row.lang, span))
    return found
