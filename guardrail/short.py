"""The short way through a call on an event loop, for those that a glance lets pass.

Here it is decided which way a call takes. Where the input is texts in which a glance finds nothing
and nothing is to be changed, the model is asked at once; where a glance is enough for the answer as
well, or no rule reads the stream that it is, that was all. Everything else is played by the driver,
from where the short way ended.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from guardrail.book import Book
from guardrail.content import Content, Reply
from guardrail.detector import Stage
from guardrail.drive import AsyncCaller, Runner, arun
from guardrail.flow import Outcome, answered, whole
from guardrail.steps import Abandoned


async def begin(
    book: Book, runner: Runner, caller: AsyncCaller, end: Callable[[Outcome], None]
) -> AsyncGenerator[Any, None] | None:
    """Play a call as far as a glance is enough. None where that was all of it, and `end` has the
    outcome; else what the driver releases on the rest of the way."""
    if not book.plan.asks_at_once or book.glance(Stage.INPUT, book.call.content) is None:
        return arun(whole(book), runner, caller, end)
    try:
        book.asking()
        reply = book.replied(await caller.ask({}))
        if reply is None and not book.plan.reads_answers:
            reply = await _poured(book, caller)
    except BaseException as error:
        known = error if isinstance(error, Exception) else Abandoned()
        caller.emit(book.end(type(known).__name__))
        await caller.close()
        raise
    verdict = None if reply is None else book.glance(Stage.OUTPUT, reply.content)
    if reply is None or verdict is None:
        return arun(answered(book, reply), runner, caller, end)
    caller.emit(book.end())
    end(Outcome(book, verdict, reply.content))
    await caller.close()
    return None


async def _poured(book: Book, caller: AsyncCaller) -> Reply:
    """A stream that no rule reads need not be taken in pieces."""
    book.cut_off = True
    try:
        reply = await caller.pour()
    except Exception:
        book.glance(Stage.OUTPUT, Content())
        raise
    book.cut_off = False
    book.replied(reply)
    return reply
