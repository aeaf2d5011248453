"""Words as they may have stood in a picture before OCR misread them.

A word that is none of the vocabulary's is read as a word of attacks that it is close to, or as
several words that have lost their spaces. This is a guess: it counts only where a known wording
comes of it.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import cache, lru_cache
from itertools import combinations

from guardrail_detectors.injection.encoder import load_pieces
from guardrail_detectors.normalise import Normalised

ALIKE = 0.75  # share of letters that a word has in common with what it is read as
WRONG = 2  # letters that may be missing on either side
LETTERS, GLUED = 6, 8  # of a word that is looked at, and of one that may be several
_WORD = re.compile(r"(?<![^\W_])[a-z]{6,20}+(?![^\W_])")

_TELLING = """answer answers assistant assistants attention bypass command commands conversation
credentials current describe developer directive directives disclose disregard display earlier
everything existing filter filters following forget forward guideline guidelines hidden history
ignore ignoring image include initial instead instruction instructions language mention message
messages original output override overlook password picture policy preceding pretend previous
previously print prompt question recommend repeat reply respond response restriction restrictions
reveal secret summarise summarize system translate unfiltered unrestricted without""".split()
_BETWEEN = """a all an and any are as be do for from in is it model mode must no not now of on only
photo prior rule rules should that the this to user will with word words you your""".split()
_WHOLE = frozenset([*_TELLING, *_BETWEEN])


def set_right(text: Normalised) -> Normalised | None:
    """A folded text with its misread words set right; None where there are none."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for match in _WORD.finditer(text.text):
        meant = _meant(match[0])
        if meant is None:
            continue
        pieces += text.text[at : match.start()], meant
        spans += [text.span(i, i + 1) for i in range(at, match.start())]
        spans += [text.span(*match.span())] * len(meant)
        at = match.end()
    if not at:
        return None
    pieces.append(text.text[at:])
    spans += [text.span(i, i + 1) for i in range(at, len(text.text))]
    return Normalised("".join(pieces), tuple(spans))


@lru_cache(maxsize=20_000)
def _meant(word: str) -> str | None:
    if word in _WHOLE or any(len(load_pieces().word(w)) == 1 for w in (word, word.capitalize())):
        return None
    return _split(word) or _nearest(word)


def _split(word: str) -> str | None:
    """The fewest known words that make up this one, some telling one among them."""
    if len(word) < GLUED:
        return None
    best: list[list[str] | None] = [[]] + [None] * len(word)
    for start in range(len(word)):
        before = best[start]
        if before is None:
            continue
        for end in range(start + 1, len(word) + 1):
            known = best[end]
            if word[start:end] in _WHOLE and (known is None or len(known) > len(before) + 1):
                best[end] = [*before, word[start:end]]
    parts = best[-1]
    if parts is None or not any(len(part) >= LETTERS - 1 for part in parts):
        return None
    return " ".join(parts)


def _nearest(word: str) -> str | None:
    near = {known for left in _shortened(word) for known in _index().get(left, ())}
    alike = [(SequenceMatcher(None, word, known, False).ratio(), known) for known in sorted(near)]
    share, known = max(alike, default=(0.0, None))
    return known if share >= ALIKE else None


@cache
def _index() -> dict[str, list[str]]:
    """Telling words by what is left of them."""
    found: dict[str, list[str]] = {}
    for known in _TELLING:
        for left in _shortened(known):
            found.setdefault(left, []).append(known)
    return found


def _shortened(word: str) -> set[str]:
    """The word without up to `WRONG` of its letters."""
    return {
        "".join(kept)
        for wrong in range(WRONG + 1)
        for kept in combinations(word, len(word) - wrong)
    }
