"""Whether a text is in a language that its claims can be read in, and in which scripts it is."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from guardrail_detectors.entities import lexicon as words

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_ENGLISH = (
    words.PREPOSITIONS
    | words.CONJUNCTIONS
    | words.PRONOUNS
    | words.AUXILIARIES
    | words.DETERMINERS
    | words.ADVERBS
)
# The commonest function words of other languages in Latin letters that are no English words.
_OTHERS = frozenset(
    "der die das und ist nicht ein eine einen einem auf mit von zu im den dem sich auch es sind "
    "le la les un une des du et est dans avec sur pour pas que qui il elle sont aux au "
    "el los las una del y en con por para se su hay está están esta este que no lo como "
    "di il gli della che per non con sono una nel alla sul è "
    "um uma os as da do na não com para em há são ao "
    "het een van en niet op met zijn er voor aan "
    "och att det som på är inte med av den ett til og ikke jeg på av "
    "jest nie się na do w z są to ve bir bu için ile değil var "
    "ja on ei että se ne "
    "yang dan di ini itu dengan untuk tidak ada là và của có không một".split()
) - {"no", "to", "do", "on", "as", "a", "die", "den", "con", "an", "in", "he", "me", "at", "her"}
LEAST_WORDS = 4
_RANGES = {
    "CJK": "han", "HIRAGANA": "kana", "KATAKANA": "kana", "HANGUL": "hangul", "LATIN": "latin",
}  # fmt: skip


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    name = unicodedata.name(char, "").split(" ")[0]
    return _RANGES.get(name, name.lower())


def scripts(text: str) -> dict[str, int]:
    """How many letters of each script a text has."""
    found: dict[str, int] = {}
    for char in text[:20_000]:
        if char.isalpha():
            script = _script(char)
            found[script] = found.get(script, 0) + 1
    return found


def foreign_script(text: str, known: frozenset[str]) -> str | None:
    """The script outside `known` that a tenth of the letters or more are written in."""
    found = scripts(text)
    total = sum(found.values())
    for script, count in sorted(found.items(), key=lambda item: -item[1]):
        if script not in known and script not in ("fullwidth", "feminine", "masculine"):
            return script if 10 * count >= total else None
    return None


def is_english(text: str) -> bool:
    """Whether a text reads as English, by its function words; short ones are taken for it."""
    found = [word.lower().replace("’", "'") for word in _WORD.findall(text[:20_000])]
    if len(found) < LEAST_WORDS:
        return True
    english = sum(word in _ENGLISH for word in found)
    other = sum(word in _OTHERS for word in found)
    return other <= english and (english > 0 or len(found) < 8)
