"""A streamed answer on its way from the upstream, through the rules that hold it, to the client."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from guardrail.hosting import Content, Delta, Release, Reply, Usage
from guardrail_integrations.proxy.call.reply_metadata import LateReply
from guardrail_integrations.proxy.formats.sse import (
    Ends,
    Event,
    SseReader,
    is_usage,
    read_event,
    usage_behind_cut,
)
from guardrail_integrations.proxy.http.headers import end_to_end, without
from guardrail_integrations.proxy.interfaces import Response, UpstreamError
from guardrail_integrations.proxy.reading.surface import Stream, usage_from
from guardrail_integrations.proxy.verdicts.refusals import Refusal

if TYPE_CHECKING:
    from guardrail_integrations.proxy.call.guarded import GuardedCall

NOTHING = Delta()


class Streaming:
    """One stream of a guarded call. `adds_usage` says that its usage was asked for by us alone,
    and is not for the client."""

    def __init__(self, call: GuardedCall, response: Response, adds_usage: bool) -> None:
        self._call, self._response, self._adds_usage = call, response, adds_usage
        self._exchange = call.exchange
        self._stream = call.surface.stream()
        self._holds = call.rules.guard.plan.holds_output
        self._sse, self._ends = SseReader(), Ends()
        self._events: deque[bytes] = deque()
        self._ended = False
        self._marked = False  # the last event was a mark, such as that of the end
        self._kept: dict[int, Event | bytes] = {}
        self._taken = 0
        self._first_text: int | None = None
        self._preamble: list[bytes] = []  # released before any text: may still be taken back

    async def take(self) -> Delta | None:
        """The next event of the stream, which is kept until it is released; None at the end."""
        if not self._call.rules.reads_output:
            return await self._take_unread()
        while True:
            while not self._events:
                if self._ended:
                    return None
                piece = await self._response.read()
                self._ended = not piece
                self._events.extend(self._sse.feed(piece))
                if self._ended and (rest := self._sse.end()):
                    self._events.append(rest)  # an event that nothing ends is one all the same
            event = read_event(self._events.popleft())
            if event.silent and self._holds and self._call.verdicts:
                self.write(event.raw)  # a comment keeps the connection alive meanwhile
                continue  # but, with `overlap`, it waits for the verdict on the input
            self._marked = event.body is None and not event.silent
            data, stream = event.data, self._stream
            delta = NOTHING if data is None else stream.delta(data)
            if stream.unheard:
                self._call.weigh_answer(stream.unheard)
                stream.unheard = []
            if self._adds_usage and is_usage(data):
                return self._keep(b"", delta)  # the client did not ask for it
            return self._keep(event, delta)

    @property
    def settled(self) -> bool:
        """Whether all of it has come."""
        return self._response.ended or self._marked or self._ends.marked

    async def _take_unread(self) -> Delta | None:
        """Nothing leaves before the first piece was released: with `overlap` the verdict on the
        input is still to come."""
        if not self._exchange.begun:
            piece = await self._response.read()
            if piece:
                return self._keep(self._unread(piece), NOTHING)
        else:
            await self._response.pour(self._pass_on, self._exchange.drain)
        events = self._ends.take()
        return self._keep(b"", _told_by(events, self._stream)) if events else None

    async def pour(self) -> Reply:
        """Hand on all of a stream that no rule reads, as it comes; gives what it tells."""
        while not self._exchange.begun and (piece := await self._response.read()):
            if data := self._unread(piece):
                self.write(data)
                await self._exchange.drain()
        if self._exchange.begun:
            await self._response.pour(self._pass_on, self._exchange.drain)
        events = self._ends.take()
        return LateReply.of(partial(_reply_of, events, self._stream), sum(map(len, events)))

    def _pass_on(self, piece: bytes) -> bool:
        """A piece of a stream that no rule reads, which need not wait for anything."""
        return self._exchange.give(self._unread(piece))

    def _unread(self, piece: bytes) -> bytes:
        self._ends.see(piece)
        return self._sse.without_usage(piece) if self._adds_usage else piece

    def _keep(self, chunk: Event | bytes, delta: Delta) -> Delta:
        if self._holds and not isinstance(chunk, bytes):
            self._call.proxy.capacity.hold(self._exchange, len(chunk.raw))
        self._kept[self._taken] = chunk
        tells = delta.pictures or any(text for _, text in delta.parts)
        if self._first_text is None and tells:
            self._first_text = self._taken
        self._taken += 1
        return delta

    def release(self, step: Release) -> bytes:
        """The bytes of a piece that was kept, with what has changed in it."""
        chunk = self._kept.pop(step.index)
        if isinstance(chunk, bytes):
            return chunk
        if self._holds:
            self._call.proxy.capacity.let_go(self._exchange, self._exchange.held - len(chunk.raw))
        if chunk.data is not None:
            self._stream.sent(chunk.data)
        silent = self._first_text is None or step.index < self._first_text
        if silent and self._holds and not self._exchange.begun:
            self._preamble.append(chunk.raw)
            return b""
        new: dict[str, str | bytes] = {**step.texts, **step.pictures}
        return chunk.rewritten(self._stream.rewrite(chunk.data, new)) if new else chunk.raw

    def write(self, data: bytes) -> None:
        """Send a piece of the stream, behind its head and what came before any text."""
        if self._preamble:
            data = b"".join([*self._preamble, data])
            self._preamble.clear()
        if self._exchange.begun:
            self._exchange.write(data)
            return
        response = self._response
        headers = without(end_to_end(response.headers), b"content-length")
        headers += self._call.verdict_headers()
        self._exchange.start(response.status, headers, data, reason=response.reason)

    def finish(self) -> None:
        """All of it has been taken and released."""
        self.write(self._sse.end())
        self._exchange.finish()

    def ends(self, refusal: Refusal) -> bool:
        """End it with a refusal: with the mark of the API's own filters where the policy stopped
        it, else with an error. False where there is still time for an answer of another kind."""
        if not self._exchange.begun and refusal.status != 400:
            return False
        write = self._stream.refused if refusal.status == 400 else self._stream.failed
        self.write(self._ends.close() + b"".join(write(refusal)))
        self._exchange.finish()
        return True


def _told_by(events: Sequence[bytes], stream: Stream) -> Delta:
    """What the first and last events of a stream tell."""
    told = NOTHING
    for raw in events:
        delta = Delta(usage=usage_from(usage_behind_cut(raw)))
        with suppress(UpstreamError):  # one that the cut went through
            data = read_event(raw).data
            delta = delta if data is None else stream.delta(data)
        told = _merged(told, delta)
    return told


def _reply_of(events: Sequence[bytes], stream: Stream) -> Reply:
    told = _told_by(events, stream)
    return Reply(Content(), told.usage, told.finish_reason, told.model, told.response_id)


def _merged(one: Delta, other: Delta) -> Delta:
    usage = Usage(
        **{
            key: value if value is not None else getattr(one.usage, key)
            for key, value in vars(other.usage).items()
        }
    )
    return Delta(
        (),
        usage,
        other.finish_reason or one.finish_reason,
        other.model or one.model,
        other.response_id or one.response_id,
    )
