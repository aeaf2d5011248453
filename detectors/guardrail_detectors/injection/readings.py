"""The ways a text can be read: as it stands, with look-alikes resolved, and decoded.

Each reading keeps the way back to the characters of the original. The work is bounded: what is
decoded is limited in size and depth, and of very many pieces those after the first are read as one.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote

from guardrail.errors import NotRun
from guardrail_detectors.injection.ciphers import (
    CELLS,
    SPELLING,
    braille,
    ciphers_of,
    is_shifted,
    morse,
    nato,
    rot47,
)
from guardrail_detectors.injection.hints import REVERSED_WORDS, hints
from guardrail_detectors.normalise import INVISIBLE, Normalised, cased_and_folded, folded_char
from guardrail_detectors.normalise import plain as as_plain

ALONE = 128  # decoded pieces of one text that are read one by one
MAX_DECODED = 4_000_000  # characters of all of them, and of their own readings
HEX_DIGITS = 20  # of one piece at least
ESCAPED = 0.5  # of its length at most is left of a line most of which is escaped
SPACED_LETTERS = 4  # a row of digits is a table
STYLED_LETTERS = 6  # fewer are signs of a pronunciation, or badges
LEET_WORDS, LEET_SHARE = 4, 0.3  # so many words with digits for letters are no accident

# Letters of other scripts that are drawn like Latin ones (Unicode's confusables.txt, UTS #39).
_LOOK_ALIKES = {
    ord(pair[0]): pair[1]
    for pair in (
        "аa еe оo рp сc уy хx іi јj ѕs ԁd һh ӏl ԛq ԝw кk мm нh тt вb гr пn ɡg ѵv ьb "
        "αa οo εe ρp υu νv ιi κk τt χx ηn γy ωw ϲc ոn սu աw օo ցg հh ɩi ɑa ʏy ꜱs ɪi"
    ).split()
}
# Letters in a style for which Unicode gives no compatibility form: small capitals, and white
# letters in discs and squares.
_STYLED = {
    **{
        ord(letter): plain
        for letter, plain in zip(
            "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274\u1d0f\u1d18"
            "\ua7af\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22",
            "abcdefghijklmnopqrstuvwyz",
            strict=True,
        )
    },
    **{first + index: chr(97 + index) for first in (0x1F150, 0x1F170) for index in range(26)},
}
_LOOK_ALIKES |= _STYLED
_LEET = tuple(str.maketrans("013457@$!|", f"o{one}eastasi{one}") for one in "il")


@dataclass(frozen=True)
class Reading:
    """One reading, folded; `cased` is the same text with case and accents, where there is one.

    `obscured` says that somebody took pains to hide it from plain sight, `decoded` that it stood
    there as another text, and `unreadable` that nobody reads that one as it stands. One that is
    only `guessed` may be what digits and letters spell by chance.
    """

    text: Normalised
    obscured: bool = False
    decoded: bool = False
    unreadable: bool = False
    guessed: bool = False
    cased: Normalised | None = None


def readings(text: str, depth: int) -> Iterator[Reading]:
    """The readings of a text: the plain one first, decoded ones as deep as `depth`.

    Raises NotRun where more than MAX_DECODED characters are encoded in it.
    """
    cased, plain = cased_and_folded(text)
    yield Reading(plain, cased=cased)
    if depth == 0:
        return
    budget = Budget()
    marks = hints(text) if text.isascii() else hints(text, plain.text)
    spaced: Normalised | None = None
    for reading in _disguises(text, plain, marks):
        spaced = reading.cased or spaced
        yield reading
    yield from _decoded(cased, depth, budget, marks)
    if spaced is not None:
        yield from _decoded(spaced, depth, budget, hints(spaced.text))


def _disguises(text: str, plain: Normalised, marks: Collection[str]) -> Iterator[Reading]:
    if not text.isascii():
        resolved = plain.text.translate(_LOOK_ALIKES)
        hidden = any(char in INVISIBLE or "\U000e0000" <= char <= "\U000e0fff" for char in text)
        mixed = _mixes_scripts(plain.text)
        styled = sum(ord(char) in _STYLED for char in plain.text) >= STYLED_LETTERS
        if mixed or hidden or styled:
            yield Reading(Normalised(resolved, plain.spans), obscured=True)
    if "leet" in marks and (leetish := len(_LEETISH.findall(plain.text))):
        guessed = leetish < max(LEET_WORDS, LEET_SHARE * len(plain.text.split()))
        for letters in _LEET:
            read = Normalised(plain.text.translate(letters), plain.spans)
            yield Reading(read, obscured=True, guessed=guessed)
    if "spaced" in marks and (joined := _joined(as_plain(text))) is not None:
        yield Reading(joined.map(folded_char), obscured=True, cased=joined)
    if "reversed" in marks and _REVERSED.search(plain.text):
        spans = [plain.span(i, i + 1) for i in range(len(plain.text))][::-1]
        yield Reading(Normalised(plain.text[::-1], tuple(spans)), obscured=True)


# A run of digits and signs is looked at from its beginning only, which keeps this linear.
_LEETISH = re.compile(r"[a-z][013457@$!|]++[a-z]|(?<![013457@$])[@$]*+\b[013457@$]++[a-z]{2}")
_REVERSED = re.compile(rf"\bs?(?:{'|'.join(REVERSED_WORDS)})\b")
_BETWEEN = r"[\s.,:;_*\-\u00b7\u2013\u2014\u2022|/+~]"
# One letter with its marks; scripts of South Asia write vowels as marks of their own.
_LETTER = r"(?:[^\W_]|[\u0900-\u0eff])(?:(?!\w)[\u0900-\u0eff]){0,2}+"
_GAP = re.compile(rf"{_BETWEEN}+")
_SPACED = re.compile(rf"(?<!\S)(?:{_LETTER}{_BETWEEN}{{1,3}}+){{4,}}+(?:{_LETTER}(?!\w))?+")


def _mixes_scripts(text: str) -> bool:
    return re.search(r"[a-z][\u0370-\u058f]|[\u0370-\u058f][a-z]", text) is not None


def _joined(plain: Normalised) -> Normalised | None:
    """The text with s p a c e d words joined; wider gaps between them stay spaces."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for match in _SPACED.finditer(plain.text):
        if sum(map(str.isalpha, match[0])) < SPACED_LETTERS:
            continue
        for index in range(at, match.start()):
            pieces.append(plain.text[index])
            spans.append(plain.span(index, index + 1))
        index = match.start()
        while index < match.end():
            char = plain.text[index]
            gap = _GAP.match(plain.text, index, match.end())
            if gap is None:
                pieces.append(char)
                spans.append(plain.span(index, index + 1))
                index += 1
                continue
            if gap.end() > index + 1 or gap.end() == match.end():
                pieces.append(" ")
                spans.append(plain.span(index, index + 1))
            index = gap.end()
        at = match.end()
    if at == 0:
        return None
    for index in range(at, len(plain.text)):
        pieces.append(plain.text[index])
        spans.append(plain.span(index, index + 1))
    return Normalised("".join(pieces), tuple(spans))


