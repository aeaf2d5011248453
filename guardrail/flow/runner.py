"""Where the jobs of a flow are done: the cache, single flight, timeouts, and a pool of threads.

A check that is late is reported as not run; its result still fills the cache. A timeout runs from
when a check begins: loading a model for the first call does not count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import TYPE_CHECKING, Any

from guardrail.cache import Cache, Digester, SharedCache
from guardrail.detector import memory
from guardrail.flow.pools import Pools, shared_pools
from guardrail.flow.steps import Job, Result, failure_of
from guardrail.policy import Failure
from guardrail.verdict import Status

if TYPE_CHECKING:
    import asyncio

START_S = 60.0  # a check may wait so long for its model to load and for a worker to be free
# Jobs that are begun, or done at once, before others have their turn on the event loop, and seconds
# that this may take.
TURN, TURN_S = 32, 0.005


class Runner:
    """Runs jobs: from the cache, from one that is under way with the same key, or in a pool."""

    def __init__(
        self, cache: Cache, pools: Pools | None = None, digester: Digester | None = None
    ) -> None:
        self.cache = cache
        self._digester = digester or Digester()
        self.pools = pools or shared_pools()
        self._others = cache if isinstance(cache, SharedCache) else None
        self._under_way: dict[bytes, _Flight] = {}
        self._lock = threading.Lock()

    def run(self, jobs: tuple[Job, ...]) -> tuple[Result, ...]:
        """The results of the jobs, in their order; each waits for at most its own timeout."""
        begun = [self._begin(job) for job in jobs]
        asked = time.monotonic()
        results = []
        for job, flight in zip(jobs, begun, strict=True):
            if isinstance(flight, Result):
                results.append(flight)
                continue
            try:
                since = flight.begun.result(_left(asked, START_S))
                results.append(flight.result.result(_left(since, job.timeout_s)))
            except FutureTimeout:
                results.append(_late(job, flight))
        return tuple(results)

    async def arun(self, jobs: tuple[Job, ...]) -> tuple[Result, ...]:
        """The same without blocking the event loop."""
        import asyncio

        begun: list[Result | _Flight] = []
        turn = time.monotonic()
        for job in jobs:
            begun.append(self._begin(job))
            if not len(begun) % TURN or time.monotonic() - turn > TURN_S:
                await asyncio.sleep(0)
                turn = time.monotonic()
        at_once = tuple(one for one in begun if isinstance(one, Result))
        if len(at_once) == len(begun):
            return at_once
        asked = time.monotonic()
        results = []
        for job, flight in zip(jobs, begun, strict=True):
            if isinstance(flight, Result):
                results.append(flight)
                continue
            # most end before they can be late, and then one wake-up is enough
            in_time = await _done(flight.result, job.timeout_s) or (
                await _done(flight.begun, _left(asked, START_S))
                and await _done(flight.result, _left(flight.begun.result(), job.timeout_s))
            )
            results.append(flight.result.result() if in_time else _late(job, flight))
        return tuple(results)

    def _begin(self, job: Job) -> Result | _Flight:
        """The result where it is at hand or made at once, or else the job under way."""
        if job.key is not None and job.keep:
            started = time.time_ns()
            value = self.cache.get(job.key)
            if value is not None:
                return Result(value, None, started, time.time_ns(), cached=True)
        if job.inline:
            return self._work(job)
        under_way = self._under_way.get(job.key) if job.key is not None else None
        if under_way is not None:
            return under_way
        if job.quick is not None and (made := self._quick(job, job.quick)) is not None:
            return made
        flight = _Flight()
        if job.key is not None:
            with self._lock:
                known = self._under_way.setdefault(job.key, flight)
            if known is not flight:
                return known
        pool = self.pools.pictures if job.picture else self.pools.text
        if not pool.submit(partial(self._finish, job, flight)):
            full = _failed(Status.NOT_RUN, f"{job.name}: too many checks are waiting")
            self._settle(job, flight, full)
        return flight

    def _quick(self, job: Job, quick: Callable[[], Any]) -> Result | None:
        """What is found at once; where that fails, a worker finds out why."""
        started = time.time_ns()
        try:
            value = quick()
        except Exception:
            return None
        if value is None:
            return None
        if job.key is not None and job.keep:
            self.cache.put(job.key, value)
        return Result(value, None, started, time.time_ns())

    def _shared(self, job: Job) -> Result | None:
        """What another process found, in a worker: asking it takes a moment."""
        if self._others is None or job.key is None or not job.keep:
            return None
        started = time.time_ns()
        value = self._others.fetch(job.key)
        return None if value is None else Result(value, None, started, time.time_ns(), cached=True)

    def _work(self, job: Job, flight: _Flight | None = None) -> Result:
        started, loading = time.time_ns(), 0
        try:
            if job.load is not None:
                job.load()
                loading = time.time_ns() - started
            if flight is not None:
                flight.begun.set_result(time.monotonic())
            value = job.run()
        except Exception as error:
            return Result(None, failure_of(error, job), started, time.time_ns(), loading)
        if job.key is None or not job.keep:
            pass
        elif self._others is None or job.inline:
            self.cache.put(job.key, value)
        else:
            self._others.share(job.key, value)
        return Result(value, None, started, time.time_ns(), loading)

    def _finish(self, job: Job, flight: _Flight) -> None:
        token = memory.set(self._remember)
        try:
            result = self._shared(job) or self._work(job, flight)
        except BaseException as error:
            result = _failed(Status.ERROR, f"{job.name}: {type(error).__name__}")
        finally:
            memory.reset(token)
        self._settle(job, flight, result)

    def _remember(self, pieces: Sequence[str], make: Callable[[], Any]) -> Any:
        """See detector.remembered."""
        key = self._digester.of("remembered", *pieces)
        value = self.cache.get(key)
        if value is None and self._others is not None:
            value = self._others.fetch(key)
        if value is None:
            value = make()
            keep = self.cache.put if self._others is None else self._others.share
            keep(key, value)
        return value

    def _settle(self, job: Job, flight: _Flight, result: Result) -> None:
        if job.key is not None:
            with self._lock:
                self._under_way.pop(job.key, None)
        flight.settle(result)


class _Flight:
    """A job under way: when it began to run, once it did, and what came of it."""

    __slots__ = ("begun", "result")

    def __init__(self) -> None:
        self.begun: Future[float] = Future()
        self.result: Future[Result] = Future()

    def settle(self, result: Result) -> None:
        """The job is over, whether or not it began."""
        if not self.begun.done():
            self.begun.set_result(time.monotonic())
        self.result.set_result(result)


async def _done(future: Future[Any], left: float) -> bool:
    """Whether a future of a worker is done, after waiting for it for at most so many seconds."""
    if future.done() or left <= 0:
        return future.done()
    import asyncio

    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def tell(_: Future[Any]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(tell)
    timer = loop.call_later(left, wake)
    try:
        await waiter
    finally:
        timer.cancel()
    return future.done()


def _left(since: float, seconds: float) -> float:
    return max(0.0, since + seconds - time.monotonic())


def _failed(status: Status, reason: str) -> Result:
    now = time.time_ns()
    return Result(None, Failure(status, reason), now, now)


def _late(job: Job, flight: _Flight) -> Result:
    now = time.time_ns()
    if flight.begun.done():
        seconds, reason = job.timeout_s, f"timeout after {job.timeout_s * 1000:.0f} ms"
    else:
        seconds, reason = START_S, f"not begun after {START_S:g} s: its model was still loading, or"
        reason += " all workers were busy"
    failure = Failure(Status.NOT_RUN, f"{job.name}: {reason}")
    return Result(None, failure, now - int(seconds * 1e9), now)
