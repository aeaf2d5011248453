"""The order of a guarded call, from its content to its record, without any I/O.

A flow is a generator: it yields what it needs (see `steps`) and is sent the answer:

    screen input   (screening.py: limits, typed text, pictures, the text found in them)
    ask the model, with the edits made and untrusted text marked
                   (with `overlap` it is asked before the screening)
    check output   (the same waves over the parts of the answer)
    ask again, with a note, as often as the rules that hit want it
    emit the record

`drivers.py` holds the drivers that do the work; in tests a flow is played by hand.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from guardrail.cache import Cache
from guardrail.content import Call, Content, Part, Reply
from guardrail.detector import Stage
from guardrail.flow.ask_again import asked_text, with_note
from guardrail.flow.plan import Pane, Plan
from guardrail.flow.recorder import Recorder
from guardrail.flow.screening import Screened
from guardrail.flow.steps import Abandoned, Cancel, Emit, Next, Step
from guardrail.flow.stream import Stream
from guardrail.flow.stream_checks import look
from guardrail.record import Record
from guardrail.verdict import Verdict


@dataclass(slots=True)
class Outcome:
    """How a call ended. `changed` holds the parts of the answer that were edited."""

    recorder: Recorder = field(repr=False)
    verdict: Verdict
    content: Content = Content()
    changed: Mapping[str, Part] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """The record of the call."""
        return self.recorder.record

    @property
    def stopped(self) -> bool:
        """Whether the caller gets no answer."""
        return self.verdict.action.stops


Flow = Generator[Step, Any, Outcome]


def guarded(plan: Plan, call: Call, cache: Cache | None = None) -> Flow:
    """A whole call: screen, ask, check, record. Parts are known again where there is a `cache`."""
    return whole(Recorder(plan, call, cache=cache))


def whole(recorder: Recorder) -> Flow:
    """The same with a recorder that was begun."""
    return _recorded(recorder, _guarded(recorder))


def answered(recorder: Recorder, reply: Reply | None) -> Flow:
    """The rest of a call that has been asked as it is, from its answer on."""
    return _recorded(recorder, _checked(recorder, reply, None))


def screened_only(
    plan: Plan,
    call: Call,
    stage: Stage,
    content: Content,
    cache: Cache | None = None,
    *,
    thorough: bool = False,
) -> Flow:
    """One stage on its own, without a model. `thorough` runs every check, whatever was found."""

    recorder = Recorder(plan, call, cache=cache)
    return _recorded(recorder, recorder.screen(stage, content, thorough=thorough))


def _recorded(recorder: Recorder, steps: Generator[Step, Any, Screened]) -> Flow:
    """Emit the record however the call ends."""
    try:
        last = yield from steps
    except Exception as error:
        yield Emit(recorder.end(type(error).__name__))
        raise
    yield Emit(recorder.end())
    return Outcome(recorder, last.verdict, last.content, last.changed)


def _guarded(recorder: Recorder) -> Generator[Step, Any, Screened]:
    if overlaps := recorder.plan.policy.overlap:
        yield from recorder.start()
    screened = yield from recorder.screen(Stage.INPUT, recorder.call.content)
    if screened.verdict.action.stops:
        if overlaps:
            yield Cancel()
        return screened
    content, changed = recorder.harden(screened)
    prompt = asked_text(content) if recorder.plan.asks_again else None
    while True:
        if overlaps:
            reply, overlaps = (yield from recorder.wait()), False
        else:
            reply = yield from recorder.ask(changed)
        asked = None if prompt is None else len(recorder.asks) - 1
        checked = yield from _checked(recorder, reply, asked)
        if prompt is None or not checked.verdict.ask_again:
            return checked
        note = with_note(prompt, checked.verdict, checked.content)
        changed[prompt.name] = replace(prompt, text=note)


def _checked(
    recorder: Recorder, reply: Reply | None, asked: int | None
) -> Generator[Step, Any, Screened]:
    if reply is None:
        return (yield from _streamed(recorder, asked))
    return (yield from recorder.screen(Stage.OUTPUT, reply.content, asked=asked))


def _streamed(recorder: Recorder, asked: int | None) -> Generator[Step, Any, Screened]:
    """The answer comes in chunks; in the end all of it is checked as one that came at once."""
    panes = recorder.plan.panes(recorder.call.context)
    before = max((pane.before for pane in panes), default=0)
    windows = [pane.window for pane in panes]
    holds = recorder.plan.holds_pictures(recorder.call.context)
    stream = Stream(windows, recorder.plan.policy.limits, before, holds_pictures=holds)
    broken: Exception | None = None
    stopped: Verdict | None = None
    try:
        stopped = yield from _heard(recorder, stream, panes)
    except Abandoned:
        raise
    except Exception as error:
        broken = error
    checked = yield from recorder.screen(
        Stage.OUTPUT, stream.content, stream.failures, asked=asked, stopped=stopped
    )
    final = not checked.verdict.ask_again
    if final and not checked.verdict.action.stops:
        stream.finish(checked.verdict.edits, checked.changed)
        yield from stream.ready()
    if broken is not None and not (final and checked.verdict.action.stops):
        try:
            raise broken
        finally:
            broken = None  # or it would hold this frame, and so itself and all of the call
    return checked


def _heard(
    recorder: Recorder, stream: Stream, panes: Sequence[Pane]
) -> Generator[Step, Any, Verdict | None]:
    """Take the chunks. Each leaves as soon as the rules that may stop or change it have seen as
    much around it as they need. The verdict is that of such a rule, once it stops the stream."""
    recorder.cut_off, patient = True, not recorder.plan.policy.on_error.output.stops
    while (delta := (yield Next())) is not None:
        recorder.hear(delta)
        stream.add(delta)
        for piece in stream.due():
            looked = yield from look(recorder.plan, recorder.call, panes[piece.pane], piece)
            if looked.verdict.action.stops:
                return looked.verdict
            stream.seen(piece, looked.settled, looked.verdict.edits)
        if stream.failures and not patient:
            return None
        yield from stream.ready()
    recorder.cut_off = False
    return None
