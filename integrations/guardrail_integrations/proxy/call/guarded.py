"""One guarded call: its body read by its surface, its flow, its upstream, its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from guardrail.hosting import (
    OPENED,
    AsyncCaller,
    Call,
    Content,
    Context,
    Delta,
    Ended,
    Outcome,
    Part,
    Recorder,
    Release,
    Reply,
    Stage,
    Verdict,
    begin,
)
from guardrail_integrations.proxy.call.answer_body import read_answer, whole_answer
from guardrail_integrations.proxy.call.attachments import Prepared, weighed
from guardrail_integrations.proxy.call.file_ids import uploaded
from guardrail_integrations.proxy.call.forward import pass_back, target_of, upstream_headers
from guardrail_integrations.proxy.call.reply_metadata import LateReply, Passing, told_by
from guardrail_integrations.proxy.call.streaming import Streaming
from guardrail_integrations.proxy.formats.json_splice import Path, with_field
from guardrail_integrations.proxy.http.headers import (
    end_to_end,
    index_of,
    readable_encodings,
    value_of,
    without,
)
from guardrail_integrations.proxy.interfaces import Buffer, Headers, Request, Response
from guardrail_integrations.proxy.media.files import Remote
from guardrail_integrations.proxy.reading.extraction import Extraction, Unscreenable
from guardrail_integrations.proxy.telemetry.tracing import hand_on, parent_of
from guardrail_integrations.proxy.verdicts.headers import verdict_headers
from guardrail_integrations.proxy.verdicts.proxy_rules import Note, blocked, with_notes
from guardrail_integrations.proxy.verdicts.refusals import (
    Refused,
    refusal_of,
    unreadable_answer,
)

if TYPE_CHECKING:
    from guardrail_integrations.proxy.call.request_state import RequestState
    from guardrail_integrations.proxy.interfaces import Upstream
    from guardrail_integrations.proxy.reading.surface import Surface
    from guardrail_integrations.proxy.server.app import Proxy, Rules
    from guardrail_integrations.proxy.verdicts.refusals import Refusal

_LENGTH = frozenset((b"content-length",))
_USAGE = {"include_usage": True}
_UNREAD = Reply()
NOTHING_PREPARED = Prepared()

SMALL = 256 << 10  # bytes of an answer that is held to be read for its usage only


def _asks_for_usage(options: Any) -> bool:
    """Whether `stream_options` ask for it, or are of a form that is the upstream's to judge."""
    return bool(options and (not isinstance(options, dict) or options.get("include_usage")))


