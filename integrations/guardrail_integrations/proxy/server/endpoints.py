"""The proxy's own paths: health, verdicts without a model, and the documents about them."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from guardrail import ContentError, Image
from guardrail.hosting import (
    Call,
    Content,
    Context,
    Ended,
    Outcome,
    RuleResult,
    Stage,
    Status,
    Text,
    aplay,
    finding_dict,
    screened_only,
)
from guardrail_integrations.proxy.call.attachments import prepare, weighed
from guardrail_integrations.proxy.call.request_body import plain_body, whole_body
from guardrail_integrations.proxy.formats.json_body import BadJson, read_json
from guardrail_integrations.proxy.http.compression import Unreadable
from guardrail_integrations.proxy.reading.extraction import Extraction
from guardrail_integrations.proxy.server.openapi import (
    CheckBody,
    ModerationBody,
    ScreenBody,
    document,
)
from guardrail_integrations.proxy.surfaces import chat
from guardrail_integrations.proxy.verdicts.proxy_rules import Note, with_notes
from guardrail_integrations.proxy.verdicts.refusals import Refused, refused, sentence, unavailable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from guardrail_integrations.proxy.http.exchange import Exchange
    from guardrail_integrations.proxy.server.app import Endpoint, Proxy

M = TypeVar("M", bound="BaseModel")

# OpenAI's categories; those that no check of the policy covers are null, not false.
_MODERATION = """harassment harassment/threatening hate hate/threatening illicit illicit/violent
self-harm self-harm/instructions self-harm/intent sexual sexual/minors violence
violence/graphic""".split()
_SAME_AS = {"nsfw": "sexual"}


def answer_json(exchange: Exchange, value: Any, status: int = 200) -> None:
    """Answer with JSON."""
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    kind = (b"content-type", b"application/json")
    exchange.answer(status, [kind, (b"content-length", b"%d" % len(body))], body)


def _only(*methods: bytes) -> Callable[[Endpoint], Endpoint]:
    """Refuse other methods."""

    def wrap(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def checked(proxy: Proxy, exchange: Exchange) -> None:
            if exchange.method not in methods:
                refusal = refused(405, "method_not_allowed", "This path has no such method.")
                raise Refused(refusal.refusal, [(b"allow", b", ".join(methods))])
            await endpoint(proxy, exchange)

        return checked

    return wrap


@_only(b"GET", b"HEAD")
async def healthz(proxy: Proxy, exchange: Exchange) -> None:
    """The process answers."""
    answer_json(exchange, {"status": "ok"})


@_only(b"GET", b"HEAD")
async def readyz(proxy: Proxy, exchange: Exchange) -> None:
    """Models are loaded, and the test inputs of each category still trigger their checks."""
    state = await proxy.readiness.get(proxy.rules.guard)
    ready = proxy.ready and not proxy.capacity.draining and not state
    reasons = list(state)
    if not proxy.ready:
        reasons.append("models are loading")
    if proxy.capacity.draining:
        reasons.append("shutting down")
    policy = proxy.rules.guard.policy
    about = {"id": policy.id, "version": policy.version}
    answer_json(
        exchange,
        {"status": "ready" if ready else "not ready", "reasons": reasons, "policy": about},
        200 if ready else 503,
    )


@asynccontextmanager
async def _body(
    proxy: Proxy, exchange: Exchange, model: type[M]
) -> AsyncIterator[tuple[M, Extraction]]:
    """The body of one of our own calls, which keeps to the same limits as others. Raises
    Refused."""
    proxy.capacity.admit()
    yield _as(model, proxy, exchange, await whole_body(exchange, proxy.capacity))


def _as(model: type[M], proxy: Proxy, exchange: Exchange, raw: bytes) -> tuple[M, Extraction]:
    try:
        body = read_json(plain_body(exchange, proxy.capacity, raw))
        read = model.model_validate(body.root)
    except Unreadable as error:
        raise refused(415, "unsupported_encoding", sentence(error)) from None
    except BadJson as error:
        raise refused(400, "malformed_body", sentence(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise refused(400, "invalid_body", f"{place or 'body'}: {first['msg']}", place) from None
    return read, Extraction(body, proxy.rules.guard.policy.limits, proxy.pictures)


def _reading(read: Callable[[], None]) -> None:
    try:
        read()
    except ContentError as error:
        raise refused(400, error.code, f"{error}.", error.part) from None
    except BadJson as error:
        raise refused(400, "malformed_body", sentence(error)) from None


async def _judged(
    proxy: Proxy,
    stage: Stage,
    content: Content,
    context: Context,
    results: list[RuleResult],
    beside: Content | None = None,
) -> Outcome:
    guard = proxy.rules.guard
    call = Call(content if beside is None else beside, context)
    span, notes = guard.telemetry.start(call), [Note(stage, result) for result in results]

    def emit(ended: Ended) -> None:
        ended.amend = lambda record: with_notes(record, notes)
        guard.emit(ended, span)

    flow = screened_only(guard.plan, call, stage, content, guard.runner.cache, thorough=True)
    shown = any(isinstance(part, Image) for part in (*content.parts, *call.content.parts))
    with proxy.capacity.picture_call() if shown else nullcontext():
        outcome = await aplay(flow, guard.runner, emit)
    return replace(outcome, verdict=outcome.record.stages[0].verdict)


def _input(found: Extraction, body: ScreenBody | CheckBody) -> None:
    root = found.body.root
    if body.system is not None:
        found.text(root["system"], ("system",), "system")
    if body.prompt is not None:
        found.text(root["prompt"], ("prompt",))
    if body.tool is not None:
        found.text(root["tool"], ("tool",), "tool", "tool")
    for index, url in enumerate(root.get("images") or ()):
        found.picture_url(url, ("images", index))
    if body.messages:
        chat.read({"messages": root["messages"]}, found)


@_only(b"POST")
async def screen(proxy: Proxy, exchange: Exchange) -> None:
    """A verdict on an input."""
    async with _body(proxy, exchange, ScreenBody) as (body, found):
        _reading(lambda: _input(found, body))
        content, results = await _resolved(proxy, found)
        context = _context(proxy, exchange, body.model)
        _verdict(exchange, await _judged(proxy, Stage.INPUT, content, context, results), found)


@_only(b"POST")
async def check(proxy: Proxy, exchange: Exchange) -> None:
    """A verdict on an answer; the input beside it is for reference."""
    async with _body(proxy, exchange, CheckBody) as (body, found):
        _reading(lambda: _input(found, body))
        beside, results = await _resolved(proxy, found)
        found.parts.clear()
        found.unscreenable.clear()
        _reading(lambda: found.rest(found.body.root["output"], ("output",), "assistant", "model"))
        results += weighed(proxy.rules.guard.policy, found.unscreenable)
        context = _context(proxy, exchange, body.model)
        content = Content(tuple(found.parts))
        outcome = await _judged(proxy, Stage.OUTPUT, content, context, results, beside)
        _verdict(exchange, outcome, found)


async def _resolved(proxy: Proxy, found: Extraction) -> tuple[Content, list[RuleResult]]:
    made = await prepare(found, proxy.rules.guard.policy, proxy.fetcher)
    return Content((*found.parts, *made.parts)), made.results


def _context(proxy: Proxy, exchange: Exchange, model: str | None) -> Context:
    return proxy.context(exchange, model)


def _verdict(exchange: Exchange, outcome: Outcome, found: Extraction) -> None:
    verdict = outcome.verdict
    changed = {name: part.text for name, part in outcome.changed.items() if isinstance(part, Text)}
    answer_json(
        exchange,
        {
            "id": outcome.record.id,
            "action": str(verdict.action),
            "reason": verdict.reason,
            "message": verdict.message,
            "rules": [
                {
                    "id": result.rule,
                    "status": str(result.status),
                    "action": str(result.action),
                    "would": str(result.would),
                    "reason": result.reason,
                }
                for result in verdict.rules
            ],
            "findings": [finding_dict(finding) for finding in verdict.findings],
            "changed": changed,
        },
    )


@_only(b"POST")
async def moderations(proxy: Proxy, exchange: Exchange) -> None:
    """OpenAI's Moderations, by the checks of the policy."""
    async with _body(proxy, exchange, ModerationBody) as (body, found):
        await _moderate(proxy, exchange, body, found)


