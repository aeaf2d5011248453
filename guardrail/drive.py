"""The drivers that play a flow: sync and async, for answers that come at once or in chunks.

The checks run in a bounded pool of threads, with the cache, single flight and timeouts in one
place. A check that is late is reported as not run; its result still fills the cache.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import lru_cache, partial
from typing import Any

from guardrail.cache import Cache
from guardrail.content import Part, Reply
from guardrail.flow import Flow, Outcome
from guardrail.policy import Failure
from guardrail.record import Record
from guardrail.steps import (
    Abandoned,
    Ask,
    Emit,
    Job,
    Next,
    Release,
    Result,
    Run,
    failure_of,
)
from guardrail.stream import Delta
from guardrail.verdict import Status


class Pool:
    """Daemon threads that work off a bounded queue; a hung check cannot hold up the exit."""

    def __init__(self, workers: int | None = None, waiting: int = 1_000) -> None:
        self._workers = workers or max(4, os.cpu_count() or 1)
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue(waiting)
        self._started = 0
        self._idle = 0
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], None]) -> bool:
        """Queue `work`; False when too much is waiting already."""
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            return False
        with self._lock:
            if self._idle < self._queue.qsize() and self._started < self._workers:
                self._started += 1
                threading.Thread(target=self._serve, daemon=True, name="guardrail-check").start()
        return True

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            work = self._queue.get()
            with self._lock:
                self._idle -= 1
            work()


@lru_cache(maxsize=1)
def shared_pool() -> Pool:
    """The pool of all guards that do not ask for one of their own."""
    return Pool()


class Runner:
    """Runs jobs: from the cache, from one that is under way with the same key, or in the pool."""

    def __init__(self, cache: Cache, pool: Pool | None = None) -> None:
        self.cache = cache
        self._pool = pool or shared_pool()
        self._under_way: dict[bytes, Future[Result]] = {}
        self._lock = threading.Lock()

    def run(self, jobs: tuple[Job, ...]) -> tuple[Result, ...]:
        """The results of the jobs, in their order; each waits for at most its own timeout."""
        begun = [self._begin(job) for job in jobs]
        start = time.monotonic()
        results = []
        for job, future in zip(jobs, begun, strict=True):
            if isinstance(future, Result):
                results.append(future)
                continue
            try:
                results.append(future.result(max(0.0, start + job.timeout_s - time.monotonic())))
            except FutureTimeout:
                results.append(_late(job))
        return tuple(results)

    async def arun(self, jobs: tuple[Job, ...]) -> tuple[Result, ...]:
        """The same without blocking the event loop."""
        import asyncio

        begun = [self._begin(job) for job in jobs]
        start = time.monotonic()
        results = []
        for job, future in zip(jobs, begun, strict=True):
            if isinstance(future, Result):
                results.append(future)
                continue
            left = start + job.timeout_s - time.monotonic()
            if not future.done() and left > 0:
                await asyncio.wait([asyncio.wrap_future(future)], timeout=left)
            results.append(future.result() if future.done() else _late(job))
        return tuple(results)

    def _begin(self, job: Job) -> Result | Future[Result]:
        if job.key is not None:
            started = time.time_ns()
            value = self.cache.get(job.key)
            if value is not None:
                return Result(value, started_ns=started, ended_ns=time.time_ns(), cached=True)
        if job.inline:
            return self._work(job)
        future: Future[Result] = Future()
        if job.key is not None:
            with self._lock:
                known = self._under_way.setdefault(job.key, future)
            if known is not future:
                return known
        if not self._pool.submit(partial(self._finish, job, future)):
            full = _failed(Status.NOT_RUN, f"{job.name}: too many checks are waiting")
            self._settle(job, future, full)
        return future

    def _work(self, job: Job) -> Result:
        started = time.time_ns()
        try:
            value = job.run()
        except Exception as error:
            return Result(None, failure_of(error, job), started, time.time_ns())
        if job.key is not None:
            self.cache.put(job.key, value)
        return Result(value, None, started, time.time_ns())

    def _finish(self, job: Job, future: Future[Result]) -> None:
        try:
            result = self._work(job)
        except BaseException as error:
            result = _failed(Status.ERROR, f"{job.name}: {type(error).__name__}")
        self._settle(job, future, result)

    def _settle(self, job: Job, future: Future[Result], result: Result) -> None:
        if job.key is not None:
            with self._lock:
                self._under_way.pop(job.key, None)
        future.set_result(result)


def _failed(status: Status, reason: str) -> Result:
    now = time.time_ns()
    return Result(None, Failure(status, reason), now, now)


def _late(job: Job) -> Result:
    now = time.time_ns()
    reason = f"{job.name}: timeout after {job.timeout_s * 1000:.0f} ms"
    failure = Failure(Status.NOT_RUN, reason)
    return Result(None, failure, now - int(job.timeout_s * 1e9), now)


OPENED = object()  # yielded by the drivers once a stream is open, before any of it is released


class Caller:
    """The caller's side of a flow: where its record goes, and, for a whole call, its model."""

    def __init__(self, emit: Callable[[Record], None]) -> None:
        self.emit = emit

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

    def __init__(self, emit: Callable[[Record], None]) -> None:
        self.emit = emit

    async def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        """See Caller."""
        raise TypeError("this call has no model")

    async def take(self) -> Delta | None:
        """See Caller."""
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
                    case Next():
                        answer = caller.take()
                    case Release():
                        yield caller.release(step)
                    case Emit(record):
                        caller.emit(record)
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
                    case Ask(changed):
                        answer = await caller.ask(changed)
                        if answer is None:
                            yield OPENED
                    case Next():
                        answer = await caller.take()
                    case Release():
                        yield caller.release(step)
                    case Emit(record):
                        caller.emit(record)
            except Exception as error:
                send = partial(flow.throw, error)
            except BaseException:
                _abandon(flow, caller)
                raise
            else:
                send = partial(flow.send, answer)
    finally:
        await caller.close()


def play(flow: Flow, runner: Runner, emit: Callable[[Record], None]) -> Outcome:
    """Play a flow that asks no model."""
    steps = run(flow, runner, Caller(emit))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


async def aplay(flow: Flow, runner: Runner, emit: Callable[[Record], None]) -> Outcome:
    """The same on an event loop."""
    ended: list[Outcome] = []
    async for _ in arun(flow, runner, AsyncCaller(emit), ended.append):
        pass
    return ended[0]


def _abandon(flow: Flow, caller: Caller | AsyncCaller) -> None:
    """The caller went away or was cancelled: let the flow hand in its record, then end it."""
    try:
        step = flow.throw(Abandoned())
        if isinstance(step, Emit):
            caller.emit(step.record)
    except (Abandoned, StopIteration):
        return
    finally:
        flow.close()
