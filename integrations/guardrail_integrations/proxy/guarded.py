"""One guarded call: its body read by its surface, its flow, its upstream, its answer."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from guardrail import ContentError
from guardrail.hosting import (
    OPENED,
    AsyncCaller,
    Call,
    Content,
    Context,
    Delta,
    Image,
    Outcome,
    Part,
    Record,
    Release,
    Reply,
    RuleResult,
    Stage,
    StageRecord,
    Text,
    Usage,
    arun,
    guarded,
)
from guardrail_integrations.proxy.compression import Unreadable, decompressed
from guardrail_integrations.proxy.file_ids import uploaded
from guardrail_integrations.proxy.forward import target_of, upstream_headers
from guardrail_integrations.proxy.found import Found, Remote, Told, Unscreenable, media_type
from guardrail_integrations.proxy.headers import (
    end_to_end,
    readable_encodings,
    value_of,
    without,
)
from guardrail_integrations.proxy.interfaces import (
    Buffer,
    Headers,
    Request,
    Response,
    UpstreamError,
)
from guardrail_integrations.proxy.json_body import BadJson, Path, read_json, with_field
from guardrail_integrations.proxy.noted import Note, blocked, with_notes
from guardrail_integrations.proxy.prepare import Prepared, weighed
from guardrail_integrations.proxy.refusals import (
    Refused,
    refusal_of,
    refused,
    unreadable_answer,
)
from guardrail_integrations.proxy.sse import Ends, Event, SseReader, is_usage, read_event
from guardrail_integrations.proxy.surface import Refusal, Stream, Surface
from guardrail_integrations.proxy.tracing import hand_on, parent_of

if TYPE_CHECKING:
    from guardrail_integrations.proxy.app import Proxy, Rules
    from guardrail_integrations.proxy.exchange import Exchange
    from guardrail_integrations.proxy.interfaces import Upstream
    from guardrail_integrations.proxy.settings import Target

NOTHING = Delta()
SMALL = 256 << 10  # bytes of an answer that is read for its usage only


class GuardedCall(AsyncCaller):
    """The caller's side of the flow of one request to a surface."""

    def __init__(
        self,
        proxy: Proxy,
        rules: Rules,
        exchange: Exchange,
        surface: Surface,
        found: Found,
        target: Target,
        upstream: Upstream,
        context: Context,
    ) -> None:
        self.rules, self.exchange, self.surface, self.found = rules, exchange, surface, found
        self.proxy, self.target, self.upstream = proxy, target, upstream
        self.target_name = ""
        self.compressed = b""  # the body as it came, where it came compressed
        self.prepared = Prepared()
        self.stages: list[StageRecord] = []
        self.notes: list[Note] = []
        self.outcome: Outcome | None = None
        self.record: Record | None = None
        self.response: Response | None = None
        self.answer: bytes | None = None  # the body of an answer that came at once
        self.answered: Found | None = None
        self.streams = False
        self.stream: Stream | None = None
        self._context = context
        self._sse = SseReader()
        self._events: deque[bytes] = deque()
        self._kept: dict[int, Event | bytes] = {}
        self._taken = 0
        self._first_text: int | None = None
        self._preamble: list[bytes] = []  # released before any text: may still be taken back
        self._ended = False
        self._ends = Ends()
        self._marked = False  # the last event was a mark, such as that of the end
        self._adds_usage = (
            surface.counts_on_request
            and found.stream
            and rules.guard.policy.proxy.stream_usage
            and not found.body.root.get("stream_options")
        )
        telemetry = rules.guard.telemetry
        self.call = Call(Content(), context, found.parameters)
        self.span = None
        if telemetry.listens:
            self.span = telemetry.start(self.call, parent_of(exchange.index))

    def emit(self, record: Record) -> None:
        """See drive.Caller."""
        self.record = record = with_notes(record, self.notes)
        work = functools.partial(self.rules.guard.emit, record, self.span)
        if self.proxy.backlog is None:
            work()
        else:
            self.proxy.backlog.put(work)

    async def run(self) -> None:
        """Play the flow and answer the client."""
        parts = (*self.found.parts, *self.prepared.parts)
        self.call = Call(Content(parts), self._context, self.found.parameters)
        flow = guarded(self.rules.guard.plan, self.call, self.stages.append)
        steps = arun(flow, self.rules.guard.runner, self, self._end)
        exchange = self.exchange
        async for item in steps:
            if item is not OPENED and item:
                self._write(item)
                await exchange.drain()
        assert self.outcome is not None, "a flow ends with its outcome"
        if self.outcome.stopped:
            if self.stages[-1].stage is Stage.INPUT:
                self.streams = False  # with overlap one may have begun, which is no answer
            refusal = refusal_of(self.outcome, self.found.model or "")
            raise Refused(refusal, self._verdict_headers())
        if self.streams:
            self._write(self._sse.end())
            exchange.finish()
        elif self.response is not None and self.answer is None:
            await self._pass_back(self.response)
        else:
            self._answer(self.outcome.changed)

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome

    # the flow's questions

    async def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        """See drive.Caller."""
        self._leave()
        response = self.response = await self.upstream.send(await self._request(changed))
        kind = value_of(response.headers, b"content-type").lower()
        self.streams = False
        if not 200 <= response.status < 300:
            return Reply()
        if kind.startswith(b"text/event-stream"):
            if value_of(response.headers, b"content-encoding").lower() not in (b"", b"identity"):
                if self.rules.reads_output:
                    raise unreadable_answer("the stream is compressed")
                self._adds_usage = False
            self.streams = True
            self.stream = self.surface.stream()
            self.exchange.settled = self.settled
            self._sse, self._ended = SseReader(), False
            self._events.clear()
            return None
        if not self.surface.answers_text:
            return Reply()
        if not (self.rules.reads_output or _is_small_json(response, kind)):
            return Reply()
        return await self._read_answer(response)

    async def take(self) -> Delta | None:
        """See drive.Caller."""
        response, stream = self.response, self.stream
        assert response is not None, "a stream was opened"
        assert stream is not None, "a stream was opened"
        if not self.rules.reads_output:
            if self.exchange.begun:
                await response.pour(self._pass_on, self.exchange.drain)
                return self._usage(stream)
            piece = await response.read()
            return self._keep(self._unread(piece), NOTHING) if piece else self._usage(stream)
        while True:
            while not self._events:
                if self._ended:
                    return None
                piece = await response.read()
                self._ended = not piece
                self._events.extend(self._sse.feed(piece))
                if self._ended and (rest := self._sse.end()):
                    self._events.append(rest)  # an event that nothing ends is one all the same
            event = read_event(self._events.popleft())
            if event.silent and self.rules.guard.plan.holds_output:
                self._pass_silent(event.raw)
                continue
            self._marked = event.body is None and not event.silent
            data = event.data
            delta = NOTHING if data is None else stream.delta(data)
            if stream.unheard:
                self._weigh_answer(stream.unheard)
                stream.unheard = []
            if self._adds_usage and is_usage(data):
                return self._keep(b"", delta)  # the client did not ask for it
            return self._keep(event, delta)

    def settled(self) -> bool:
        """Whether all of a stream has come. Clients leave at its last event."""
        come = self.response is not None and self.response.ended
        return self.streams and (come or self._marked or self._ends.marked)

    def _pass_on(self, piece: bytes) -> bool:
        """A piece of a stream that no rule reads, which need not wait for anything."""
        return self.exchange.give(self._unread(piece))

    def _unread(self, piece: bytes) -> bytes:
        self._ends.see(piece)
        return self._sse.without_usage(piece) if self._adds_usage else piece

    def _keep(self, chunk: Event | bytes, delta: Delta) -> Delta:
        self._kept[self._taken] = chunk
        told = delta.pictures or any(text for _, text in delta.parts)
        if self._first_text is None and told:
            self._first_text = self._taken
        self._taken += 1
        return delta

    def _usage(self, stream: Stream) -> Delta | None:
        """At the end of a stream that was not read: what its first and last events tell."""
        merged = None
        for raw in self._ends.take():
            merged = merged or NOTHING
            with suppress(UpstreamError):  # one that the cut went through
                merged = _merged(merged, stream.delta(read_event(raw).data))
        return None if merged is None else self._keep(b"", merged)

    def _pass_silent(self, raw: bytes) -> None:
        """A comment: it keeps the connection alive while the answer is held."""
        self._write(raw)

    def _write(self, data: bytes) -> None:
        """Send a piece of the stream, behind its head and what came before any text."""
        if not self.exchange.begun:
            self._begin()
        if self._preamble:
            data = b"".join([*self._preamble, data])
            self._preamble.clear()
        self.exchange.write(data)

    def release(self, step: Release) -> bytes:
        """See drive.Caller."""
        chunk = self._kept.pop(step.index)
        if isinstance(chunk, bytes) or self.stream is None:
            return chunk if isinstance(chunk, bytes) else chunk.raw
        if chunk.data is not None:
            self.stream.sent(chunk.data)
        silent = self._first_text is None or step.index < self._first_text
        if silent and self.rules.guard.plan.holds_output and not self.exchange.begun:
            self._preamble.append(chunk.raw)
            return b""
        new: dict[str, str | bytes] = {**step.texts, **step.pictures}
        return chunk.rewritten(self.stream.rewrite(chunk.data, new)) if new else chunk.raw

    async def close(self) -> None:
        """See drive.Caller."""
        if self.streams or self.outcome is None or self.outcome.stopped:
            self._leave()

    def _leave(self) -> None:
        if self.response is not None:
            self.response.close()

    # to the upstream

    async def file(self, remote: Remote) -> bytes:
        """An uploaded file, from the upstream's files API and with the client's own key."""
        limit = self.rules.guard.policy.limits.max_image_mb * (1 << 20)
        return await uploaded(remote, self.exchange, self.target, self.upstream, limit)

    async def _request(self, changed: Mapping[str, Part]) -> Request:
        exchange = self.exchange
        headers = upstream_headers(exchange, self.target, (b"content-length",))
        changes = dict(self.prepared.changes)
        if changed and self.found.files:  # a PDF is written anew, which takes a while
            changes |= await asyncio.to_thread(_changes, self.found, changed)
        elif changed:
            changes |= _changes(self.found, changed)
        body: list[Buffer] = [self.found.body.raw]
        if changes or self._adds_usage:
            body = self.found.body.spliced(changes)
            if self._adds_usage:
                body = with_field(body, "stream_options", {"include_usage": True})
            headers = without(headers, b"content-encoding")
        elif b"content-encoding" in exchange.index:
            body = [self.compressed]
        if self.rules.reads_output or self._adds_usage:
            headers = self._readable(headers)
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

    def _begin(self) -> None:
        response = self.response
        assert response is not None, "a stream was opened"
        headers = without(end_to_end(response.headers), b"content-length")
        self.exchange.start(
            response.status, headers + self._verdict_headers(), reason=response.reason
        )

    async def _pass_back(self, response: Response) -> None:
        from guardrail_integrations.proxy.forward import pass_back

        try:
            await pass_back(self.exchange, response, self._verdict_headers())
        finally:
            response.close()

    async def _read_answer(self, response: Response) -> Reply:
        limit = self.proxy.settings.max_answer
        pieces: list[bytes] = []
        size = 0
        while piece := await response.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise unreadable_answer("it is over the limit on its size")
        raw = self.answer = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        encoding = value_of(response.headers, b"content-encoding")
        try:
            plain = decompressed(raw, encoding, limit) if encoding else raw
            body = read_json(plain)
            kind = Found if self.rules.reads_output else Told
            found = self.answered = kind(body, self.rules.guard.policy.limits, self.found.seen)
            if isinstance(body.root, dict):
                model = body.root.get("model")
                found.model = model if isinstance(model, str) else None
                self.surface.answer(body.root, found)
            else:
                found.rest(body.root, (), "assistant", "model")
            self._weigh_answer(found.unscreenable)
        except (BadJson, Unreadable, ContentError) as error:
            if self.rules.reads_output:
                raise unreadable_answer(str(error)) from None
            return Reply()
        identity = body.root.get("id") if isinstance(body.root, dict) else None
        return Reply(
            Content(tuple(found.parts)),
            found.usage,
            found.finish_reason,
            found.model,
            identity if isinstance(identity, str) else None,
        )

    def _weigh_answer(self, unscreenable: list[tuple[Unscreenable, str]]) -> None:
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
            changes = _changes(found, changed)
            for place, repeats in found.shadows:
                if any(path[: len(place)] == place for path in changes):
                    changes[repeats] = None
            body = b"".join(found.body.spliced(changes))
            headers = without(headers, b"content-encoding", b"content-length", b"etag")
            headers.append((b"content-length", b"%d" % len(body)))
        self.exchange.answer(
            response.status, headers + self._verdict_headers(), body, reason=response.reason
        )

    def ends(self, refusal: Refusal) -> bool:
        """End the stream with a refusal: with the mark of the API's own filters where the policy
        stopped it, else with an error. False where there is no stream, or still time for an
        answer of another kind."""
        if not self.streams or self.stream is None:
            return False
        if not self.exchange.begun and refusal.status != 400:
            return False
        write = self.stream.refused if refusal.status == 400 else self.stream.failed
        self._write(b"".join(write(refusal)))
        self.exchange.finish()
        return True

    def _verdict_headers(self) -> Headers:
        if not self.rules.guard.policy.proxy.verdict_headers:
            return []
        results = [result for stage in self.stages for result in stage.verdict.rules]
        return verdict_headers([*(note.result for note in self.notes), *results], self.record)


