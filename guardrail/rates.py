"""How often rules hit over their last results, and the alerts that follow."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from guardrail.policy import Policy
from guardrail.record import Record
from guardrail.verdict import Status


@dataclass(frozen=True)
class Rate:
    """The share of hits among the last `count` results of a rule; `alert` once it goes over."""

    rule: str
    share: float
    count: int
    over: float
    alert: bool


class Rates:
    """Windows over the results of the rules that a policy watches (`alert`).

    A rule that did not run is no result. An alert is raised when the share goes over its bound,
    and again only after it has come back; a window has to be half full first.
    """

    def __init__(self) -> None:
        self._windows: dict[str, deque[bool]] = {}
        self._raised: set[str] = set()
        self._lock = threading.Lock()

    def observe(self, policy: Policy, record: Record) -> list[Rate]:
        """Take in a record; the rates of the watched rules that ran in it."""
        watched = policy.watched
        if not watched:
            return []
        results = [result for stage in record.stages for result in stage.verdict.rules]
        seen = []
        with self._lock:
            for result in results:
                alert = watched.get(result.rule)
                if alert is None or result.status not in (Status.PASSED, Status.HIT):
                    continue
                window = self._windows.get(result.rule)
                if window is None or window.maxlen != alert.window:
                    window = self._windows[result.rule] = deque(window or (), alert.window)
                window.append(result.status is Status.HIT)
                share = sum(window) / len(window)
                over = share > alert.rate_over and 2 * len(window) >= alert.window
                new = over and result.rule not in self._raised
                (self._raised.add if over else self._raised.discard)(result.rule)
                seen.append(Rate(result.rule, share, len(window), alert.rate_over, new))
        return seen
