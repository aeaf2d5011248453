"""What an answer says it read, against the text that was read out of the picture.

Quotes may differ from the text by as much as OCR errs; numbers and dates are compared by their
value, however they are written; names by their words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardrail_detectors.entities import lexicon as words

QUOTE, NUMBER, NAME = "unread_quote", "unread_number", "unread_name"
MAX_QUOTE = 300  # characters compared of one quote
MAX_READ = 50_000  # characters of the picture's text that are compared with

_CUE = re.compile(
    r"\b(?:says?|said|saying|reads?|reading|written|writes?|label(?:s|l?ed)?|captions?|captioned|"
    r"titled?|headlines?|headed|heading|signs?|texts?|words?|lettering|letters|inscri\w+|printed|"
    r"engraved|displays?|displayed|totals?|amounts?|subtotals?|prices?|priced|costs?|date[ds]?|"
    r"number(?:ed|s)?|invoices?|receipts?|phone|address(?:ed)?|serial|balance|due|tax|vat|issued|"
    r"brand(?:s|ed)?|logos?|named|called|marked|stamped|according to|plates?|account|time shown)\b",
    re.IGNORECASE,
)
_NAME_CUE = re.compile(
    r"\b(?:brands?|branded|logos?|named?|called|issued by|issued to|signed|addressed|company|store|"
    r"shop|restaurant|reads?|says?|written|labell?ed|titled|printed|from|by)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]*)*[.!?]*")
_QUOTED = re.compile(r"\"([^\"\n]{2,300})\"|“([^”\n]{2,300})”|«([^»\n]{2,300})»|`([^`\n]{2,300})`")
_NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d.,:/' -]*\d(?!\w)|(?<![\w.])\d(?!\w)")
_LONG = 7  # digits
_MONTHS = {
    month: number
    for number, names in enumerate(
        "january jan,february feb,march mar,april apr,may,june jun,july jul,august aug,"
        "september sep sept,october oct,november nov,december dec".split(","),
        1,
    )
    for month in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WRITTEN_DATE = re.compile(
    rf"\b(?:(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<m1>{_MONTH})\.?|(?P<m2>{_MONTH})\.?\s+"
    rf"(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?),?(?:\s+(?P<y>\d{{4}}))?\b",
    re.IGNORECASE,
)
_DIGIT_DATE = re.compile(r"\b(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})\b")
_CAPITAL = re.compile(r"\b[A-Z][\w&'’-]*(?:\s+(?:&\s+)?[A-Z][\w&'’-]*)*")
_COMMON = frozenset(
    "the a an it this that there i in on at monday tuesday wednesday thursday friday saturday "
    "sunday usd eur gbp vat tax total date invoice receipt no image picture photo".split()
) | frozenset(_MONTHS)


@dataclass(frozen=True)
class Unread:
    """Something said to be read, that is not in the picture's text. `score` in [0, 1] grows with
    how far the nearest text is from it."""

    label: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Read:
    """A picture's text, prepared for comparison."""

    text: str
    numbers: frozenset[str]
    dates: frozenset[tuple[int, int]]
    words: frozenset[str]


def prepared(texts: Sequence[str]) -> Read:
    """The texts of the pictures of a call, together."""
    whole = "\n".join(texts)[:MAX_READ]
    plain = _plain(whole)
    numbers = {form for found in _NUMBER.finditer(whole) for form in _values(found[0])}
    numbers |= {re.sub(r"\D", "", run) for run in re.findall(r"[\d][\d\s().+/-]{5,}\d", whole)}
    return Read(
        plain,
        frozenset(numbers) | frozenset(re.findall(r"\d+", whole)),
        frozenset(date for _, _, dates in _dates(whole) for date in dates),
        frozenset(plain.split()),
    )


def unread(answer: str, read: Read) -> list[Unread]:
    """What an answer says it read and the picture's text does not hold."""
    found: list[Unread] = []
    for sentence in _SENTENCE.finditer(answer):
        first, said = sentence.start(), sentence[0]
        if not _CUE.search(said) or said.rstrip().endswith("?"):
            continue
        quotes = [
            (q.start(), q.end(), next(filter(None, q.groups()))) for q in _QUOTED.finditer(said)
        ]
        for start, end, quote in quotes:
            far = _distance(_plain(quote), read.text)
            score = min(1.0, max(0.0, (far - 0.1) / 0.4))
            found.append(Unread(QUOTE, first + start + 1, first + end - 1, score))
        taken = [(start, end) for start, end, _ in quotes]
        for start, end, dates in _dates(said):
            if not _inside(start, taken):
                missing = 0.0 if read.dates & dates else 1.0
                found.append(Unread(NUMBER, first + start, first + end, missing))
                taken.append((start, end))
        for number in _NUMBER.finditer(said):
            if not _inside(number.start(), taken) and _is_reading(number[0]):
                missing = 0.0 if _is_read(number[0], read) else 1.0
                found.append(Unread(NUMBER, first + number.start(), first + number.end(), missing))
        if _NAME_CUE.search(said):
            found += [
                Unread(NAME, first + start, first + end, score)
                for start, end, score in _names(said, read, taken)
            ]
    return found


