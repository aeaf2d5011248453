"""Which words of a sentence are said to be so: negation, doubt, conditions, comparison.

What a cue covers is kept wide: a claim missed costs less than a false alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from guardrail_detectors.entities import lexicon as words


class Word(NamedTuple):
    """A word or sign of a sentence, in small letters, and where it stands in the text."""

    text: str
    start: int
    end: int


_NEGATIONS = frozenset(
    "no not never neither nor none nothing nobody nowhere without cannot isn't aren't wasn't "
    "weren't doesn't don't didn't can't couldn't won't wouldn't hasn't haven't shouldn't lack "
    "lacks lacking lacked absence devoid unlike minus excluding fails failed unable denies "
    "hardly scarcely rarely seldom excludes omits zero 0".split()
)
_DOUBTS = frozenset(
    "maybe perhaps possibly probably likely potentially presumably apparently seemingly "
    "supposedly arguably allegedly appears appear seems seem resembles resemble resembling "
    "suggests suggest suggesting suggested implies implying indicates indicating indicate hints "
    "hinting reminiscent evoking evokes evoke guess think believe assume suspect imagine wonder "
    "whether like than unlike similar for awaiting expecting wanting wishing hoping reminds "
    "except besides beyond about versus symbolizing symbolizes symbolising represents representing "
    "advertising advertises titled named called otherwise needs need wants want requires require "
    "hope hopes hoping plans plan planning dream dreams dreaming wishes intend intends "
    "says say states state warns warn forbids forbid prohibits prohibit bans ban sells sell "
    "popular".split()
)
_MODALS = frozenset("could may might would should must will shall ought".split())
_CONDITIONS = frozenset(
    "if unless imagine suppose supposing pretend assuming hypothetically provided were-there "
    "whenever unsure uncertain unclear ambiguous asked ask question questions prompt user "
    "usually typically often generally commonly normally sometimes hard difficult impossible "
    "untrue incorrect wrong false mistaken mistakenly confirm verify tell wish formerly "
    "previously once yesterday tomorrow mentioned mention mentions request possible probable "
    "improbable unlikely doubt doubts doubtful conceivable plausible implausible claims claim "
    "claimed claiming alleges expected expect".split()
)
_CONTRASTS = frozenset(
    "but only just instead however although though while whereas yet nevertheless still".split()
)
_SEEN = frozenset(
    "found spotted detected identified visible present seen shown depicted pictured apparent "
    "evident here".split()
)
_GONE = frozenset(
    "removed vanished disappeared absent missing gone nonexistent non-existent invisible".split()
)
_BE = frozenset("is are was were be been being seems appears".split())
_PURPOSES = frozenset("buy get find see become build have own purchase order meet be".split())
_REPORTS = frozenset(
    "said say gave give asked ask wanted want described provided told mention mentioned mean "
    "suggested listed requested sent wrote".split()
)
_STOPS = frozenset({",", "-", "–", "—", "(", ")"})


def said(sentence: Sequence[Word]) -> list[bool]:
    """For each word, whether what it names is said to be so."""
    plain = [word.text for word in sentence]
    held = [True] * len(plain)
    if _conditional(plain):
        return [False] * len(plain)
    for at, word in enumerate(plain):
        following = plain[at + 1] if at + 1 < len(plain) else ""
        before = plain[at - 1] if at else ""
        if word in _NEGATIONS:
            if following == "only" or (word == "nothing" and following in ("but", "except")):
                continue
            last = _forward(plain, at)
            _drop(held, at, last)
            if _speaks_of_seeing(plain[at:last]):
                _drop(held, _backward(plain, at), at)
        elif following in {"missing": words.DETERMINERS, "to": _PURPOSES}.get(word, ()):
            _drop(held, at, _forward(plain, at))
        elif word in _GONE and (before in _BE or plain[max(0, at - 2)] in _BE):
            _drop(held, _backward(plain, at), at)
        elif word in ("instead", "rather", "other", "apart", "free") and following in (
            "of", "than", "from",
        ):  # fmt: skip
            _drop(held, at, _forward(plain, at + 1))
        elif word == "as" and following in ("if", "though"):
            _drop(held, at, len(held))
        elif (word == "as" and "as" in plain[max(0, at - 3) : at]) or word in _DOUBTS:
            _drop(held, at, _forward(plain, at))
        elif word in _MODALS:
            first = _backward(plain, at)
            if plain[first:at] and plain[first] not in words.DEFINITE:
                _drop(held, first, at)
            _drop(held, at, _forward(plain, at))
        elif word == "or":
            _drop(held, _backward(plain, at), _forward(plain, at))
    return held


def _conditional(plain: Sequence[str]) -> bool:
    conditions = (at for at, word in enumerate(plain) if word in _CONDITIONS)
    if "?" in plain[-2:] or any(plain[at] != "if" or plain[at - 1] != "as" for at in conditions):
        return True
    for one, two in pairwise(plain):
        if (one == "you" and two in _REPORTS) or (one == "your" and two in ("list", "message")):
            return True
    if _is_general(plain):
        return True
    text = " ".join(plain)
    return any(
        phrase in text
        for phrase in (
            "not sure",
            "not certain",
            "not clear",
            "used to be",
            "were there",
            "had there",
        )
    )


def _is_general(plain: Sequence[str]) -> bool:
    """Whether a sentence speaks of all things of a kind: "dogs are popular pets"."""
    if len(plain) < 3 or plain[1] != "are" or not words.is_plural(plain[0]):
        return False
    after = plain[2]
    return not (
        words.is_verb(after)
        or after in _SEEN
        or after in words.PREPOSITIONS
        or after in words.ADVERBS
        or after in words.COLOURS
        or after in words.ADJECTIVES
    ) or after in ("popular", "common")


def _drop(held: list[bool], first: int, last: int) -> None:
    held[first:last] = [False] * (last - first)


def _forward(plain: Sequence[str], at: int) -> int:
    """Where a cue's reach ends: at a contrast, or at a comma with a clause of its own after it."""
    for here in range(at + 1, len(plain)):
        if plain[here] in _CONTRASTS:
            return here
        if plain[here] in _STOPS and not _is_list(plain, here + 1):
            return here
    return len(plain)


def _is_list(plain: Sequence[str], first: int) -> bool:
    """Whether only names follow up to the next comma, as in "no dogs, cats or birds"."""
    if first < len(plain) and plain[first] in _CONTRASTS:
        return False
    for word in plain[first:]:
        if word in _STOPS:
            return True
        if word in words.AUXILIARIES or words.is_verb(word) or word in words.PRONOUNS:
            return False
        if word in ("with", "in", "on", "at", "under", "near"):
            return False
    return True


def _backward(plain: Sequence[str], at: int) -> int:
    """Where the clause of a cue begins; lists of subjects before it belong to it."""
    first = at
    while first > 0 and plain[first - 1] not in _CONTRASTS:
        if plain[first - 1] in _STOPS:
            piece = first - 2
            while piece >= 0 and plain[piece] not in _STOPS:
                piece -= 1
            between = plain[piece + 1 : first - 1]
            if any(w in words.AUXILIARIES or words.is_verb(w) for w in between):
                break
        first -= 1
    return first


def _speaks_of_seeing(plain: Sequence[str]) -> bool:
    if any(word in _SEEN for word in plain):
        return True
    for at, word in enumerate(plain[:-2]):
        if word in ("in", "on", "part") and plain[at + 1] in ("the", "this", "of"):
            tail = plain[at + 1 : at + 4]
            if any(word in words.PICTURES or word == "frame" for word in tail):
                return True
    return "there" in plain
