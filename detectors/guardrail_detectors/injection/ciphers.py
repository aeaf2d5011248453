"""Codes that stand for letters one by one, with the ways back to text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import cache, partial

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MORSE = dict(
    zip(
        (
            ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- "
            "...- .-- -..- -.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
        ).split(),
        _LETTERS,
        strict=True,
    )
)
NATO = dict(
    zip(
        (
            "alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike "
            "november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu"
        ).split(),
        _LETTERS,
        strict=False,
    )
)
SPELT = NATO | {"alpha": "a", "juliet": "j", "whisky": "w", "x-ray": "x"}
BRAILLE = dict(zip("⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵", _LETTERS, strict=False))

_ATBASH = str.maketrans(
    _LETTERS[:26] + _LETTERS[:26].upper(), _LETTERS[25::-1] + _LETTERS[25::-1].upper()
)
_ROT47 = {code: 33 + (code - 33 + 47) % 94 for code in range(33, 127)}


def atbash(text: str) -> str:
    """A for Z, B for Y and so on; its own way back."""
    return text.translate(_ATBASH)


def rot47(text: str) -> str:
    """Each visible character of ASCII half the alphabet further; its own way back."""
    return text.translate(_ROT47)


def morse(text: str) -> str:
    """Letters apart by spaces, words by a slash, wide gaps or lines."""
    words = re.split(r"\s*/\s*|\s{3,}|\n", text.strip())
    return " ".join("".join(MORSE.get(code, "") for code in word.split()) for word in words)


def nato(text: str) -> str:
    """Letters as words of the spelling alphabet; words apart by a slash, a dot or a line."""
    words = re.split(r"\s*[/.\n|]\s*|\s{3,}", text.strip().lower())
    return " ".join(
        "".join(SPELT.get(code, "") for code in re.split(r"[\s,]+", word)) for word in words
    )


def braille(text: str) -> str:
    """Letters of six dots; an empty cell is a space."""
    return "".join(BRAILLE.get(char, " " if char in " \u2800\n" else "") for char in text)


SPELLING = re.compile(
    rf"\b(?:{'|'.join(SPELT)})(?:[\s,./|-]{{1,4}}(?:{'|'.join(SPELT)})){{5,}}", re.IGNORECASE
)
CELLS = re.compile("[\u2801-\u283f][\u2800-\u283f \n]{5,}+")

# Words of attacks, and many that are common, by which a text in a cipher is known.
_TELLTALE = (
    "ignore previous instruction instructions system prompt disregard forget reveal assistant "
    "secret password without following everything explain detailed "
    "people letter develop create should through because before against between during "
    "provide please answer question article website government information program computer "
    "account credit illegal weapon violence dangerous children someone something anything another "
    "public personal message method purpose content script system writing stealing instruct"
).split()
_SPELLED = re.compile(r"[a-z]{6,}")
SHIFTED_WORDS = tuple(rot47(word) for word in (*_TELLTALE, "the", "and"))
_SHIFTED = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, SHIFTED_WORDS))})(?!\S)")


@cache
def _alphabets() -> dict[str, dict[int, int]]:
    """Those words in every Caesar cipher and in Atbash, and what undoes it."""
    found: dict[str, dict[int, int]] = {}
    letters = _LETTERS[:26]
    for coded in [*(letters[shift:] + letters[:shift] for shift in range(1, 26)), letters[::-1]]:
        spell = str.maketrans(letters, coded)
        undo = str.maketrans(coded + coded.upper(), letters + letters.upper())
        found |= {word.translate(spell): undo for word in _TELLTALE}
    return found


def coded_words() -> Collection[str]:
    """Words of at least six letters by which a cipher of the alphabet is known."""
    return _alphabets().keys()


def ciphers_of(text: str) -> Iterator[Callable[[str], str]]:
    """What undoes the ciphers of the alphabet that the text may be written in."""
    tables = map(_alphabets().get, _SPELLED.findall(text.lower()))
    for table in {id(table): table for table in tables if table}.values():
        yield partial(_translated, table=table)


def is_shifted(text: str) -> bool:
    """Whether the text may be what `rot47` undoes."""
    return _SHIFTED.search(text) is not None


def _translated(text: str, table: dict[int, int]) -> str:
    return text.translate(table)
