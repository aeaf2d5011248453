"""The drivers that play a flow: sync and async, for answers that come at once or in chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from guardrail.content import Part, Reply
from guardrail.flow.order import Flow, Outcome
from guardrail.flow.runner import Runner
from guardrail.flow.steps import (
    Abandoned,
    Ask,
    Cancel,
    Emit,
    Ended,
    Next,
    Pause,
    Release,
    Run,
    Start,
    Wait,
)
from guardrail.flow.stream import Delta

if TYPE_CHECKING:
    import asyncio

CANCEL_S = 5.0  # how long a model call that is given up may take to end


NOTHING = object()  # released where a chunk brings nothing that the caller would see
OPENED = object()  # yielded by the drivers once a stream is open, before any of it is released


class Caller:
    """The caller's side of a flow: where its record goes, and, for a whole call, its model."""

    def emit(self, call: Ended) -> None:
        """The call is over: hand its record on; called once."""
        raise TypeError("this call has no sink")

    def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        """Call the model with these parts exchanged; None says that the answer is a stream."""
        raise TypeError("this call has no model")

    def take(self) -> Delta | None:
        """The next chunk of the stream, which is kept until it is released; None at the end."""
        raise TypeError("this call has no stream")

    def release(self, step: Release) -> Any:
        """The chunk that the caller gets."""
        raise TypeError("this call has no stream")

    def close(self) -> None:
        """Called once, however the call ends."""


class AsyncCaller:
    """The same on an event loop."""

    def emit(self, call: Ended) -> None:
        """See Caller."""
        raise TypeError("this call has no sink")

    async def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        """See Caller."""
        raise TypeError("this call has no model")

    async def take(self) -> Delta | None:
        """See Caller."""
        raise TypeError("this call has no stream")

    async def pour(self) -> Reply:
        """Hand on all of a stream that no rule reads, as it comes; gives what it told."""
        raise TypeError("this call has no stream")

    def release(self, step: Release) -> Any:
        """See Caller."""
        raise TypeError("this call has no stream")

    async def close(self) -> None:
        """See Caller."""


def run(flow: Flow, runner: Runner, caller: Caller) -> Generator[Any, None, Outcome]:
    """Play a flow in the calling thread, yielding what it releases."""
    send: Callable[[], Any] = partial(next, flow)
    try:
        while True:
            try:
                step = send()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer: Any = None
            try:
                match step:
                    case Run(jobs):
                        answer = runner.run(jobs)
                    case Ask(changed):
                        answer = caller.ask(changed)
                        if answer is None:
                            yield OPENED
                    case Wait():
                        answer = caller.ask({})
                        if answer is None:
                            yield OPENED
                    case Next():
                        answer = caller.take()
                    case Release():
                        yield caller.release(step)
                    case Emit(call):
                        caller.emit(call)
            except Exception as error:
                send = partial(flow.throw, error)
            except BaseException:
                _abandon(flow, caller)
                raise
            else:
                send = partial(flow.send, answer)
    finally:
        caller.close()


async def arun(
    flow: Flow, runner: Runner, caller: AsyncCaller, end: Callable[[Outcome], None]
) -> AsyncGenerator[Any, None]:
    """The same on an event loop; the outcome goes to `end`, as async generators return nothing."""
    import asyncio

    asking: asyncio.Future[tuple[Reply | None, list[Delta | None]]] | None = None
    first: list[Delta | None] = []
    send: Callable[[], Any] = partial(next, flow)
    try:
        while True:
            try:
                step = send()
            except StopIteration as stop:
                end(stop.value)
                return
            answer: Any = None
            try:
                match step:
                    case Run(jobs):
                        answer = await runner.arun(jobs)
                    case Pause():
                        await asyncio.sleep(0)
                    case Ask(changed):
                        answer = await caller.ask(changed)
                        if answer is None:
                            yield OPENED
                    case Start():
                        asking = asyncio.ensure_future(_ahead(caller))
                    case Wait():
                        assert asking is not None, "Start comes before Wait"
                        answer, first = await asking
                        if answer is None:
                            yield OPENED
                    case Cancel():
                        await _cancelled(asking)
                    case Next() if first:
                        answer = first.pop()
                    case Next():
                        answer = await caller.take()
                    case Release():
                        yield caller.release(step)
                    case Emit(call):
                        caller.emit(call)
            except Exception as error:
                send = partial(flow.throw, error)
            except BaseException:
                _abandon(flow, caller)
                raise
            else:
                send = partial(flow.send, answer)
    finally:
        await _cancelled(asking)
        asking = None  # or its error would hold this frame, and so itself and all of the call
        await caller.close()


async def _ahead(caller: AsyncCaller) -> tuple[Reply | None, list[Delta | None]]:
    """The answer, or the first chunk of it: an async generator only begins when that is taken."""
    reply = await caller.ask({})
    return reply, [] if reply is not None else [await caller.take()]


async def _cancelled(asking: asyncio.Future[Any] | None) -> None:
    """Give up a call that was begun, if it is still under way."""
    if asking is None:
        return
    import asyncio

    asking.cancel()
    await asyncio.wait([asking], timeout=CANCEL_S)
    if asking.done() and not asking.cancelled():
        asking.exception()


class _Sink(Caller):
    def __init__(self, deliver: Callable[[Ended], None]) -> None:
        self._deliver = deliver

    def emit(self, call: Ended) -> None:
        self._deliver(call)


class _AsyncSink(AsyncCaller):
    def __init__(self, deliver: Callable[[Ended], None]) -> None:
        self._deliver = deliver

    def emit(self, call: Ended) -> None:
        self._deliver(call)


def play(flow: Flow, runner: Runner, emit: Callable[[Ended], None]) -> Outcome:
    """Play a flow that asks no model."""
    steps = run(flow, runner, _Sink(emit))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


async def aplay(flow: Flow, runner: Runner, emit: Callable[[Ended], None]) -> Outcome:
    """The same on an event loop."""
    ended: list[Outcome] = []
    async for _ in arun(flow, runner, _AsyncSink(emit), ended.append):
        pass
    return ended[0]


def _abandon(flow: Flow, caller: Caller | AsyncCaller) -> None:
    """The caller went away or was cancelled: let the flow hand in its record, then end it."""
    try:
        step = flow.throw(Abandoned())
        if isinstance(step, Emit):
            caller.emit(step.call)
    except (Abandoned, StopIteration):
        return
    finally:
        flow.close()
