"""The proxy: which request is what, and the end of each, however it comes."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from guardrail import ContentError, Context, Guard
from guardrail.hosting import LIMITS_RULE, Call, Content, Mode, Record, Stage
from guardrail_integrations.proxy.backlog import Backlog
from guardrail_integrations.proxy.compression import Unreadable, decompressed
from guardrail_integrations.proxy.exchange import BodyLost, BodyTooLarge, Exchange
from guardrail_integrations.proxy.forward import pass_back, streaming_request
from guardrail_integrations.proxy.found import Found
from guardrail_integrations.proxy.guarded import GuardedCall
from guardrail_integrations.proxy.interfaces import (
    Access,
    Fetcher,
    Headers,
    Observer,
    Upstream,
    UpstreamError,
)
from guardrail_integrations.proxy.json_body import BadJson, JsonBody, read_json
from guardrail_integrations.proxy.noted import MALFORMED, Note, named, refused_record
from guardrail_integrations.proxy.pictures import Pictures
from guardrail_integrations.proxy.prepare import prepare
from guardrail_integrations.proxy.readiness import Readiness
from guardrail_integrations.proxy.refusals import Refused, refused
from guardrail_integrations.proxy.settings import Settings
from guardrail_integrations.proxy.surface import Refusal, Surface, openai_error
from guardrail_integrations.proxy.surfaces import surface_of
from guardrail_integrations.proxy.tracing import parent_of

Endpoint = Callable[["Proxy", Exchange], Awaitable[None]]

_log = logging.getLogger("guardrail.proxy")
MAX_ROUTES = 1_000  # of paths and models, whose upstream is remembered
_SAFE = (b"GET", b"HEAD", b"OPTIONS", b"DELETE")
_FAULT_STATUS = {"unreachable": 502, "closed": 502, "garbage": 502, "timeout": 504, "busy": 503}


@dataclass(frozen=True)
class Rules:
    """A guard as it stands until the next reload."""

    guard: Guard
    reads_output: bool = field(init=False)

    def __post_init__(self) -> None:
        scopes = {scope for rule in self.guard.plan.rules for scope in rule.when}
        reads = any(scope.partition(".")[0] == "output" for scope in scopes)
        object.__setattr__(self, "reads_output", reads)


class Proxy:
    """Handles exchanges. `endpoints` are our own paths; observers are told of every request."""

    def __init__(
        self,
        guard: Guard,
        settings: Settings,
        upstreams: Mapping[str, Upstream],
        *,
        fetcher: Fetcher | None = None,
        endpoints: Mapping[str, Endpoint] | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.rules = Rules(guard)
        self.settings, self.upstreams, self.fetcher = settings, upstreams, fetcher
        self.endpoints = dict(endpoints or {})
        self.observers = tuple(observers)
        self.backlog: Backlog | None = None  # where records are delivered; None: at once
        self.under_way = self.with_pictures = self.buffered = 0
        self.draining = False
        self.ready = True
        self.readiness = Readiness()
        self._route = lru_cache(MAX_ROUTES)(self._find_route)
        self.pictures = Pictures()
        self._codes: dict[int, str] = {}
        self._refused: dict[int, Refusal] = {}
        self._calls: dict[int, GuardedCall] = {}

    def reload(self, guard: Guard) -> None:
        """Requests from now on fall under this guard; those under way keep theirs."""
        self.rules = Rules(guard)

    def note(self, exchange: Exchange, code: str) -> None:
        """Remember why an exchange ended as it did, for its access record."""
        self._codes[id(exchange)] = code

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        started = time.time_ns()
        for observer in self.observers:
            observer.began()
        surface = None if exchange.method in _SAFE else surface_of(exchange.path)
        self.under_way += 1
        try:
            try:
                await self._handle(exchange, surface)
            except Refused as end:
                self._refuse(exchange, surface, end.refusal, end.headers)
            except UpstreamError as error:
                status = _FAULT_STATUS[error.fault]
                message = f"The upstream gave no answer: {error}."
                self._refuse(exchange, surface, Refusal(status, f"upstream_{error.fault}", message))
            except BodyTooLarge:
                limit = self.settings.max_body >> 20
                message = f"The body is over the limit of {limit} MiB."
                self._refuse(
                    exchange, surface, Refusal(413, "body_too_large", message, rule=LIMITS_RULE)
                )
            except BodyLost as error:
                late = error.status == 408
                message = "The body took too long." if late else "The body is not valid HTTP/1.1."
                self._refuse(
                    exchange, surface, Refusal(error.status, "bad_body", message, rule=MALFORMED)
                )
            except Exception as error:
                _log.error("a request failed: %s", type(error).__name__)
                message = "The proxy failed to handle this request."
                self._refuse(exchange, surface, Refusal(500, "internal_error", message))
        finally:
            self.under_way -= 1
            self._ended(exchange, surface, started)

    async def _handle(self, exchange: Exchange, surface: Surface | None) -> None:
        endpoint = self.endpoints.get(exchange.path)
        if endpoint is not None:
            await endpoint(self, exchange)
            return
        if self.draining or self.under_way > self.settings.concurrent:
            raise refused(503, "overloaded", "Too many requests are under way.")
        if surface is not None:
            await self._guarded(exchange, surface)
        elif self.rules.guard.policy.proxy.other_paths == "refuse":
            raise refused(404, "unknown_path", "This path is not served here.")
        else:
            await self._other(exchange)

    async def _other(self, exchange: Exchange) -> None:
        """Pass a request and its answer through untouched."""
        name = self._route(exchange.path, None)
        request = streaming_request(
            exchange, self.settings.targets[name], self.settings.max_body * 16
        )
        response = await self.upstreams[name].send(request)
        try:
            await pass_back(exchange, response, [])
        finally:
            response.close()

    async def _guarded(self, exchange: Exchange, surface: Surface) -> None:
        rules = self.rules
        raw = await exchange.body(self._room())
        self.buffered += len(raw)
        try:
            try:
                body, compressed = self._read(exchange, surface, raw)
                found = Found(body, rules.guard.policy.limits, self.pictures)
                found.settings(body.root)
                surface.read(body.root, found)
            except BadJson as error:
                message = f"{str(error).capitalize()}."
                refusal = refused(400, "malformed_body", message, rule=MALFORMED)
                await self._unread(exchange, raw, refusal)
                return
            except ContentError as error:
                refusal = refused(400, error.code, f"{error}.", error.part, LIMITS_RULE)
                await self._unread(exchange, raw, refusal)
                return
            name = self._route(exchange.path, found.model)
            call = GuardedCall(
                self,
                rules,
                exchange,
                surface,
                found,
                self.settings.targets[name],
                self.upstreams[name],
                self.context(exchange, found.model),
            )
            call.compressed, call.target_name = compressed, name
            self._calls[id(exchange)] = call
            if found.unscreenable or found.remote or found.documents:
                policy = rules.guard.policy
                call.prepared = await prepare(found, policy, self.fetcher, call.file)
                call.notes += [Note(Stage.INPUT, result) for result in call.prepared.results]
            pictures = bool(found.pictures)
            if pictures and self.with_pictures >= self.settings.picture_calls:
                raise refused(503, "overloaded", "Too many calls with pictures are under way.")
            self.with_pictures += pictures
            try:
                await call.run()
            finally:
                self.with_pictures -= pictures
        finally:
            self.buffered -= len(raw)

    def _room(self) -> int:
        """How large a body may be now."""
        left = self.settings.buffered - self.buffered
        if left < self.settings.max_body:
            raise refused(503, "overloaded", "Too much is being held in memory.")
        return self.settings.max_body

    def _read(self, exchange: Exchange, surface: Surface, raw: bytes) -> tuple[JsonBody, bytes]:
        encoding = exchange.index.get(b"content-encoding", b"")
        compressed = b""
        if encoding:
            try:
                compressed, raw = raw, decompressed(raw, encoding, self.settings.max_body)
            except Unreadable as error:
                raise refused(
                    415, "unsupported_encoding", f"{str(error).capitalize()}.", rule=MALFORMED
                ) from None
        kind = exchange.index.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind.startswith(b"multipart/") or kind == b"application/x-www-form-urlencoded":
            message = "The body must be application/json."
            raise refused(415, "unsupported_media_type", message, rule=MALFORMED)
        body = read_json(raw, surface.marker)
        if not isinstance(body.root, dict):
            raise BadJson("the body is not a JSON object")
        return body, compressed

    async def _unread(self, exchange: Exchange, raw: bytes, refusal: Refused) -> None:
        """Refuse a body that could not be read, or pass it on where the policy says so or only
        watches: the upstream refuses it, or reads it in a way of its own."""
        policy, about = self.rules.guard.policy, refusal.refusal
        passes = about.rule == MALFORMED and policy.proxy.malformed == "pass"
        if policy.mode is Mode.ENFORCE and not passes:
            raise refusal
        name = self._route(exchange.path, None)
        request = streaming_request(exchange, self.settings.targets[name], 0)
        request.body = [raw]
        request.headers = [
            (key, value) for key, value in request.headers if key.lower() != b"transfer-encoding"
        ]
        if b"content-length" not in exchange.index:
            request.headers.append((b"content-length", b"%d" % len(raw)))
        self.note(exchange, "malformed_passed")
        self._refused[id(exchange)] = named(replace(about, status=200, code="malformed_passed"))
        response = await self.upstreams[name].send(request)
        try:
            await pass_back(exchange, response, [(b"x-guardrail-rules", b"malformed=pass")])
        finally:
            response.close()

    def _find_route(self, path: str, model: str | None) -> str:
        for route in self.settings.routes:
            if route.fits(path, model):
                return route.upstream
        raise refused(404, "no_route", "No upstream serves this path and model.")

    def context(self, exchange: Exchange, model: str | None) -> Context:
        """Whose call it is, by its headers."""

        whose = [exchange.index.get(header) for header in self.settings.whose]
        tenant, user, session = [
            value.decode("utf-8", "replace")[:200] if value else None for value in whose
        ]
        return Context(exchange.path, tenant, user, session, model)

    def _refuse(
        self,
        exchange: Exchange,
        surface: Surface | None,
        refusal: Refusal,
        extra: Headers | None = None,
    ) -> None:
        self.note(exchange, refusal.code)
        call = self._calls.get(id(exchange))
        if surface is not None and (
            refusal.code != "overloaded" if call is None else not call.record
        ):
            refusal = self._refused[id(exchange)] = named(refusal)
        if exchange.finished or (call is not None and call.ends(refusal)):
            return
        if exchange.begun:
            exchange.abort()
            return
        write = surface.error if surface is not None else openai_error
        body = write(refusal)
        headers: Headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        if refusal.record:
            identity = refusal.record.encode()
            headers += [(b"x-request-id", identity), (b"request-id", identity)]
        if refusal.code == "guardrail_unavailable":
            again = self.rules.guard.policy.proxy.retry_unavailable
            headers.append((b"x-should-retry", b"true" if again else b"false"))
        elif refusal.code == "overloaded":
            headers.append((b"retry-after", b"1"))
        elif refusal.status < 500:
            headers.append((b"x-should-retry", b"false"))
        exchange.answer(refusal.status, headers + (extra or []), body)

    def _record(
        self, exchange: Exchange, call: GuardedCall | None, refusal: Refusal, started: int
    ) -> Record:
        """Hand on the record of a call that was refused, or passed on, before it was looked at."""
        guard = self.rules.guard if call is None else call.rules.guard
        context = self.context(exchange, None) if call is None else call.call.context
        span = call.span if call is not None else None
        if call is None and guard.telemetry.listens:
            span = guard.telemetry.start(Call(Content(), context), parent_of(exchange.index))
        record = refused_record(guard.policy, context, refusal, started)
        work = partial(guard.emit, record, span)
        if self.backlog is None:
            work()
        else:
            self.backlog.put(work)
        return record

    def _ended(self, exchange: Exchange, surface: Surface | None, started: int) -> None:
        call = self._calls.pop(id(exchange), None)
        code = self._codes.pop(id(exchange), "")
        record = call.record if call is not None else None
        refusal = self._refused.pop(id(exchange), None)
        if call is not None and record is None and refusal is None:
            refusal = named(Refusal(500, "client_left", ""))
        if refusal is not None:
            record = self._record(exchange, call, refusal, started)
        if not self.observers:
            return
        known = surface is not None or exchange.path in self.endpoints
        access = Access(
            method=exchange.method.decode("ascii", "replace"),
            path=surface.path if surface else exchange.path if known else "other",
            status=exchange.status,
            started_ns=started,
            ended_ns=time.time_ns(),
            bytes_in=exchange.size,
            bytes_out=exchange.bytes_out,
            streamed=call is not None and call.streams,
            action=""
            if record is None
            else str(max((s.verdict.action for s in record.stages), default="")),
            record="" if record is None else record.id,
            code=code,
            upstream_ns=0 if record is None else sum(end - start for start, end in record.asks),
            route="" if call is None else call.target_name,
            tenant="" if call is None else call.call.context.tenant or "",
        )
        for observer in self.observers:
            observer.ended(access)
