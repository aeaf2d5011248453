"""What an answer claims to be in the picture: noun phrases with their colours and counts.

A small grammar of English descriptions: sentences are cut into words, phrases end before
prepositions, verbs and pronouns, and `scope` says which of them are meant. Closed word lists, no
model; a sentence of 100 characters takes about 0.1 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardrail_detectors.entities import lexicon as words
from guardrail_detectors.entities.scope import Word, said

_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)*(?:st|nd|rd|th)?|[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]|\n\s*(?:\n|[-*•]|\d+\.)"
)
_QUOTED = re.compile(r"\"[^\"\n]{1,300}\"|“[^”\n]{1,300}”|`[^`\n]{1,300}`|«[^»\n]{1,300}»")
_ENDS = frozenset(".!?;:")
_MARKUP = frozenset("*_#`~")
_ABBREVIATIONS = frozenset("mr mrs ms dr st no vs e.g i.e etc".split())
_ABOUT = frozenset("about approximately around roughly nearly almost over least most than".split())
MAX_WORDS = 6  # of a noun phrase


@dataclass(frozen=True)
class Claim:
    """A thing that is said to be in the picture.

    `words` are those of its name, the head last and singular ("stop", "sign"). `start` to `end`
    are the characters of the name with its adjectives, without article or number; `whole` begins
    at the article. `count` is None where no number is given.
    """

    words: tuple[str, ...]
    start: int
    end: int
    colours: tuple[str, ...] = ()
    colour_at: tuple[int, int] | None = None
    count: int | None = None
    count_at: tuple[int, int] | None = None
    definite: bool = False

    @property
    def name(self) -> str:
        """The name, singular."""
        return " ".join(self.words)

    @property
    def tails(self) -> tuple[str, ...]:
        """The name and what is left of it as words are taken from its front."""
        return tuple(" ".join(self.words[i:]) for i in range(len(self.words)))


def claims(text: str) -> list[Claim]:
    """What a text asserts: nothing that it denies, doubts, asks or only compares with."""
    found: list[Claim] = []
    for sentence in sentences(text):
        held = said(sentence)
        found += [claim for claim, at in _phrases(sentence) if all(held[at[0] : at[1]])]
    return found


_WH = frozenset("what where who whose which when how why".split())
_IMPERATIVES = frozenset(
    "describe count tell name identify find list explain read compare point locate zoom".split()
)


def presumed(text: str) -> list[Claim]:
    """What a question takes for granted: "What colour is the dog?" holds that there is a dog.

    Definite phrases of questions and requests; after "why" indefinite ones too. What is asked for
    ("Is there a dog?") and what stands under a condition is not presumed.
    """
    found: list[Claim] = []
    for sentence in sentences(text):
        plain = [word.text for word in sentence]
        asks = "?" in plain[-2:] or (plain and plain[0] in _WH | _IMPERATIVES | {"please"})
        if not asks or any(
            word in ("if", "any", "whether", "suppose", "imagine") for word in plain
        ):
            continue
        why = "why" in plain[:2]
        for claim, (first, _) in _phrases(sentence):
            indefinite = not claim.definite and plain[first] in ("a", "an") and why
            if claim.definite or indefinite:
                found.append(claim)
    return found


def sentences(text: str) -> Iterator[list[Word]]:
    """The words of each sentence, without markup and without what stands in quotes."""
    quoted = [found.span() for found in _QUOTED.finditer(text)]
    sentence: list[Word] = []
    inside = 0
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        while inside < len(quoted) and quoted[inside][1] <= start:
            inside += 1
        if inside < len(quoted) and quoted[inside][0] <= start:
            if sentence and sentence[-1].text != '"':
                sentence.append(Word('"', start, start + 1))
            continue
        word = token[0].lower().replace("’", "'")
        if word in _MARKUP:
            continue
        line_ends = word[0] == "\n"
        if not line_ends:
            sentence.append(Word(word, start, end))
        ended = word in _ENDS and not (
            word == "." and len(sentence) > 1 and sentence[-2].text in _ABBREVIATIONS
        )
        if (ended or line_ends) and sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _phrases(sentence: Sequence[Word]) -> Iterator[tuple[Claim, tuple[int, int]]]:
    """The noun phrases of a sentence, each with the words (first, past the last) it spans."""
    at = 0
    while at < len(sentence):
        last = _end_of_phrase(sentence, at)
        if last == at:
            at += 1
            continue
        claim = _claim(sentence, at, last)
        if claim is not None:
            yield claim, (at, last)
        at = last


def _is_content(word: str) -> bool:
    return (
        word[0].isalnum()
        and word not in words.PREPOSITIONS
        and word not in words.CONJUNCTIONS
        and word not in words.PRONOUNS
        and word not in words.AUXILIARIES
        and word not in words.ADVERBS
        and not words.is_verb(word)
    )


def _end_of_phrase(sentence: Sequence[Word], first: int) -> int:
    at, opened = first, False  # opened: past the determiners
    while at < len(sentence):
        word = sentence[at].text
        if word in words.DETERMINERS and word not in ("other", "many", "few"):
            if opened:
                break
        elif _is_content(word):
            if at > first and opened and _acts(sentence, at):
                break
            opened = True
        elif words.is_verb(word) and at > first and _is_modifier(sentence, at):
            opened = True  # "a parked car", "the smiling man"
        elif word in ("and", ",") and _joins_colours(sentence, first, at):
            pass
        else:
            break
        at += 1
    return at


def _acts(sentence: Sequence[Word], at: int) -> bool:
    """Whether a word that can be noun or verb is the verb: "the image shows a dog", "dogs play"."""
    after = sentence[at + 1].text if at + 1 < len(sentence) else "."
    if sentence[at].text in words.BARE_VERBS and words.is_plural(sentence[at - 1].text):
        return True
    return words.may_be_verb(sentence[at].text) and (
        after in words.DETERMINERS or after in words.NUMBERS or after in words.PREPOSITIONS
    )


def _is_modifier(sentence: Sequence[Word], at: int) -> bool:
    """Whether a participle stands between an article and a noun."""
    word, before = sentence[at].text, sentence[at - 1].text
    if not (word.endswith(("ing", "ed")) or word in ("broken", "built", "worn", "seated", "lit")):
        return False
    after = sentence[at + 1].text if at + 1 < len(sentence) else "."
    opens = before in words.DETERMINERS or before in words.NUMBERS or words.is_adjective(before)
    return opens and _is_content(after) and after not in words.DETERMINERS


def _joins_colours(sentence: Sequence[Word], first: int, at: int) -> bool:
    """Whether "and" or a comma joins two adjectives before a noun: "a red and white bus"."""
    if at + 2 > len(sentence) - 1 or at == first:
        return False
    before, after = sentence[at - 1].text, sentence[at + 1].text
    joins = before in words.COLOURS and after in words.COLOURS
    if sentence[at].text == ",":
        joins = words.is_adjective(before) and words.is_adjective(after)
        joins = joins and sentence[first].text in words.DETERMINERS
    beyond = sentence[at + 2].text
    return joins and _is_content(beyond) and beyond not in words.DETERMINERS


def _claim(sentence: Sequence[Word], first: int, last: int) -> Claim | None:
    phrase = list(sentence[first:last])
    before = sentence[first - 1].text if first else ""
    after = sentence[last].text if last < len(sentence) else "."
    determined = definite = False
    count: int | None = None
    count_at: tuple[int, int] | None = None
    while phrase:
        word = phrase[0].text
        number = _number(word)
        if word in words.DETERMINERS:
            determined = True
            definite = definite or word in words.DEFINITE
        elif number is not None and len(phrase) > 1:
            determined = True
            if before not in _ABOUT and phrase[0].text not in ("0", "zero"):
                count, count_at = number, (phrase[0].start, phrase[0].end)
        else:
            break
        phrase.pop(0)
    names = [word for word in phrase if word.text not in ("and", ",")]
    owners = [at for at, word in enumerate(names[:-1]) if word.text.endswith(("'s", "s'"))]
    names = names[owners[-1] + 1 :] if owners else names
    if not names or len(names) > MAX_WORDS:
        return None
    head = names[-1].text.removesuffix("'s")
    if _number(head) is not None or head[0].isdigit() or not head.isascii():
        return _foreign(names) if not head.isascii() and determined else None
    if head in words.COLLECTIVES and after == "of":
        return None
    if words.singular(head) in words.DEPICTIONS and after == "of":
        return None
    if before == "of" and _depicted(sentence, first):
        return None
    one = words.singular(head)
    known = len(names) > 1 and f"{names[-2].text} {one}" in words.COMPOUNDS
    before_head = names[: -2 if known else -1]
    if any(word.text in words.UNREAL for word in before_head):
        return None
    paint = [word for word in before_head if word.text in words.COLOURS]
    colours = tuple(dict.fromkeys(words.COLOURS[word.text] for word in paint))
    kept = [
        w.text for w in before_head if not words.is_adjective(w.text) and not _participle(w.text)
    ]
    kept += [names[-2].text] if known else []
    if known:
        determined = True
    elif words.is_abstract(one) or (words.is_adjective(head) and one not in ("orange", "square")):
        return None
    plural = words.is_plural(head)
    if not (determined or colours or one in words.THINGS or (plural and len(head) > 3)):
        return None
    if count is not None and count > 1 and not plural:
        count = count_at = None
    if plural and not determined and not colours and one not in words.THINGS:
        return None
    stated, at = _stated_colours(sentence, last)
    colour_at = (paint[0].start, paint[-1].end) if paint else at
    return Claim(
        words=(*kept, one),
        start=names[0].start,
        end=names[-1].end - (2 if names[-1].text.endswith("'s") else 0),
        colours=colours or stated,
        colour_at=colour_at if colours or stated else None,
        count=count,
        count_at=count_at,
        definite=definite,
    )


def _foreign(names: Sequence[Word]) -> Claim:
    """A phrase in letters that the grammar does not know; the encoder decides on it."""
    return Claim(tuple(w.text for w in names), names[0].start, names[-1].end)


def _participle(word: str) -> bool:
    return words.is_verb(word) and word.endswith(("ing", "ed"))


def _number(word: str) -> int | None:
    if word in words.NUMBERS:
        return words.NUMBERS[word]
    return int(word) if word.isdecimal() and len(word) < 3 and int(word) <= 20 else None


def _depicted(sentence: Sequence[Word], first: int) -> bool:
    """Whether the phrase is what a painting or statue shows, rather than the picture itself."""
    if first < 2:
        return False
    owner = words.singular(sentence[first - 2].text)
    if owner in words.PICTURES:
        return first >= 4 and sentence[first - 3].text in ("framed", "her", "his", "their")
    return owner in words.DEPICTIONS


def _stated_colours(
    sentence: Sequence[Word], last: int
) -> tuple[tuple[str, ...], tuple[int, int] | None]:
    """Colours said of the phrase that ends here: "the bus is red and white"."""
    at = last
    if at >= len(sentence) or sentence[at].text not in ("is", "are", "was", "were"):
        return (), None
    at += 1
    while at < len(sentence) and (
        sentence[at].text in words.SHADES or sentence[at].text in ("clearly", "mainly", "mostly")
    ):
        at += 1
    found: list[Word] = []
    while at < len(sentence) and (sentence[at].text in words.COLOURS or sentence[at].text == "and"):
        if sentence[at].text != "and":
            found.append(sentence[at])
        at += 1
    after = sentence[at].text if at < len(sentence) else "."
    if not found or (_is_content(after) and after not in words.DETERMINERS):
        return (), None
    return tuple(words.COLOURS[word.text] for word in found), (found[0].start, found[-1].end)
