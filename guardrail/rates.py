"""How often rules hit over their last results, and the alerts that follow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guardrail.policy import Policy
from guardrail.record import LookedAt
from guardrail.verdict import Status


@dataclass(frozen=True)
class Rate:
    """The share of hits among the last `count` results of a rule; `alert` once it goes over."""

    rule: str
    share: float
    count: int
    over: float
    alert: bool


class _Window:
    """The last results of a rule, whether each was a hit, and how many were."""

    def __init__(self, size: int, results: Iterable[bool] = ()) -> None:
        self.results = deque(results, size)
        self.size, self.hits = size, sum(self.results)

    def add(self, hit: bool) -> None:
        if len(self.results) == self.size:
            self.hits -= self.results[0]
        self.results.append(hit)
        self.hits += hit


class Rates:
    """Windows over the results of the rules that a policy watches (`alert`).

    A rule that did not run is no result. An alert is raised when the share goes over its bound,
    and again only after it has come back; a window has to be half full first.
    """

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._raised: set[str] = set()
        self._lock = threading.Lock()

    def observe(self, policy: Policy, stages: Sequence[LookedAt]) -> list[Rate]:
        """Take in the stages of a call; the rates of the watched rules that ran in it."""
        watched = policy.watched
        if not watched:
            return []
        results = [result for stage in stages for result in stage.verdict.rules]
        seen = []
        with self._lock:
            for result in results:
                alert = watched.get(result.rule)
                if alert is None or result.status not in (Status.PASSED, Status.HIT):
                    continue
                window = self._windows.get(result.rule)
                if window is None or window.size != alert.window:
                    before = () if window is None else window.results
                    window = self._windows[result.rule] = _Window(alert.window, before)
                window.add(result.status is Status.HIT)
                count = len(window.results)
                share = window.hits / count
                over = share > alert.rate_over and 2 * count >= alert.window
                new = over and result.rule not in self._raised
                (self._raised.add if over else self._raised.discard)(result.rule)
                seen.append(Rate(result.rule, share, count, alert.rate_over, new))
        return seen
