"""What is told of calls, done behind them: a slow or failing log, trace or metric holds up none."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

SOON_S = 0.005

_log = logging.getLogger("guardrail.proxy")


class Backlog:
    """Work for one thread, in order. What comes when it is full is dropped and counted.

    The thread looks now and then whether there is work, as waking it for each call would cost the
    call more than the work itself: every `every_s` seconds, and sooner while there is some, since
    a long run of it would hold up the calls that come meanwhile. `after` comes after each run.
    """

    def __init__(
        self,
        capacity: int = 10_000,
        every_s: float = 0.1,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self.capacity = capacity
        self.dropped = self.failed = 0
        self._every_s, self._after = every_s, after
        self._work: deque[Callable[[], None]] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="guardrail-backlog")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How much has not been done yet."""
        return len(self._work)

    def put(self, work: Callable[[], None]) -> None:
        """Leave work to be done. Never waits, never raises."""
        if len(self._work) < self.capacity:
            self._work.append(work)
        else:
            self.dropped += 1

    def close(self, seconds: float = 2.0) -> None:
        """Do what is waiting, for at most so long, and end."""
        self._closing.set()
        self._thread.join(seconds)

    def _serve(self) -> None:
        worked = False
        while not self._closing.wait(SOON_S if worked else self._every_s):
            worked = self._do()
        self._do()

    def _do(self) -> bool:
        """Whether there was anything to do."""
        if not self._work:
            return False
        while self._work:
            self._try(self._work.popleft())
        self._try(self._after)
        return True

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.failed += 1
            _log.warning("something was not told of a call: %s", type(error).__name__)
