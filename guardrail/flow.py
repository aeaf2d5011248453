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

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from guardrail.asking import asked_text, with_note
from guardrail.content import Call, Content, Part, Reply, Usage
from guardrail.detector import Stage
from guardrail.harden import Hardened, harden
from guardrail.ids import record_id
from guardrail.plan import Pane, Plan
from guardrail.policy import Failure, Mode
from guardrail.record import Record, StageRecord
from guardrail.screening import Screened, screen
from guardrail.steps import Abandoned, Ask, Cancel, Emit, Next, Start, Step, Wait
from guardrail.stream import Delta, Stream
from guardrail.verdict import Verdict
from guardrail.watch import look


@dataclass(slots=True)
class Outcome:
    """How a call ended. `changed` holds the parts of the answer that were edited."""

    record: Record
    verdict: Verdict
    content: Content = Content()
    changed: Mapping[str, Part] = field(default_factory=dict)

    @property
    def stopped(self) -> bool:
        """Whether the caller gets no answer."""
        return self.verdict.action.stops


Flow = Generator[Step, Any, Outcome]
Decided = Callable[[StageRecord], None]


def guarded(plan: Plan, call: Call, decided: Decided | None = None) -> Flow:
    """A whole call: screen, ask, check, record. `decided` is told of each stage as it ends."""
    return _recorded(_Book(plan, call, decided), _guarded)


def screened_only(
    plan: Plan, call: Call, stage: Stage, content: Content, *, thorough: bool = False
) -> Flow:
    """One stage on its own, without a model. `thorough` runs every check, whatever was found."""

    def steps(book: _Book) -> Generator[Step, Any, Screened]:
        return (yield from book.screen(stage, content, thorough=thorough))

    return _recorded(_Book(plan, call), steps)


def _recorded(book: _Book, steps: Callable[[_Book], Generator[Step, Any, Screened]]) -> Flow:
    """Emit the record however the call ends."""
    try:
        last = yield from steps(book)
    except Exception as error:
        yield Emit(book.record(type(error).__name__))
        raise
    record = book.record()
    yield Emit(record)
    return Outcome(record, last.verdict, last.content, last.changed)


def _guarded(book: _Book) -> Generator[Step, Any, Screened]:
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
        if reply is None:
            checked = yield from _streamed(book, asked)
        else:
            checked = yield from book.screen(Stage.OUTPUT, reply.content, asked=asked)
        if prompt is None or not checked.verdict.ask_again:
            return checked
        note = with_note(prompt, checked.verdict, checked.content)
        changed[prompt.name] = replace(prompt, text=note)


def _streamed(book: _Book, asked: int | None) -> Generator[Step, Any, Screened]:
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
    book: _Book, stream: Stream, panes: Sequence[Pane]
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


class _Book:
    """Keeps the times and facts of a call and closes them into its record."""

    def __init__(self, plan: Plan, call: Call, decided: Decided | None = None) -> None:
        self.plan, self.call, self.decided = plan, call, decided
        self.id = record_id()
        self.started = time.time_ns()
        self.stages: list[StageRecord] = []
        self.asks: list[tuple[int, int]] = []
        self.heard = Reply()
        self.spent = Usage()
        self.cut_off = False
        self.hardened: Hardened | None = None

    def screen(
        self,
        stage: Stage,
        content: Content,
        failures: Sequence[Failure] = (),
        *,
        thorough: bool = False,
        asked: int | None = None,
        stopped: Verdict | None = None,
    ) -> Generator[Step, Any, Screened]:
        screened = yield from screen(
            self.plan, stage, self.call, content, failures, thorough=thorough, asked=asked
        )
        if stopped is not None and not screened.verdict.action.stops:
            record = replace(screened.record, verdict=stopped)
            screened = Screened(record, screened.content)
        self.stages.append(screened.record)
        if self.decided is not None:
            self.decided(screened.record)
        return screened

    def harden(self, screened: Screened) -> tuple[Content, dict[str, Part]]:
        """What the model is asked, with untrusted parts marked, and all parts that changed."""
        policy, changed = self.plan.policy, dict(screened.changed)
        if policy.trust is None or not policy.scope.covers(self.call.context):
            return screened.content, changed
        done = harden(policy.trust, screened.content)
        if done is not None:
            self.hardened, marked = done
            if policy.mode is Mode.ENFORCE:
                changed |= marked
                place = self.hardened.note_in
                if policy.trust.canary and place is not None:  # checks of the answer look for it
                    told = self.call.content.replace({place: marked[place]})
                    self.call = replace(self.call, content=told)
            else:
                self.hardened = replace(self.hardened, applied=False)
        return screened.content.replace(changed), changed

    def ask(self, changed: Mapping[str, Part]) -> Generator[Step, Any, Reply | None]:
        self._asking()
        return self._replied((yield Ask(dict(changed))))

    def start(self) -> Generator[Step, Any, None]:
        self._asking()
        yield Start()

    def wait(self) -> Generator[Step, Any, Reply | None]:
        return self._replied((yield Wait()))

    def _asking(self) -> None:
        self.spent, self.heard = self.spent + self.heard.usage, Reply()
        self.asks.append((time.time_ns(), time.time_ns()))

    def _replied(self, reply: Reply | None) -> Reply | None:
        self._answered()
        self.heard = reply or Reply()
        return reply

    def _answered(self) -> None:
        self.asks[-1] = self.asks[-1][0], time.time_ns()

    def hear(self, delta: Delta) -> None:
        """Keep what a chunk tells of usage and the end of the answer."""
        self._answered()
        heard = self.heard
        self.heard = Reply(
            usage=heard.usage.updated(delta.usage),
            finish_reason=delta.finish_reason or heard.finish_reason,
            model=delta.model or heard.model,
            response_id=delta.response_id or heard.response_id,
        )

    def record(self, error: str | None = None) -> Record:
        policy = self.plan.policy
        return Record(
            id=self.id,
            policy_id=policy.id,
            policy_version=policy.version,
            policy_digest=policy.digest,
            policy_file=policy.file,
            context=self.call.context,
            started_ns=self.started,
            ended_ns=time.time_ns(),
            stages=tuple(self.stages),
            asks=tuple(self.asks),
            usage=self.spent + self.heard.usage,
            finish_reason=self.heard.finish_reason,
            response_model=self.heard.model,
            response_id=self.heard.response_id,
            cut_off=self.cut_off,
            hardened=self.hardened,
            error=error,
            lines=self.plan.lines,
        )
