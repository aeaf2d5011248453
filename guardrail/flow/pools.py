"""Where checks run: bounded pools of daemon threads."""

from __future__ import annotations

import atexit
import ctypes
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

NICE = 5  # what the threads for pictures add to the process's niceness
TURN_S = 10.0  # how long one of them waits at most for another to end
LEAVE_S = 5.0  # how long the exit of the process waits at most for checks to break off


class Pool:
    """Daemon threads that work off a bounded queue. A check that is still at work when the process
    ends, since its time was up, is broken off; one that hangs holds up the end for LEAVE_S.

    With `yields` its threads give way to others where the cores do not suffice: only so many as
    there are cores, or as `workers` asks for, work at once, apart from those that take longer than
    TURN_S, and on Linux they add `nice`, as it is when each starts, to the process's niceness. Who
    serves text beside pictures raises it: the more, the less text waits, but then all else that
    runs on the machine goes before pictures as well.
    """

    def __init__(
        self, workers: int | None = None, waiting: int = 1_000, *, yields: bool = False
    ) -> None:
        self.nice = NICE if yields else 0
        self._workers = workers or max(4, os.cpu_count() or 1)
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue(waiting)
        self._turns = threading.Semaphore(workers or _cores()) if yields else None
        self._started = 0
        self._idle = 0
        self._at_work: set[int] = set()
        self._ended = False
        self._lock = threading.Lock()
        _pools.add(self)

    @property
    def load(self) -> PoolLoad:
        """How busy it is at the moment."""
        busy = self._started - self._idle
        return PoolLoad(busy, self._workers, self._queue.qsize(), self._queue.maxsize)

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
        if self.nice and sys.platform == "linux":
            thread = threading.get_native_id()
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(nice + self.nice, 19))
        _import_numpy()
        while True:
            with self._lock:
                self._idle += 1
            work = self._queue.get()
            with self._lock:
                self._idle -= 1
            if self._turns is None:
                self._do(work)
            else:
                _in_turn(self._turns, partial(self._do, work))

    def _do(self, work: Callable[[], None]) -> None:
        here = threading.get_ident()
        self._at_work.add(here)
        try:
            if not self._ended:
                work()
        finally:
            self._at_work.discard(here)

    def break_off(self) -> None:
        """Begin nothing more, and have what is at work end at its next step in Python."""
        self._ended = True
        for thread in list(self._at_work):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(SystemExit)
            )

    @property
    def at_work(self) -> bool:
        """Whether a thread is."""
        return bool(self._at_work)


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    # A daemon thread that comes back from C++ while the interpreter is being taken down ends in
    # std::terminate, and the process with SIGABRT in place of its exit code.
    pools, end = list(_pools), time.monotonic() + LEAVE_S
    for pool in pools:
        pool.break_off()
    while any(pool.at_work for pool in pools) and time.monotonic() < end:
        time.sleep(0.01)


def _in_turn(turns: threading.Semaphore, work: Callable[[], None]) -> None:
    ours = turns.acquire(timeout=TURN_S)
    try:
        work()
    finally:
        if ours:
            turns.release()


def _cores() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return (len(affinity(0)) if affinity else os.cpu_count()) or 1


_importing = threading.Lock()


def _import_numpy() -> None:
    # Extensions such as OpenCV import the inside of numpy first. A thread that does so while
    # another imports numpy itself gets it in part, and fails.
    with _importing:
        import numpy  # noqa: F401


class PoolLoad(NamedTuple):
    """How busy a pool is: threads at work of all it may have, work waiting of all it may keep."""

    busy: int
    workers: int
    waiting: int
    capacity: int


@dataclass(frozen=True)
class Pools:
    """Where checks run. Those of pictures have threads of their own, so that the short checks of
    text never wait behind them."""

    text: Pool
    pictures: Pool

    @classmethod
    def of(cls, workers: int | None = None) -> Pools:
        """Two pools of so many threads; by default one a core, and at least four.

        A text takes milliseconds and little memory, so that many more may wait.
        """
        return cls(Pool(workers, 20_000), Pool(workers, yields=True))


@lru_cache(maxsize=1)
def shared_pools() -> Pools:
    """The pools of all guards that do not ask for some of their own."""
    return Pools.of()
