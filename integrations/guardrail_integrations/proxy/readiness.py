"""Whether the checks of a policy still find what they must."""

from __future__ import annotations

import asyncio
from typing import Any

from guardrail.canaries import CANARIES
from guardrail.hosting import Call, Content, Stage, aplay, screened_only


class Readiness:
    """Whether the checks of a policy find what they must: looked at once for each policy, again
    every minute while something is wrong, and in the background."""

    def __init__(self) -> None:
        self._of: Any = None
        self._task: asyncio.Task[list[str]] | None = None
        self._since = 0.0

    async def get(self, rules: Any) -> list[str]:
        """What is wrong, if anything is."""
        now = asyncio.get_running_loop().time()
        if self._of is not rules or (self._failed() and now - self._since > 60):
            self._of, self._since = rules, now
            self._task = asyncio.get_running_loop().create_task(_misses(rules))
        if self._task is None or not self._task.done():
            return ["checks are being tried"]
        return self._task.result()

    def _failed(self) -> bool:
        return self._task is not None and self._task.done() and bool(self._task.result())


async def _misses(rules: Any) -> list[str]:
    """The test inputs under which a check of the policy that should find something does not."""
    guard, wrong = rules.guard, []
    checks = {rule.detector.spec.name for rule in guard.plan.rules}
    readers = {extractor.spec.name for extractor in guard.policy.extractors}
    for canary in CANARIES:
        if canary.detector not in checks or (canary.through and canary.through not in readers):
            continue
        if not any(canary.concerns(rule) for rule in guard.plan.rules):
            continue
        found: set[str] = set()
        tried = {Stage.INPUT: canary.parts(guard.policy.limits), Stage.OUTPUT: canary.answer()}
        for stage, parts in tried.items():
            content = Content(parts)
            call = Call(content if stage is Stage.INPUT else Content())
            flow = screened_only(guard.plan, call, stage, content, thorough=True)
            outcome = await aplay(flow, guard.runner, lambda _: None)
            found |= {run.name for run in outcome.record.stages[0].checks if run.best}
        if canary.detector not in found:
            wrong.append(f"{canary.detector} does not find its test input: {canary.name}")
    return wrong
