"""The order of a guarded call, from its content to its record, without any I/O.

A flow is a generator: it yields what it needs (see `steps`) and is sent the answer:

    screen input   (screening.py: limits, typed text, pictures, the text found in them)
    ask the model, with the edits made and untrusted text marked
                   (with `overlap` it is asked before the screening)
    check output   (the same waves over the parts of the answer)
    ask again, with a note, as often as the rules that hit want it
    emit the record

`drive.py` holds the drivers that do the work; in tests a flow is played by hand.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from guardrail.asking import asked_text, with_note
from guardrail.book import Book, Decided
from guardrail.content import Call, Content, Part, Reply
from guardrail.detector import Stage
from guardrail.plan import Pane, Plan
from guardrail.record import Record
from guardrail.screening import Screened
from guardrail.steps import Abandoned, Cancel, Emit, Next, Step
from guardrail.stream import Stream
from guardrail.verdict import Verdict
from guardrail.watch import look


@dataclass(slots=True)
class Outcome:
    """How a call ended. `changed` holds the parts of the answer that were edited."""

    book: Book = field(repr=False)
    verdict: Verdict
    content: Content = Content()
    changed: Mapping[str, Part] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """The record of the call."""
        return self.book.record

    @property
    def stopped(self) -> bool:
        """Whether the caller gets no answer."""
        return self.verdict.action.stops


Flow = Generator[Step, Any, Outcome]


def guarded(plan: Plan, call: Call, decided: Decided | None = None) -> Flow:
    """A whole call: screen, ask, check, record. `decided` is told of the verdict on each stage."""
    return whole(Book(plan, call, decided))


def whole(book: Book) -> Flow:
    """The same with a book that was begun."""
    return _recorded(book, _guarded(book))


def answered(book: Book, reply: Reply | None) -> Flow:
    """The rest of a call that has been asked as it is, from its answer on."""
    return _recorded(book, _checked(book, reply, None))


def screened_only(
    plan: Plan, call: Call, stage: Stage, content: Content, *, thorough: bool = False
) -> Flow:
    """One stage on its own, without a model. `thorough` runs every check, whatever was found."""

    book = Book(plan, call)
    return _recorded(book, book.screen(stage, content, thorough=thorough))


def _recorded(book: Book, steps: Generator[Step, Any, Screened]) -> Flow:
    """Emit the record however the call ends."""
    try:
        last = yield from steps
    except Exception as error:
        yield Emit(book.end(type(error).__name__))
        raise
    yield Emit(book.end())
    return Outcome(book, last.verdict, last.content, last.changed)


def _guarded(book: Book) -> Generator[Step, Any, Screened]:
    if overlaps := book.plan.policy.overlap:
        yield from book.start()
    screened = yield from book.screen(Stage.INPUT, book.call.content)
    if screened.verdict.action.stops:
        if overlaps:
            yield Cancel()
        return screened
    content, changed = book.harden(screened)
    prompt = asked_text(content) if book.plan.asks_again else None
    while True:
        if overlaps:
            reply, overlaps = (yield from book.wait()), False
        else:
            reply = yield from book.ask(changed)
        asked = None if prompt is None else len(book.asks) - 1
        checked = yield from _checked(book, reply, asked)
        if prompt is None or not checked.verdict.ask_again:
            return checked
        note = with_note(prompt, checked.verdict, checked.content)
        changed[prompt.name] = replace(prompt, text=note)


def _checked(book: Book, reply: Reply | None, asked: int | None) -> Generator[Step, Any, Screened]:
    if reply is None:
        return (yield from _streamed(book, asked))
    return (yield from book.screen(Stage.OUTPUT, reply.content, asked=asked))


def _streamed(book: Book, asked: int | None) -> Generator[Step, Any, Screened]:
    """The answer comes in chunks; in the end all of it is checked as one that came at once."""
    panes = book.plan.panes(book.call.context)
    before = max((pane.before for pane in panes), default=0)
    windows = [pane.window for pane in panes]
    holds = book.plan.holds_pictures(book.call.context)
    stream = Stream(windows, book.plan.policy.limits, before, holds_pictures=holds)
    broken: Exception | None = None
    stopped: Verdict | None = None
    try:
        stopped = yield from _heard(book, stream, panes)
    except Abandoned:
        raise
    except Exception as error:
        broken = error
    checked = yield from book.screen(
        Stage.OUTPUT, stream.content, stream.failures, asked=asked, stopped=stopped
    )
    final = not checked.verdict.ask_again
    if final and not checked.verdict.action.stops:
        stream.finish(checked.verdict.edits, checked.changed)
        yield from stream.ready()
    if broken is not None and not (final and checked.verdict.action.stops):
        raise broken
    return checked


def _heard(
    book: Book, stream: Stream, panes: Sequence[Pane]
) -> Generator[Step, Any, Verdict | None]:
    """Take the chunks. Each leaves as soon as the rules that may stop or change it have seen as
    much around it as they need. The verdict is that of such a rule, once it stops the stream."""
    book.cut_off, patient = True, not book.plan.policy.on_error.output.stops
    while (delta := (yield Next())) is not None:
        book.hear(delta)
        stream.add(delta)
        for piece in stream.due():
            looked = yield from look(book.plan, book.call, panes[piece.pane], piece)
            if looked.verdict.action.stops:
                return looked.verdict
            stream.seen(piece, looked.settled, looked.verdict.edits)
        if stream.failures and not patient:
            return None
        yield from stream.ready()
    book.cut_off = False
    return None
