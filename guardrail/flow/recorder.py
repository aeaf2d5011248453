"""The recorder of a guarded call: its times and facts, and the record that they make in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from guardrail.cache import Cache
from guardrail.content import Call, Content, Part, Reply, Usage
from guardrail.detector import Stage
from guardrail.flow.fast_stage import FastStage, fast_stage
from guardrail.flow.known_parts import remember
from guardrail.flow.plan import Plan
from guardrail.flow.screening import Screened, screen
from guardrail.flow.steps import Ask, Start, Step, Wait
from guardrail.flow.stream import Delta
from guardrail.harden import Hardened, harden
from guardrail.policy import Failure, Mode
from guardrail.record import LookedAt, Record, StageRecord, record_id
from guardrail.verdict import Verdict

LATER = 16_384  # characters that may be kept until the record is made

Decided = Callable[[Verdict], None]

_NO_CALL = Call()
_NO_USAGE = Usage()
_UNHEARD = Reply()


class Recorder:
    """Keeps the times and facts of a call. What they make in the end is put together where it is
    asked for, so that no call waits for what is told of it. `decided` is told of the verdict on
    each stage as it ends; `amend` adds to the record what its host decided. Pictures in which
    nothing was found are known again where there is a `cache`."""

    def __init__(
        self,
        plan: Plan,
        call: Call,
        decided: Decided | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.plan, self.call, self.decided = plan, call, decided
        self.context, self._cache = call.context, cache
        self.id = record_id()
        self.started = time.time_ns()
        self.ended = 0
        self.error: str | None = None
        self.stages: list[StageRecord | FastStage] = []
        self.asks: list[tuple[int, int]] = []
        self.heard = _UNHEARD
        self.spent = _NO_USAGE
        self.cut_off = False
        self.hardened: Hardened | None = None
        self.amend: Callable[[Record], Record] | None = None
        self._undecided: Stage | None = None  # a stage that the fast path was not enough for
        self._record: Record | None = None

    def end(self, error: str | None = None) -> Recorder:
        """The call is over; `error` is the type of what ended it. What it held is let go."""
        self.ended, self.error, self.call = time.time_ns(), error, _NO_CALL
        return self

    @property
    def looked_at(self) -> Sequence[LookedAt]:
        """See Told."""
        return self.stages if self.amend is None else self.record.stages

    @property
    def usage(self) -> Usage:
        """See Told."""
        return self.spent + self.heard.usage

    @property
    def record(self) -> Record:
        """The record of the call, which is over."""
        if self._record is None:
            written = self._written()
            self._record = written if self.amend is None else self.amend(written)
        return self._record

    def try_fast(self, stage: Stage, content: Content) -> Verdict | None:
        """The verdict on a stage that the fast path lets pass; None where `screen` has to look."""
        seen = self._fast(stage, content)
        return None if seen is None else seen.verdict

    def _fast(self, stage: Stage, content: Content) -> FastStage | None:
        seen = fast_stage(self.plan, stage, self.call, content.parts, self._cache)
        if seen is None:
            self._undecided = stage
            return None
        self._decide(seen if seen.size <= LATER else seen.record())
        return seen

    def screen(
        self,
        stage: Stage,
        content: Content,
        failures: Sequence[Failure] = (),
        *,
        thorough: bool = False,
        asked: int | None = None,
        stopped: Verdict | None = None,
    ) -> Generator[Step, Any, Screened]:
        """Look at a stage: on the fast path, and else in waves."""
        fast = not failures and stopped is None and self._undecided is not stage
        self._undecided = None
        if fast and (seen := self._fast(stage, content)) is not None:
            return Screened(seen.full_verdict, content)
        screened, record = yield from screen(
            self.plan, stage, self.call, content, failures, thorough=thorough, asked=asked
        )
        if stopped is not None and not screened.verdict.action.stops:
            record = replace(record, verdict=stopped)
            screened = Screened(stopped, screened.content)
        elif self._cache is not None and not failures:
            remember(self.plan, self._cache, stage, content.parts, record, screened.found)
        self._decide(record)
        return screened

    def _decide(self, stage: StageRecord | FastStage) -> None:
        self.stages.append(stage)
        if self.decided is not None:
            self.decided(stage.verdict)

    def harden(self, screened: Screened) -> tuple[Content, dict[str, Part]]:
        """What the model is asked, with untrusted parts marked, and all parts that changed."""
        policy, changed = self.plan.policy, dict(screened.changed)
        if policy.trust is None or not policy.scope.covers(self.context):
            return screened.content, changed
        done = harden(policy.trust, screened.content)
        if done is not None:
            self.hardened, marked = done
            if policy.mode is Mode.ENFORCE:
                changed |= marked
                place = self.hardened.note_in
                if policy.trust.canary and place is not None:  # checks of the answer look for it
                    told = self.call.content.replace({place: marked[place]})
                    self.call = replace(self.call, content=told)
            else:
                self.hardened = replace(self.hardened, applied=False)
        return screened.content.replace(changed), changed

    def ask(self, changed: dict[str, Part]) -> Generator[Step, Any, Reply | None]:
        """Ask the model."""
        self.asking()
        return self.replied((yield Ask(changed.copy())))

    def start(self) -> Generator[Step, Any, None]:
        """Begin to ask the model as the call is."""
        self.asking()
        yield Start()

    def wait(self) -> Generator[Step, Any, Reply | None]:
        """Wait for the answer to what `start` began."""
        return self.replied((yield Wait()))

    def asking(self) -> None:
        """The model is about to be asked."""
        if self.asks:
            self.spent, self.heard = self.spent + self.heard.usage, _UNHEARD
        self.asks.append((time.time_ns(), time.time_ns()))

    def replied(self, reply: Reply | None) -> Reply | None:
        """The model has answered, or begun to."""
        self._answered()
        self.heard = reply or _UNHEARD
        return reply

    def _answered(self) -> None:
        self.asks[-1] = self.asks[-1][0], time.time_ns()

    def hear(self, delta: Delta) -> None:
        """Keep what a chunk tells of usage and the end of the answer."""
        self._answered()
        heard = self.heard
        self.heard = Reply(
            usage=heard.usage.updated(delta.usage),
            finish_reason=delta.finish_reason or heard.finish_reason,
            model=delta.model or heard.model,
            response_id=delta.response_id or heard.response_id,
        )

    def _written(self) -> Record:
        policy, heard = self.plan.policy, self.heard
        return Record(
            id=self.id,
            policy_id=policy.id,
            policy_version=policy.version,
            policy_digest=policy.digest,
            policy_file=policy.file,
            context=self.context,
            started_ns=self.started,
            ended_ns=self.ended,
            stages=tuple(
                [one.record() if isinstance(one, FastStage) else one for one in self.stages]
            ),
            asks=tuple(self.asks),
            usage=self.usage,
            finish_reason=heard.finish_reason,
            response_model=heard.model,
            response_id=heard.response_id,
            cut_off=self.cut_off,
            hardened=self.hardened,
            error=self.error,
            lines=self.plan.lines,
        )