def _names(
    said: str, read: Read, taken: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, float]]:
    opening = len(said) - len(said.lstrip(" \t-*•"))
    for name in _CAPITAL.finditer(said):
        start = name.start()
        if _inside(start, taken):
            continue
        parts = [p for p in _plain(name[0]).split() if p not in _COMMON and len(p) > 1]
        if start == opening:  # a sentence's first word is in capitals anyway
            parts = parts[1:]
        if not parts or all(part in _ENGLISH for part in parts):
            continue
        lost = sum(not _has_word(part, read) for part in parts)
        yield start, name.end(), lost / len(parts)


_ENGLISH = words.PREPOSITIONS | words.DETERMINERS | words.PRONOUNS | words.AUXILIARIES


def _has_word(word: str, read: Read) -> bool:
    if word in read.words or (len(word) > 3 and word in read.text.replace(" ", "")):
        return True
    return len(word) > 4 and _distance(word, read.text) <= 1.01 / len(word)


def _is_reading(number: str) -> bool:
    """Whether a number is a figure that was read rather than a count of things."""
    digits = re.sub(r"\D", "", number)
    return len(digits) >= 3 or any(sign in number for sign in ".,:/")


def _is_read(number: str, read: Read) -> bool:
    if read.numbers & _values(number):
        return True
    digits = re.sub(r"\D", "", number)
    return len(digits) >= _LONG and any(  # a telephone number with its country's code, or without
        len(other) >= _LONG and (digits.endswith(other) or other.endswith(digits))
        for other in read.numbers
    )


def _values(number: str) -> frozenset[str]:
    """The forms in which a number may be written elsewhere: 1,234.50 is 1234.5 and 1.234,50."""
    bare = number.strip().strip("+.,:/' -")
    forms = {re.sub(r"\D", "", bare).lstrip("0") or "0"}
    squeezed = re.sub(r"[\s']", "", bare)
    for thousands, point in ((",", "."), (".", ",")):
        form = squeezed.replace(thousands, "")
        if form.count(point) <= 1 and re.fullmatch(rf"-?\d+(?:{re.escape(point)}\d+)?", form):
            whole, _, part = form.partition(point)
            part = part.rstrip("0")
            forms.add(f"{whole.lstrip('0') or '0'}.{part}" if part else whole.lstrip("0") or "0")
    return frozenset(forms)


def _dates(text: str) -> Iterator[tuple[int, int, frozenset[tuple[int, int]]]]:
    """Dates with the days (month, day) that they may mean."""
    for found in _WRITTEN_DATE.finditer(text):
        month = _MONTHS[(found["m1"] or found["m2"]).lower()]
        day = int(found["d1"] or found["d2"])
        if 1 <= day <= 31:
            yield found.start(), found.end(), frozenset({(month, day)})
    for found in _DIGIT_DATE.finditer(text):
        a, b, c = (int(part) for part in found.groups())
        pairs = {(b, c)} if a > 31 else {(a, b), (b, a)}
        days = {(month, day) for month, day in pairs if 1 <= month <= 12 and 1 <= day <= 31}
        if days:
            yield found.start(), found.end(), frozenset(days)


def _inside(at: int, taken: Sequence[tuple[int, int]]) -> bool:
    return any(start <= at < end for start, end in taken)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())


def _distance(pattern: str, text: str) -> float:
    """The edits that turn the pattern into the nearest piece of the text, as a share of its
    length; 1 where there is no text. Bit-parallel (Myers, J. ACM 46(3), 1999)."""
    pattern = pattern[:MAX_QUOTE]
    length = len(pattern)
    if not length:
        return 0.0
    places: dict[str, int] = {}
    for at, char in enumerate(pattern):
        places[char] = places.get(char, 0) | 1 << at
    mask, last = (1 << length) - 1, 1 << (length - 1)
    up, down, score = mask, 0, length
    best = score
    for char in text:
        same = places.get(char, 0)
        x = same | down
        same |= ((same & up) + up) ^ up | same
        more, less = down | (~(same | up) & mask), up & same
        score += bool(more & last) - bool(less & last)
        more, less = (more << 1) & mask, (less << 1) & mask
        up, down = less | (~(x | more) & mask), more & x
        best = min(best, score)
    return best / length
