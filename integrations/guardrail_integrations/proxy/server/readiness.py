"""Whether the checks of a policy still find what they must."""

from __future__ import annotations

import asyncio

from guardrail import Guard
from guardrail.canaries import CANARIES
from guardrail.hosting import Call, Content, Stage, aplay, screened_only


class Readiness:
    """Whether the checks of a policy find what they must: looked at once for each guard, again
    every minute while something is wrong, and in the background."""

    def __init__(self) -> None:
        self._of: Guard | None = None
        self._task: asyncio.Task[list[str]] | None = None
        self._ahead: tuple[Guard, asyncio.Task[list[str]]] | None = None
        self._since = 0.0

    async def ahead(self, guard: Guard) -> None:
        """Try the checks of a guard that is to take the present one's place."""
        task = asyncio.get_running_loop().create_task(_misses(guard))
        await asyncio.wait((task,))
        self._ahead = guard, task

    async def get(self, guard: Guard) -> list[str]:
        """What is wrong, if anything is."""
        now = asyncio.get_running_loop().time()
        if self._of is not guard or (self._failed() and now - self._since > 60):
            self._of, self._since = guard, now
            if self._ahead is not None and self._ahead[0] is guard:
                (_, self._task), self._ahead = self._ahead, None
            else:
                self._task = asyncio.get_running_loop().create_task(_misses(guard))
        if self._task is None or not self._task.done():
            return ["checks are being tried"]
        return self._task.result()

    def _failed(self) -> bool:
        return self._task is not None and self._task.done() and bool(self._task.result())


async def _misses(guard: Guard) -> list[str]:
    """The test inputs under which a check of the policy that should find something does not."""
    wrong = []
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
