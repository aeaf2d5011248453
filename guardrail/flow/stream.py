"""A streamed answer: what of it is to be looked at, and what may leave. Knows nothing of sockets.

Chunks leave whole and in order, each once all of its text is settled. A text is settled pane by
pane: a pane stands for rules that have to see so many characters around a place, or sentences, or
everything (see `Spec.window`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from guardrail.content import Content, Ending, Image, Limits, Part, Text, Usage, ending
from guardrail.detector import Window
from guardrail.edit import cut_chunks, cuts
from guardrail.flow.steps import Release
from guardrail.jsontext import ESCAPE, Cut, inside_string, is_json
from guardrail.policy import Failure
from guardrail.verdict import Edit, Span, Status

STRIDE = 32  # new characters that make another look worth its cost, at least
LONGEST_SENTENCE = 1_000  # characters after which a sentence without an end is taken as one
LONGEST_FINDING = 32_768  # characters that a finding may grow while it is waited for
SLACK = 4_096  # characters kept beyond need, so that dropping them is rare

# Characters that are written but add nothing to see: they do not count in a window.
_UNSEEN = (
    "\u00ad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20ff\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff"
    "\uffa0\U000e0000-\U000e0fff"
)
_SEEN = re.compile(rf"(?:\s+|.)[{_UNSEEN}]*", re.DOTALL)
_SEEN_IN_JSON = re.compile(rf"(?:(?:\\[nrt]|\s)+|{ESCAPE}|.)[{_UNSEEN}]*", re.DOTALL)
_RUN = re.compile(r"\s\s")
_SENTENCE = re.compile(r"[.!?…。！？।]+[\"'”’)\]]*\s|\n|\\n|[。！？।]")


@dataclass(frozen=True)
class Delta:
    """What one chunk adds to the answer: pieces of text, each with the key of the text it
    continues ("output", a further choice, a tool call's arguments), and pictures, each with the
    key of its place and its encoded bytes.

    `ends` names the texts that nothing more is added to after this chunk; one that ends in `*`
    stands for all keys that begin so.
    """

    parts: tuple[tuple[str, str], ...] = ()
    usage: Usage = Usage()
    finish_reason: str | None = None
    model: str | None = None
    response_id: str | None = None
    ends: tuple[str, ...] = ()
    pictures: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Slice:
    """A stretch of one text, from its character `start` on, that a pane's rules are to look at.

    What they say of its characters up to `settled` and before `limit` counts: those before are
    known already, and what is after may still change.
    """

    pane: int
    key: str
    start: int
    text: str = field(repr=False)
    settled: int
    limit: int
    json: bool


class Stream:
    """The texts and pictures of a stream as they have come so far, and the chunks that wait.

    With `holds_pictures` a chunk with a picture waits until everything has been looked at.
    """

    def __init__(
        self,
        panes: Sequence[Window],
        limits: Limits,
        before: int = 0,
        *,
        holds_pictures: bool = False,
    ) -> None:
        self.panes = tuple(panes)
        self._before = max([before, *(pane for pane in self.panes if isinstance(pane, int))])
        self._limits, self._holds_pictures = limits, holds_pictures
        self._chars = 0
        self._channels: dict[str, _Channel] = {}
        self._pictures: dict[bytes, Image] = {}
        self._changed: Mapping[str, Part] = {}
        self._finished = False
        self._waiting: deque[_Chunk] = deque()
        self._count = 0
        self._touched: dict[str, _Channel] = {}
        self._ended: Ending = "whole"

    def add(self, delta: Delta) -> None:
        """Take in the next chunk. Past the limits what it brings is no longer kept."""
        places = []
        for key, text in delta.parts:
            channel = self._channels.get(key)
            if channel is None:
                channel = self._channels[key] = _Channel(key, self.panes, self._before)
            self._chars += len(text)
            places.append(channel.add(text, keep=self._chars <= self._limits.max_text_chars))
            self._touched[key] = channel
        for end in delta.ends:
            for key in self._named(end):
                self._channels[key].ended = True
                self._touched[key] = self._channels[key]
        self._ended = ending(delta.finish_reason) if delta.finish_reason else self._ended
        pictures = tuple((key, self._picture(key, data)) for key, data in delta.pictures)
        self._waiting.append(_Chunk(self._count, tuple(places), pictures))
        self._count += 1

    def _picture(self, key: str, data: bytes) -> str:
        """The name of a picture as a part: the same bytes are one, wherever they are said again."""
        if len(self._pictures) > self._limits.max_images:
            return ""
        known = self._pictures.get(data)
        if known is None:
            name = f"{key}/{len(self._pictures)}"
            known = Image(data, name, "assistant", "model", self._limits)
            self._pictures[data] = known
        return known.name

    def _named(self, end: str) -> list[str]:
        if end.endswith("*"):
            return [key for key in self._channels if key.startswith(end[:-1])]
        return [end] if end in self._channels else []

    def due(self) -> Iterator[Slice]:
        """What should be looked at now; `seen` is to be told of each."""
        touched, self._touched = self._touched, {}
        for channel in touched.values():
            for number, pane in enumerate(self.panes):
                piece = channel.due(number, pane)
                if piece is not None:
                    yield piece

    def seen(self, piece: Slice, settled: int, edits: Sequence[Edit]) -> None:
        """A slice has been looked at: how far its text is settled, and the edits up to there."""
        channel = self._channels[piece.key]
        channel.settled[piece.pane] = max(channel.settled[piece.pane], settled)
        channel.edit(edits)

    def ready(self) -> Iterator[Release]:
        """The chunks that may leave now, with the edits made."""
        waiting = self._waiting
        while waiting:
            chunk = waiting[0]
            if chunk.pictures and self._holds_pictures and not self._finished:
                return
            if not all(end <= channel.free for channel, _, end in chunk.places):
                return
            waiting.popleft()
            texts: dict[str, str] = {}
            for channel, start, end in chunk.places:
                new = channel.leave(start, end)
                if new is not None:
                    texts[channel.key] = new
            pictures = {
                key: part.data
                for key, name in chunk.pictures
                if isinstance(part := self._changed.get(name), Image)
            }
            yield Release(chunk.index, texts, pictures)

    def finish(self, edits: Sequence[Edit], changed: Mapping[str, Part]) -> None:
        """All of it has been looked at, with these edits of texts and changed pictures:
        everything may leave."""
        self._finished, self._changed = True, changed
        for channel in self._channels.values():
            channel.finish(edits)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Set once the answer has grown over the limits on text or pictures."""
        grown = (
            (self._chars, "characters", "max_text_chars"),
            (len(self._pictures), "pictures", "max_images"),
        )
        return tuple(
            Failure(
                Status.ERROR, f"output: {count} {what}, over the limit of {limit} (limits.{name})"
            )
            for count, what, name in grown
            if count > (limit := getattr(self._limits, name))
        )

    @property
    def content(self) -> Content:
        """The answer so far, one part for each text and each picture."""
        texts = (
            Text(
                "".join(channel.pieces),
                name=key,
                role="assistant",
                source="model",
                ended=self._ended,
            )
            for key, channel in self._channels.items()
        )
        return Content((*texts, *self._pictures.values()))


@dataclass(frozen=True)
class _Chunk:
    """A chunk that waits: where its texts stand, and its pictures by key and name."""

    index: int
    places: tuple[tuple[_Channel, int, int], ...]
    pictures: tuple[tuple[str, str], ...]


class _Channel:
    """One text of the stream: its end, from the character `base` on, and how far it is settled."""

    def __init__(self, key: str, panes: tuple[Window, ...], before: int) -> None:
        self.key, self.before = key, before
        self.length = self.out = self.base = 0
        self.pieces: list[str] = []
        self.tail = ""
        self.json = self.inside = self.ended = False
        self.edits: list[Edit] = []
        self._cuts: list[Cut] | None = None
        self._cut_ends: list[int] = []
        self.settled = [0] * len(panes)
        self._looked = [pane if isinstance(pane, int) else 0 for pane in panes]
        self._panes = panes

    @property
    def free(self) -> int:
        """How many characters may leave."""
        return min(self.settled, default=self.length)

    def add(self, text: str, *, keep: bool) -> tuple[_Channel, int, int]:
        start = self.length
        self.length += len(text)
        self.ended = False
        if keep:
            self.pieces.append(text)
        if self._panes and None not in self._panes:
            self.tail += text
            if self.length <= SLACK:
                self.json = is_json(self.tail)
        return self, start, self.length

    def due(self, number: int, pane: Window) -> Slice | None:
        if pane is None or self.settled[number] >= self.length:
            return None
        if pane == "sentence":
            return self._sentences(number)
        return self._window(number, pane)

    def _window(self, number: int, window: int) -> Slice | None:
        settled, new = self.settled[number], self.length - self._looked[number]
        held = self.length - settled
        if not self.ended and new < max(STRIDE, window // 4, held // 4):
            return None
        self._looked[number] = self.length
        limit = self.length if self.ended else self._back(self.length, window)
        if held > LONGEST_FINDING:
            limit = self.length
        return self._slice(number, self._back(settled, self.before), limit)

    def _sentences(self, number: int) -> Slice | None:
        settled = self.settled[number]
        begin = max(settled, self._looked[number] - 8)
        self._looked[number] = self.length
        limit = self.length if self.ended else 0
        if not limit:
            for match in _SENTENCE.finditer(self.tail, begin - self.base):
                limit = self.base + match.end()
        if not limit and self.length - settled > LONGEST_SENTENCE:
            space = self.tail.rfind(" ", settled - self.base) + 1
            limit = self.base + space if space else self.length
        if limit <= settled:
            return None
        context = max(self.base, settled - LONGEST_SENTENCE)
        ends = list(_SENTENCE.finditer(self.tail, context - self.base, settled - self.base))
        first = self.base + ends[-2].end() if len(ends) > 1 else context
        return self._slice(number, first, limit, until=limit)

    def _slice(self, number: int, first: int, limit: int, until: int | None = None) -> Slice:
        first = max(first, self.base)
        last = self.length if until is None else until
        text = self.tail[first - self.base : last - self.base]
        return Slice(number, self.key, first, text, self.settled[number], limit, self.json)

    def _back(self, end: int, count: int) -> int:
        """The place that has `count` characters to be seen between it and `end`."""
        stop, size = end - self.base, count
        in_json = self.json and "\\" in self.tail
        while True:
            text = self.tail[max(0, stop - size) : stop]
            if size == count and text.isascii() and not in_json and not _RUN.search(text):
                return max(self.base, end - count)
            seen = (_SEEN_IN_JSON if in_json else _SEEN).findall(text)
            if len(seen) > count + 6:  # the first few may be the rest of an escape or a run
                return end - sum(map(len, seen[-count:]))
            if size >= stop:
                return self.base
            size *= 2

    def edit(self, edits: Sequence[Edit]) -> None:
        self.edits += edits
        self._cuts = None if edits else self._cuts

    def leave(self, start: int, end: int) -> str | None:
        """Let characters leave: their new text, or None where they stay as they came."""
        self.out = end
        new = None
        if self.edits:
            changes = self._cuts_within(start, end)
            piece = self.tail[start - self.base : end - self.base]
            (new,) = cut_chunks([piece], changes) if changes else (piece,)
            new = None if new == piece else new
        if len(self.tail) > SLACK and self.free < self.length:
            self._drop()
        return new

    def _cuts_within(self, start: int, end: int) -> list[Cut]:
        """The cuts that touch these characters, counted from `start` on."""
        if self._cuts is None:
            here = [_moved(edit, -self.base) for edit in self.edits]
            made = cuts(here, self.key, self.tail, json=self.json, inside=self.inside)
            self._cuts = [(first + self.base, last + self.base, new) for first, last, new in made]
            self._cut_ends = [last for _, last, _ in self._cuts]
        at, within = bisect_right(self._cut_ends, start), []
        while at < len(self._cuts) and self._cuts[at][0] < end:
            first, last, new = self._cuts[at]
            within.append((first - start, last - start, new))
            at += 1
        return within

    def _drop(self) -> None:
        """Forget what no look and no edit needs any more."""
        needed = min(
            [
                self.out,
                *(
                    self._back(at, LONGEST_SENTENCE if pane == "sentence" else self.before)
                    for at, pane in zip(self.settled, self._panes, strict=True)
                ),
                *(_span(edit).start for edit in self.edits if _span(edit).end > self.out),
            ]
        )
        count = needed - self.base
        while count > 0 and self.tail[count - 1] == "\\":
            count -= 1
        if count > SLACK // 2:
            if self.json:
                self.inside = inside_string(self.tail[:count], self.inside)
            self.tail, self.base = self.tail[count:], self.base + count
            self.edits = [edit for edit in self.edits if _span(edit).end > self.out]
            self._cuts = None

    def finish(self, edits: Sequence[Edit]) -> None:
        begun = [edit for edit in self.edits if _span(edit).start < self.out]
        mine = [
            edit
            for edit in edits
            if isinstance(edit.where, Span)
            and edit.where.part == self.key
            and edit.where.end > self.out
        ]
        self.edits, self._cuts = [*begun, *mine], None
        if None in self._panes:
            self.tail = "".join(self.pieces)
            self.json = is_json(self.tail)
        self.settled = [self.length] * len(self.settled)


def _moved(edit: Edit, by: int) -> Edit:
    span = _span(edit)
    return replace(edit, where=replace(span, start=span.start + by, end=span.end + by))


def _span(edit: Edit) -> Span:
    assert isinstance(edit.where, Span), "texts have spans"
    return edit.where