def verdict_headers(results: list[RuleResult], record: Record | None) -> Headers:
    """What clients are told of a call that went on: flags, changes, and what shadow rules say."""
    acted: dict[str, str] = {}
    would: dict[str, str] = {}
    for result in results:
        if result.action:
            acted[result.rule] = str(result.action)
        elif result.would:
            would[result.rule] = str(result.would)
    headers: Headers = []
    if record is not None:
        headers.append((b"x-guardrail-record", record.id.encode()))
    for name, rules in ((b"x-guardrail-rules", acted), (b"x-guardrail-would", would)):
        if rules:
            said = ", ".join(f"{rule}={action}" for rule, action in rules.items())
            headers.append((name, said.encode("ascii", "replace")))
    return headers


def _is_small_json(response: Response, kind: bytes) -> bool:
    """Whether an answer that no rule looks at is read for its usage."""
    length = value_of(response.headers, b"content-length")
    return kind.startswith(b"application/json") and 0 < int(length or b"0") <= SMALL


def _changes(found: Found, changed: Mapping[str, Part]) -> dict[Path, Any]:
    changes: dict[Path, Any] = {}
    files = {id(file): file for name, file in found.files.items() if name in changed}
    for file in files.values():
        changes.update(file.changed(changed))
    for name, part in changed.items():
        if name in found.files:
            continue
        if name not in found.paths and name not in found.pictures:
            message = f"{name}: the policy asks for a change that cannot be made in a file."
            raise refused(400, "policy_violation", message, name)
        if isinstance(part, Text):
            changes[found.paths[name]] = part.text
        elif isinstance(part, Image):
            changes.update(found.pictures[name](part.data, media_type(part.data)))
    return changes


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
