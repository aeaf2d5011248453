"""What a text repeats of another one, word by word, whatever its punctuation, case and spacing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from guardrail_detectors.normalise import Normalised, folded
from guardrail_detectors.overlaps import without_overlaps

GRAM = 3  # words that must agree at a stretch
GAP = 3  # words that may be left out, put in or exchanged between such stretches
REPEATS = 4  # places of one stretch in the source that are followed
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


class Words:
    """The words of a text with their places; a script without spaces has its characters."""

    def __init__(self, text: str | Normalised) -> None:
        self._text = text if isinstance(text, Normalised) else folded(text)
        self.words: list[str] = []
        self._spans: list[tuple[int, int]] = []
        for match in _WORD.finditer(self._text.text):
            self.words.append(match[0])
            self._spans.append(match.span())

    def __len__(self) -> int:
        return len(self.words)

    def weight(self, places: Iterable[int]) -> float:
        """How many words these are; a character of a script without spaces is half a word."""
        return sum(0.5 if re.match(f"[{_UNSPACED}]", self.words[i]) else 1.0 for i in places)

    def start(self, place: int) -> int:
        """Where a word begins in the normalised text."""
        return self._spans[place][0]

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The characters of the original text from one word to another, both with it."""
        return self._text.span(self._spans[first][0], self._spans[last][1])


@dataclass
class Quote:
    """Words of a text that stand in the source in the same order.

    `words` holds the places of each pair of equal words, in the text and in the source.
    """

    words: list[tuple[int, int]] = field(default_factory=list)

    @property
    def first(self) -> int:
        """Place of the first word in the text."""
        return self.words[0][0]

    @property
    def last(self) -> int:
        """Place of the last word in the text."""
        return self.words[-1][0]


class Source:
    """A text that others may be quoting, indexed by its stretches of words."""

    def __init__(self, text: str | Normalised) -> None:
        self.text = Words(text)
        self._places: dict[tuple[str, ...], list[int]] = {}
        for place in range(len(self.text) - GRAM + 1):
            known = self._places.setdefault(tuple(self.text.words[place : place + GRAM]), [])
            if len(known) < REPEATS:
                known.append(place)

    def shares(self, text: Words) -> bool:
        """Whether any stretch of `text` stands here; without one it quotes nothing."""
        words = text.words
        ends = range(GRAM, len(words) + 1)
        return any(tuple(words[end - GRAM : end]) in self._places for end in ends)

    def quotes(self, text: Words) -> list[Quote]:
        """What `text` quotes, longest first where passages overlap, in time linear in its length.

        Stretches that follow each other in both texts, with at most GAP words of difference
        between them, make one quote.
        """
        found = [quote for quote in self._chains(text.words) if len(quote.words) > GRAM]
        return without_overlaps(
            found, rank=lambda quote: -len(quote.words), span=lambda q: (q.first, q.last + 1)
        )

    def _chains(self, words: list[str]) -> Iterator[Quote]:
        chains: dict[int, Quote] = {}  # by how far the place in the source is ahead
        for here in range(len(words) - GRAM + 1):
            for there in self._places.get(tuple(words[here : here + GRAM]), ()):
                ahead = there - here
                known, chain = self._near(chains, ahead, here, there) or (ahead, Quote())
                if chain.words:
                    del chains[known]
                if ahead in chains:
                    yield chains[ahead]
                done = chain.words[-1] if chain.words else (-1, -1)
                chain.words += [
                    (here + step, there + step)
                    for step in range(GRAM)
                    if here + step > done[0] and there + step > done[1]
                ]
                chains[ahead] = chain
        yield from chains.values()

    def _near(
        self, chains: dict[int, Quote], ahead: int, here: int, there: int
    ) -> tuple[int, Quote] | None:
        """The quote that these words go on with."""
        for known in sorted(range(ahead - GAP, ahead + GAP + 1), key=lambda k: abs(k - ahead)):
            chain = chains.get(known)
            if chain is None:
                continue
            last, reached = chain.words[-1]
            if here - last <= GAP + 1 and -GRAM < there - reached <= GAP + 1:
                return known, chain
        return None
