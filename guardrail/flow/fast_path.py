"""The fast path through a call on an event loop, and the decision which calls take it.

Where the fast path (fast_stage.py) lets the input pass and nothing is to be changed, the model is
asked at once; where it lets the answer pass as well, or no rule reads the stream that it is, that
was all. Everything else is played by the driver, from where the fast path ended.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from guardrail.content import Content, Reply
from guardrail.detector import Stage
from guardrail.flow.drivers import AsyncCaller, arun
from guardrail.flow.order import Outcome, answered, whole
from guardrail.flow.recorder import Recorder
from guardrail.flow.runner import Runner
from guardrail.flow.steps import Abandoned


async def begin(
    recorder: Recorder, runner: Runner, caller: AsyncCaller, end: Callable[[Outcome], None]
) -> AsyncGenerator[Any, None] | None:
    """Play a call as far as the fast path goes. None where that was all of it, and `end` has the
    outcome; else what the driver releases in the rest of the call."""
    if (
        not recorder.plan.asks_at_once
        or recorder.try_fast(Stage.INPUT, recorder.call.content) is None
    ):
        return arun(whole(recorder), runner, caller, end)
    try:
        recorder.asking()
        reply = recorder.replied(await caller.ask({}))
        if reply is None and not recorder.plan.reads_answers:
            reply = await _poured(recorder, caller)
    except BaseException as error:
        kind = type(error) if isinstance(error, Exception) else Abandoned
        caller.emit(recorder.end(kind.__name__))
        await caller.close()
        raise
    verdict = None if reply is None else recorder.try_fast(Stage.OUTPUT, reply.content)
    if reply is None or verdict is None:
        return arun(answered(recorder, reply), runner, caller, end)
    caller.emit(recorder.end())
    end(Outcome(recorder, verdict, reply.content))
    await caller.close()
    return None


async def _poured(recorder: Recorder, caller: AsyncCaller) -> Reply:
    """A stream that no rule reads need not be taken in pieces."""
    recorder.cut_off = True
    try:
        reply = await caller.pour()
    except Exception:
        recorder.try_fast(Stage.OUTPUT, Content())
        raise
    recorder.cut_off = False
    recorder.replied(reply)
    return reply