async def _moderate(
    proxy: Proxy, exchange: Exchange, body: ModerationBody, found: Extraction
) -> None:
    given = found.body.root["input"]
    results = []
    items = given if isinstance(given, list) else [given]
    together = bool(items) and isinstance(items[0], dict)
    context = _context(proxy, exchange, body.model)
    for index, item in enumerate([items] if together else items):
        one = Extraction(found.body, found.limits, found.seen)
        _reading(functools.partial(_moderated, item, index, one))
        content, unseen = await _resolved(proxy, one)
        results.append(_result(await _judged(proxy, Stage.INPUT, content, context, unseen)))
    identity = f"modr-{len(results)}" if not results else results[0].pop("record")
    for result in results[1:]:
        result.pop("record")
    answer_json(exchange, {"id": identity, "model": body.model or "guardrail", "results": results})


def _moderated(item: Any, index: int, found: Extraction) -> None:
    if isinstance(item, list):
        chat.read({"messages": [{"role": "user", "content": item}]}, found)
    else:
        found.text(item, ("input", index))


def _result(outcome: Outcome) -> dict[str, Any]:
    """One result. A check that did not run gives no result at all, but 503."""
    if any(r.status in (Status.NOT_RUN, Status.ERROR) for r in outcome.verdict.rules):
        raise Refused(unavailable(outcome))
    scores: dict[str, Any] = dict.fromkeys(_MODERATION)
    flagged: dict[str, Any] = dict.fromkeys(_MODERATION)
    kinds: dict[str, list[str]] = {}
    for stage in outcome.record.stages:
        pictures = {part.name for part in stage.parts if part.kind == "image"}
        for run in stage.checks:
            picture = run.part.partition("#")[0] in pictures
            for label, score in run.best:
                name = _SAME_AS.get(label, label)
                scores[name] = max(scores.get(name) or 0.0, round(score, 4))
                flagged.setdefault(name, False)
                kinds.setdefault(name, []).append("image" if picture else "text")
    hit = {finding.label for finding in outcome.verdict.findings}
    for rule in outcome.verdict.rules:
        for finding in rule.findings:
            hit.add(finding.label)
    for label in hit:
        flagged[_SAME_AS.get(label, label)] = True
    for name, score in scores.items():
        if score is not None and not flagged.get(name):
            flagged[name] = False
    return {
        "record": outcome.record.id,
        "flagged": bool(hit),
        "categories": flagged,
        "category_scores": scores,
        "category_applied_input_types": {name: sorted(set(kinds.get(name, []))) for name in scores},
    }


@_only(b"GET", b"HEAD")
async def openapi(proxy: Proxy, exchange: Exchange) -> None:
    """The OpenAPI document of these paths."""
    answer_json(exchange, document())


ENDPOINTS: Mapping[str, Endpoint] = {
    "/healthz": healthz,
    "/readyz": readyz,
    "/openapi.json": openapi,
    "/v1/moderations": moderations,
    "/v1/guard/screen": screen,
    "/v1/guard/check": check,
}