Decoder = Callable[[str], str | None]


def _bytes_as_text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if _is_readable(text) else None


def _is_readable(decoded: str) -> bool:
    """Whether decoded bytes are words, or what may be decoded once more."""
    text = as_plain(decoded).text
    if len(text) < 6 or not (text.isprintable() or "\n" in text):
        return False
    letters = sum(char.isalpha() or char.isspace() for char in text)
    return letters >= 0.7 * len(text) or _ENCODED.fullmatch(text) is not None


_ENCODED = re.compile(r"[A-Za-z0-9+/=_%&#;.\s-]{16,}+")


def _base64(piece: str) -> str | None:
    packed = re.sub(r"\s", "", piece).replace("-", "+").replace("_", "/").rstrip("=")
    if len(packed) % 4 == 1:
        packed = packed[:-1]
    try:
        return _bytes_as_text(base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None


def _base32(piece: str) -> str | None:
    packed = piece.rstrip("=")
    try:
        return _bytes_as_text(base64.b32decode(packed + "=" * (-len(packed) % 8)))
    except (binascii.Error, ValueError):
        return None


def _hex(piece: str) -> str | None:
    digits = re.sub(r"0x|\\x|[\s:,-]", "", piece)
    if len(digits) < HEX_DIGITS:
        return None
    try:
        return _bytes_as_text(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    except ValueError:
        return None


def _percent(piece: str) -> str | None:
    return unquote(piece, errors="replace")


def _escapes(piece: str) -> str | None:
    try:
        text = re.sub(r"\\u\{?([0-9a-fA-F]{4,6})\}?", lambda m: chr(int(m[1], 16)), piece)
    except (ValueError, OverflowError):
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _ascii85(piece: str) -> str | None:
    for decode in (base64.a85decode, base64.b85decode):
        try:
            text = _bytes_as_text(decode(piece.removeprefix("<~").removesuffix("~>")))
        except (ValueError, OverflowError):
            continue
        if text is not None:
            return text
    return None


# Possessive repeats keep these linear.
_HEX = r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?+[0-9a-fA-F]{2})++(?![0-9A-Za-z])"
_PIECES: Mapping[str, tuple[re.Pattern[str], Decoder]] = {
    "base64": (re.compile(r"[A-Za-z0-9+/_-]{16,}+(?:\s[A-Za-z0-9+/_-]{16,}+)*+={0,2}"), _base64),
    "base32": (re.compile(r"\b[A-Z2-7]{24,}+={0,6}"), _base32),
    "hex": (re.compile(rf"{_HEX}(?:[\s:,-]{{1,2}}+{_HEX})*+"), _hex),
    "morse": (re.compile(r"(?:[.-]{1,5}+[ /\n]++){8,}+[.-]{0,5}+"), morse),
    "ascii85": (
        re.compile(r"(?=[!-~]{0,40}[#$%&*;<=>?@^`{|}!\"'()+,.])[!-~]{20,}+"),
        _ascii85,
    ),
    "nato": (SPELLING, nato),
    "braille": (CELLS, braille),
}
# Escapes leave a line readable as a whole.
_LINES: tuple[tuple[str, Decoder], ...] = (
    ("%", _percent),
    ("&", html.unescape),
    ("\\u", _escapes),
)


def _candidates(text: str, marks: Collection[str]) -> Iterator[tuple[int, int, Decoder]]:
    """Where something may be encoded."""
    for name, (pattern, decoder) in _PIECES.items():
        if name not in marks:
            continue
        for match in pattern.finditer(text):
            yield match.start(), match.end(), decoder
    for mark, decoder in _LINES:
        at = text.find(mark)
        while at >= 0:
            start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
            end = len(text) if end < 0 else end
            yield start, end, decoder
            at = text.find(mark, end)
    if "cipher" in marks:
        for decoder in ciphers_of(text):
            yield 0, len(text), decoder
    if "shifted" in marks and is_shifted(text):
        yield 0, len(text), rot47


class Budget:
    """What may still be read of all that is encoded in a text."""

    def __init__(self) -> None:
        self.alone, self.characters = ALONE, MAX_DECODED

    def take(self, characters: int) -> None:
        """So many more are read. Raises NotRun where they are too many."""
        self.characters -= characters
        if self.characters < 0:
            raise NotRun(f"over {MAX_DECODED} characters are encoded in a text; let less in")


@dataclass(frozen=True)
class _Piece:
    """Decoded text, and for each of its characters the place where it stood encoded."""

    text: str
    places: list[tuple[int, int]]
    unreadable: bool

    def placed(self, form: Normalised) -> Normalised:
        """A form of the text, in the places of the original."""
        if form.spans is None:
            return Normalised(form.text, tuple(self.places))
        return Normalised(form.text, tuple(self.places[start] for start, _ in form.spans))


def _decoded(
    text: Normalised,
    depth: int,
    budget: Budget,
    marks: Collection[str],
    unreadable: bool = False,
) -> Iterator[Reading]:
    """What stands encoded in the text, and in what comes of that."""
    pieces: list[_Piece] = []
    for start, end, decoder in _candidates(text.text, marks):
        new = decoder(text.text[start:end])
        if not new or new == text.text[start:end]:
            continue
        budget.take(len(new))
        escaped = any(decoder is one for _, one in _LINES)
        plain = escaped and len(new) > ESCAPED * (end - start)
        pieces.append(_Piece(new, [text.span(start, end)] * len(new), unreadable or not plain))
    for piece in _few(pieces, budget):
        cased, flat = cased_and_folded(piece.text)
        marks = hints(piece.text, flat.text)
        read = piece.placed(cased)
        yield Reading(
            piece.placed(flat),
            obscured=True,
            decoded=True,
            unreadable=piece.unreadable,
            cased=read,
        )
        for worn in _disguises(piece.text, flat, marks):
            budget.take(len(piece.text))
            yield replace(
                worn,
                text=piece.placed(worn.text),
                decoded=True,
                unreadable=piece.unreadable,
                cased=worn.cased and piece.placed(worn.cased),
            )
        if depth > 1:
            yield from _decoded(read, depth - 1, budget, marks, piece.unreadable)


def _few(pieces: list[_Piece], budget: Budget) -> Iterator[_Piece]:
    """The first ones each by itself, and all others together."""
    alone, others = pieces[: budget.alone], pieces[budget.alone :]
    budget.alone -= len(alone)
    yield from alone
    for unreadable in (True, False):
        together = [piece for piece in others if piece.unreadable == unreadable]
        if together:
            text = "\n".join(piece.text for piece in together)
            places = [place for piece in together for place in (*piece.places, piece.places[-1])]
            yield _Piece(text, places[:-1], unreadable)
