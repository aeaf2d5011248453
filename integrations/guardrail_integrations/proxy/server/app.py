"""The proxy: which request is what, and the end of each, however it comes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from guardrail import ContentError, Context, Guard
from guardrail.hosting import LIMITS_RULE, Call, Content, Mode, Stage, Told
from guardrail_integrations.proxy.call.attachments import prepare
from guardrail_integrations.proxy.call.capacity import Capacity
from guardrail_integrations.proxy.call.forward import pass_back, streaming_request
from guardrail_integrations.proxy.call.guarded import GuardedCall
from guardrail_integrations.proxy.call.request_body import gathered_body, read_object, whole_body
from guardrail_integrations.proxy.call.request_state import RequestState
from guardrail_integrations.proxy.formats.json_body import BadJson, JsonBody
from guardrail_integrations.proxy.http.exchange import Exchange
from guardrail_integrations.proxy.interfaces import (
    Access,
    Body,
    Fetcher,
    Headers,
    Observer,
    Upstream,
)
from guardrail_integrations.proxy.media.pictures import Pictures
from guardrail_integrations.proxy.reading.extraction import Extraction
from guardrail_integrations.proxy.reading.surface import Surface, openai_error
from guardrail_integrations.proxy.server.readiness import Readiness
from guardrail_integrations.proxy.settings import Settings
from guardrail_integrations.proxy.surfaces import stored_on, surface_of
from guardrail_integrations.proxy.telemetry.backlog import Backlog
from guardrail_integrations.proxy.telemetry.tracing import parent_of
from guardrail_integrations.proxy.verdicts.proxy_rules import (
    MALFORMED,
    Note,
    RefusedCall,
    named,
    refused_record,
)
from guardrail_integrations.proxy.verdicts.refusals import (
    READABLE,
    Refusal,
    Refused,
    refusal_for,
    refusal_headers,
    refused,
    sentence,
)

Endpoint = Callable[["Proxy", Exchange], Awaitable[None]]

MAX_ROUTES = 1_000  # of paths and models, whose upstream is remembered
_SAFE = (b"GET", b"HEAD", b"OPTIONS", b"DELETE")


@dataclass(frozen=True)
class Rules:
    """A guard as it stands until the next reload."""

    guard: Guard

    @property
    def reads_output(self) -> bool:
        """Whether any rule looks at answers."""
        return self.guard.plan.reads_answers


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
        self.capacity = Capacity(settings)
        self.ready = True
        self.readiness = Readiness()
        self._route = lru_cache(MAX_ROUTES)(self._find_route)
        self._context = lru_cache(MAX_ROUTES)(Context)
        self.pictures = Pictures()

    def reload(self, guard: Guard) -> None:
        """Requests from now on fall under this guard; those under way keep theirs."""
        self.rules = Rules(guard)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        for observer in self.observers:
            observer.began()
        surface = None if exchange.method in _SAFE else surface_of(exchange.path)
        state = RequestState(exchange, surface, self.rules.guard, time.time_ns())
        self.capacity.enter()
        try:
            try:
                await self._handle(state)
            except Refused as end:
                self._refuse(state, end.refusal, end.headers)
            except Exception as error:
                self._refuse(state, refusal_for(error, self.settings.max_body))
        finally:
            self.capacity.leave(exchange)
            self._ended(state)

    async def _handle(self, state: RequestState) -> None:
        exchange = state.exchange
        endpoint = self.endpoints.get(exchange.path)
        if endpoint is not None:
            await endpoint(self, exchange)
            return
        self.capacity.admit()
        if state.surface is not None:
            await self._guarded(state, state.surface)
        elif self.rules.guard.policy.proxy.other_paths == "refuse" and not _preflight(exchange):
            raise refused(404, "unknown_path", "This path is not served here.")
        elif self.rules.reads_output and (stored := stored_on(exchange.method, exchange.path)):
            await self._stored(state, stored)
        else:
            await self._other(state)

    async def _stored(self, state: RequestState, surface: Surface) -> None:
        """An answer that the upstream has kept, or still works on, is checked as any other."""
        exchange, rules = state.exchange, self.rules
        raw = await whole_body(exchange, self.capacity)
        state.surface = surface
        state.route = self._route(exchange.path, None)
        found = Extraction(JsonBody([raw], {}), rules.guard.policy.limits, self.pictures)
        found.stream = b"stream=true" in exchange.query.lower()
        context = self.context(exchange, None)
        await GuardedCall(self, rules, state, found, raw, context, surface).run()

    async def _other(self, state: RequestState) -> None:
        """Pass a request and its answer through untouched."""
        exchange = state.exchange
        name = state.route = self._route(exchange.path, None)
        target = self.settings.targets[name]
        request = streaming_request(exchange, target, self.settings.max_body * 16)
        response = await self.upstreams[name].send(request)
        await pass_back(exchange, response, target, [])

    async def _guarded(self, state: RequestState, surface: Surface) -> None:
        rules, exchange = self.rules, state.exchange
        raw = await gathered_body(exchange, self.capacity, surface.marker, self.pictures)
        try:
            body, compressed = read_object(
                exchange, self.capacity, raw, surface.marker, self.pictures
            )
            found = Extraction(body, rules.guard.policy.limits, self.pictures)
            found.settings(body.root)
            surface.read(body.root, found)
        except BadJson as error:
            message = sentence(error)
            refusal = Refusal(400, "malformed_body", message, rule=MALFORMED)
            await self._unread(state, raw, refusal)
            return
        except ContentError as error:
            message, part = f"{error}.", error.part
            refusal = Refusal(400, error.code, message, param=part, rule=LIMITS_RULE)
            await self._unread(state, raw, refusal)
            return
        state.route = self._route(exchange.path, found.model)
        context = self.context(exchange, found.model)
        call = GuardedCall(self, rules, state, found, compressed, context, surface)
        if found.unscreenable or found.remote or found.documents:
            policy = rules.guard.policy
            call.prepared = await prepare(found, policy, self.fetcher, call.file)
            call.notes += [Note(Stage.INPUT, result) for result in call.prepared.results]
        if not found.pictures and not any(file.pages for file in found.files.values()):
            await call.run()
            return
        with self.capacity.picture_call():
            await call.run()

    async def _unread(self, state: RequestState, raw: bytes | Body, refusal: Refusal) -> None:
        """Refuse a body that could not be read, or pass it on where the policy says so or only
        watches: the upstream refuses it, or reads it in a way of its own."""
        policy, exchange = self.rules.guard.policy, state.exchange
        passes = refusal.rule == MALFORMED and policy.proxy.malformed == "pass"
        if policy.mode is Mode.ENFORCE and not passes:
            raise Refused(refusal)
        name = state.route = self._route(exchange.path, None)
        target = self.settings.targets[name]
        request = streaming_request(exchange, target, 0)
        request.body = raw.pieces if isinstance(raw, Body) else [raw]
        request.headers = [
            (key, value) for key, value in request.headers if key.lower() != b"transfer-encoding"
        ]
        if b"content-length" not in exchange.index:
            request.headers.append((b"content-length", b"%d" % len(raw)))
        state.code = "malformed_passed"
        state.refusal = named(replace(refusal, status=200, code="malformed_passed"))
        response = await self.upstreams[name].send(request)
        await pass_back(exchange, response, target, [(b"x-guardrail-rules", b"malformed=pass")])

    def _find_route(self, path: str, model: str | None) -> str:
        for route in self.settings.routes:
            if route.fits(path, model):
                return route.upstream
        raise refused(404, "no_route", "No upstream serves this path and model.")

    def context(self, exchange: Exchange, model: str | None) -> Context:
        """Whose call it is, by its headers."""
        index = exchange.index
        if index.keys().isdisjoint(self.settings.whose):
            return self._context(exchange.path, model=model)
        tenant, user, session = [
            value.decode("utf-8", "replace")[:200] if (value := index.get(header)) else None
            for header in self.settings.whose
        ]
        return Context(exchange.path, tenant, user, session, model)

    def _refuse(self, state: RequestState, refusal: Refusal, extra: Headers | None = None) -> None:
        exchange, surface, call = state.exchange, state.surface, state.call
        state.code = refusal.code
        if surface is not None and (
            refusal.code != "overloaded" if call is None else state.over is None
        ):
            refusal = state.refusal = named(refusal)
        elif state.over is not None and not refusal.record:
            refusal = replace(refusal, record=state.over.id)
        if exchange.finished or (call is not None and call.ends(refusal)):
            return
        if exchange.begun:
            exchange.abort()
            return
        write = surface.error if surface is not None else openai_error
        body = write(refusal)
        again = self.rules.guard.policy.proxy.retry_unavailable
        headers = refusal_headers(refusal, len(body), retry_unavailable=again)
        if b"origin" in exchange.index:
            headers += READABLE
        exchange.answer(refusal.status, headers + (extra or []), body)

    def _ended(self, state: RequestState) -> None:
        state.ended_ns = time.time_ns()
        state.exchange.settled = None  # it leads back to the call, and so to its guard
        if state.call is not None:
            state.call.streaming = None
            state.call = None
            if state.over is None and state.refusal is None:
                state.refusal = named(Refusal(500, "client_left", ""))
        if self.backlog is None:
            self._tell(state)
        else:
            self.backlog.put(partial(self._tell, state))

    def _tell(self, state: RequestState) -> None:
        """Tell of a guarded call, and tell the observers of the request."""
        exchange, surface, context = state.exchange, state.surface, state.context
        call = self._tell_of_call(state)
        if not self.observers:
            return
        known = surface is not None or exchange.path in self.endpoints
        access = Access(
            method=exchange.method.decode("ascii", "replace"),
            path=surface.path if surface else exchange.path if known else "other",
            status=exchange.status,
            started_ns=state.started_ns,
            ended_ns=state.ended_ns,
            bytes_in=exchange.size,
            bytes_out=exchange.bytes_out,
            streamed=state.streams,
            action="" if call is None else _strictest(call),
            record="" if call is None else call.id,
            code=state.code,
            upstream_ns=0 if call is None else sum([end - start for start, end in call.asks]),
            route=state.route,
            tenant="" if context is None else context.tenant or "",
        )
        for observer in self.observers:
            observer.ended(access)

    def _tell_of_call(self, state: RequestState) -> Told | None:
        """Tell of a guarded call, or of one that was refused, or passed on, before it was looked
        at."""
        guard, refusal, span = state.guard, state.refusal, state.span
        call: Told | None = state.over
        if refusal is not None:
            context = state.context
            if context is None:
                context = self.context(state.exchange, None)
                if guard.telemetry.listens:
                    parent = parent_of(state.exchange.index)
                    span = guard.telemetry.start(Call(Content(), context), parent)
            times = (state.started_ns, state.ended_ns)
            call = RefusedCall(refused_record(guard.policy, context, refusal, *times))
        if call is not None:
            guard.emit(call, span)
        return call


def _preflight(exchange: Exchange) -> bool:
    """Whether a browser asks if it may call a path that is served, which the upstream says."""
    return exchange.method == b"OPTIONS" and surface_of(exchange.path) is not None


def _strictest(call: Told) -> str:
    return str(max([stage.verdict.action for stage in call.looked_at], default=""))