class GuardedCall(AsyncCaller):
    """The caller's side of the flow of one request to a surface."""

    def __init__(
        self,
        proxy: Proxy,
        rules: Rules,
        state: RequestState,
        found: Extraction,
        compressed: bytes,
        context: Context,
        surface: Surface,
    ) -> None:
        self.proxy, self.rules, self.state, self.found = proxy, rules, state, found
        self.exchange, self.surface = state.exchange, surface
        self.target = proxy.settings.targets[state.route]
        self.upstream: Upstream = proxy.upstreams[state.route]
        self.compressed = compressed  # the body as it came, where it came compressed
        self.prepared = NOTHING_PREPARED
        self.verdicts: list[Verdict] = []
        self.notes: list[Note] = []
        self.outcome: Outcome | None = None
        self.response: Response | None = None
        self.answer: bytes | None = None  # the body of an answer that came at once
        self.answered: Extraction | None = None
        self.passing: Passing | None = None  # an answer that no rule reads and that is not held
        self.streaming: Streaming | None = None
        self.context = context
        self._holds = self.exchange.held  # bytes of the request alone
        self._adds_usage = (
            found.stream
            and self.surface.counts_on_request
            and rules.guard.policy.proxy.stream_usage
            and not _asks_for_usage(found.body.root.get("stream_options"))
        )
        telemetry = rules.guard.telemetry
        self.span = None
        if telemetry.listens:
            call = Call(Content(), context, found.parameters)
            self.span = telemetry.start(call, parent_of(self.exchange.index))
        state.call, state.guard, state.span = self, rules.guard, self.span
        state.context = context

    def emit(self, call: Ended) -> None:
        """See hosting.AsyncCaller. The call is told of once the request has been handled."""
        if self.notes:
            call.amend = partial(with_notes, notes=self.notes)
        self.state.over = call

    async def run(self) -> None:
        """Play the flow and answer the client."""
        parts = tuple(self.found.parts + self.prepared.parts)
        call = Call(Content(parts), self.context, self.found.parameters)
        runner = self.rules.guard.runner
        recorder = Recorder(self.rules.guard.plan, call, self.verdicts.append, runner.cache)
        steps = await begin(recorder, runner, self, self._end)
        if steps is not None:
            async for item in steps:
                if item is not OPENED and item and self.streaming is not None:
                    self.streaming.write(item)
                    await self.exchange.drain()
        assert self.outcome is not None, "a flow ends with its outcome"
        if self.outcome.stopped:
            if len(self.verdicts) == 1:
                self.streaming = None  # with overlap one may have begun, which is no answer
                self.state.streams = False
            refusal = refusal_of(self.outcome, self.found.model or "")
            raise Refused(refusal, self.verdict_headers())
        if self.streaming is not None:
            self.streaming.finish()
        elif self.response is not None and self.answer is None:
            see = None if self.passing is None else self.passing.see
            await pass_back(self.exchange, self.response, self.target, self.verdict_headers(), see)
            if self.passing is not None:
                self.passing.end()
        else:
            self._answer(self.outcome.changed)

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome

    # the flow's questions

    async def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        """See hosting.AsyncCaller."""
        self._leave()
        capacity = self.proxy.capacity
        if self.response is not None:  # asked again: the first answer is for nobody
            capacity.let_go(self.exchange, self._holds)
        changes = self.prepared.changes
        if changed:
            changes = {**changes, **await self._changes(changed)}
        response = self.response = await self.upstream.send(self._request(changes))
        self.streaming, self.state.streams, self.passing = None, False, None
        if not 200 <= response.status < 300 or response.status == 204:
            return _UNREAD
        about = index_of(response.headers)
        kind = about.get(b"content-type", b"").lower()
        encoding = about.get(b"content-encoding", b"")
        if kind.startswith(b"text/event-stream"):
            adds_usage = self._adds_usage
            if encoding.lower() not in (b"", b"identity"):
                if self.rules.reads_output:
                    raise unreadable_answer("the stream is compressed")
                adds_usage = False
            self.streaming = Streaming(self, response, adds_usage)
            self.state.streams = True
            self.exchange.settled = self.settled
            return None
        if self.rules.reads_output and self.surface.answers_text:
            raw = self.answer = await whole_answer(self.exchange, capacity, response)
            answered = read_answer(self.exchange, capacity, raw, encoding, self.surface, self.found)
            self.weigh_answer(answered.unscreenable)
            self.answered = answered
            return answered.reply(Content(tuple(answered.parts)))
        size = int(about.get(b"content-length", b"-1"))
        if not kind.startswith(b"application/json") or size == 0:
            return _UNREAD
        limit = self.proxy.settings.max_answer
        if not 0 < size <= SMALL:
            self.passing = Passing(encoding, self.surface, limit)
            return self.passing.reply
        raw = self.answer = await whole_answer(self.exchange, capacity, response)
        return LateReply.of(partial(told_by, raw, encoding, self.surface, limit), len(raw))

    async def take(self) -> Delta | None:
        """See hosting.AsyncCaller."""
        assert self.streaming is not None, "a stream was opened"
        return await self.streaming.take()

    async def pour(self) -> Reply:
        """See hosting.AsyncCaller."""
        assert self.streaming is not None, "a stream was opened"
        return await self.streaming.pour()

    def settled(self) -> bool:
        """Whether all of a stream has come. Clients leave at its last event."""
        return self.streaming is not None and self.streaming.settled

    def release(self, step: Release) -> bytes:
        """See hosting.AsyncCaller."""
        assert self.streaming is not None, "a stream was opened"
        return self.streaming.release(step)

    async def close(self) -> None:
        """See hosting.AsyncCaller."""
        if self.streaming is not None or self.outcome is None or self.outcome.stopped:
            self._leave()

    def _leave(self) -> None:
        if self.response is not None:
            self.response.close()

    # to the upstream

    async def file(self, remote: Remote) -> bytes:
        """An uploaded file, from the upstream's files API and with the client's own key."""
        limit = self.rules.guard.policy.limits.max_image_mb * (1 << 20)
        return await uploaded(
            remote, self.exchange, self.surface, self.target, self.upstream, limit
        )

    async def _changes(self, changed: Mapping[str, Part]) -> Mapping[Path, Any]:
        if self.found.files:  # a PDF is written anew, which takes a while
            return await asyncio.to_thread(self.found.changes, changed)
        return self.found.changes(changed)

    def _request(self, changes: Mapping[Path, Any]) -> Request:
        exchange = self.exchange
        headers = upstream_headers(exchange, self.target, _LENGTH)
        body: list[Buffer] = [*self.found.body.pieces]
        if changes or self._adds_usage:
            adds_field = self._adds_usage and "stream_options" not in self.found.body.root
            if self._adds_usage and not adds_field:
                options = {**(self.found.body.root["stream_options"] or {}), **_USAGE}
                changes = {**changes, ("stream_options",): options}
            body = self.found.body.spliced(changes)
            if adds_field:
                body = with_field(body, "stream_options", _USAGE)
            headers = without(headers, b"content-encoding")
        elif b"content-encoding" in exchange.index:
            body = [self.compressed]
        if self.rules.reads_output or self._adds_usage:
            headers = self._readable(headers)
        if self.span is not None:
            headers = hand_on(headers, self.span)
        headers.append((b"content-length", b"%d" % sum(map(len, body))))
        return Request(exchange.method, target_of(exchange, self.target), headers, body)

    def _readable(self, headers: Headers) -> Headers:
        """Ask for an answer that can be read: streams plain, others in gzip or deflate."""
        accepted = value_of(headers, b"accept-encoding")
        if not accepted and not self.found.stream:
            return headers
        readable = b"identity" if self.found.stream else readable_encodings(accepted)
        if accepted == readable:
            return headers
        return [*without(headers, b"accept-encoding"), (b"accept-encoding", readable)]

    # to the client

    def weigh_answer(self, unscreenable: list[tuple[Unscreenable, str]]) -> None:
        """What in an answer no check can look at follows the policy, where it looks at answers."""
        if not (self.rules.reads_output and unscreenable):
            return
        try:
            results = weighed(self.rules.guard.policy, unscreenable)
        except Refused as end:
            self.notes.append(Note(Stage.OUTPUT, blocked(end.refusal)))
            raise
        self.notes += [Note(Stage.OUTPUT, result) for result in results]

    def _answer(self, changed: Mapping[str, Part]) -> None:
        response, found = self.response, self.answered
        assert response is not None, "an answer came"
        assert self.answer is not None, "an answer came"
        headers, body = end_to_end(response.headers), self.answer
        if changed and found is not None:
            body = b"".join(found.body.spliced(found.changes(changed)))
            headers = without(headers, b"content-encoding", b"content-length", b"etag")
            headers.append((b"content-length", b"%d" % len(body)))
        headers += self.verdict_headers()
        self.exchange.answer(response.status, headers, body, reason=response.reason)

    def ends(self, refusal: Refusal) -> bool:
        """End the stream with a refusal; False where there is none, or still time for an answer
        of another kind."""
        return self.streaming is not None and self.streaming.ends(refusal)

    def verdict_headers(self) -> Headers:
        """What the client is told of a call that goes on, where the policy tells it."""
        if not self.rules.guard.policy.proxy.verdict_headers:
            return []
        results = [note.result for note in self.notes]
        for verdict in self.verdicts:
            results += verdict.telling
        return verdict_headers(results, self.state.over)
