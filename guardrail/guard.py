"""Guard: a policy put around calls, as a decorator or asked for a verdict."""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from guardrail.cache import Cache, Digester, MemoryCache
from guardrail.calls import Options, stop, wrap
from guardrail.content import Call, Content, Context, Limits, Part, Text
from guardrail.detector import Stage
from guardrail.errors import ContentError
from guardrail.flow.drivers import aplay, play
from guardrail.flow.order import Flow, screened_only
from guardrail.flow.plan import Plan
from guardrail.flow.pools import Pools
from guardrail.flow.runner import Runner
from guardrail.flow.steps import Ended, Told
from guardrail.policy import LIMITS_RULE, Policy, Rule
from guardrail.rates import Rates
from guardrail.record import Record, Sink
from guardrail.telemetry import Telemetry
from guardrail.verdict import Action, Finding, Verdict

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from guardrail.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_log = logging.getLogger("guardrail")


@dataclass(frozen=True)
class Screening:
    """The answer to `screen` and `check`. `content` has the policy's edits made."""

    verdict: Verdict
    content: Content
    record: Record

    @property
    def action(self) -> Action:
        """The action of the verdict."""
        return self.verdict.action

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the enforced rules found."""
        return self.verdict.findings

    def raise_if_stopped(self) -> None:
        """Raise Blocked or ReviewRequired where the verdict stops a call."""
        if self.verdict.action.stops:
            raise stop(self.verdict, self.record.id)


class Guard:
    """A policy with its detectors, cache and sinks, ready to be put around calls.

    `policy` is the name of a shipped policy, a path to a YAML file, a mapping of the same shape,
    or a Policy. A `sink` is called with the Record of every call; what it raises is logged by
    type and goes no further; so for `listeners`, which are told of calls without a record being
    made of them. `cache` keeps results of checks; `digest_key` is the secret for its
    keys when several processes share it. `workers` gives it so many threads of its own for checks
    of text, and as many for those of pictures; otherwise all guards share theirs. Safe to use from
    several threads and event loops at once.
    """

    def __init__(
        self,
        policy: Policy | str | Path | Mapping[str, Any] = "default",
        *,
        registry: Registry | None = None,
        sinks: Sequence[Sink] = (),
        listeners: Sequence[Callable[[Told], None]] = (),
        cache: Cache | None = None,
        digest_key: bytes | None = None,
        workers: int | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if not isinstance(policy, Policy):
            from guardrail.policy.load import load_policy

            policy = load_policy(policy, registry=registry)
        self.policy = policy
        self.sinks, self.listeners = tuple(sinks), tuple(listeners)
        self.telemetry = Telemetry(tracer_provider, meter_provider)
        self.rates = Rates()
        self.plan = Plan(self.policy, Digester(digest_key))
        pools = None if workers is None else Pools.of(workers)
        self.runner = Runner(MemoryCache() if cache is None else cache, pools, self.plan.digester)

    def with_rules(self, *rules: Rule) -> Guard:
        """This guard with more rules, made in Python; cache, sinks and threads are shared.

        Raises ValueError for an id that the policy has already.
        """
        ids = [LIMITS_RULE, *(rule.id for rule in (*self.policy.rules, *rules))]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two rules have one id: {', '.join(sorted(ids))}")
        other = copy.copy(self)
        other.policy = replace(self.policy, rules=(*self.policy.rules, *rules))
        other.plan = Plan(other.policy, self.plan.digester)
        return other

    @overload
    def __call__(
        self,
        function: F,
        /,
        *,
        prompt: str | Sequence[str] = (),
        images: str | Sequence[str] = (),
        processor: Any = None,
        on_block: Any = "raise",
        context: Context | Callable[..., Context] | None = None,
    ) -> F: ...

    @overload
    def __call__(
        self,
        function: None = None,
        /,
        *,
        prompt: str | Sequence[str] = (),
        images: str | Sequence[str] = (),
        processor: Any = None,
        on_block: Any = "raise",
        context: Context | Callable[..., Context] | None = None,
    ) -> Callable[[F], F]: ...

    @overload
    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        output: Any,
        ask_again: int = 1,
        prompt: str | Sequence[str] = (),
        images: str | Sequence[str] = (),
        processor: Any = None,
        on_block: Any = "raise",
        context: Context | Callable[..., Context] | None = None,
    ) -> Any: ...

    def __call__(
        self,
        function: Any = None,
        /,
        *,
        prompt: str | Sequence[str] = (),
        images: str | Sequence[str] = (),
        processor: Any = None,
        on_block: Any = "raise",
        context: Context | Callable[..., Context] | None = None,
        output: Any = None,
        ask_again: int = 1,
    ) -> Any:
        """Put the guard around a function, coroutine function, generator or async generator.

        Prompts and pictures are found in the arguments; `prompt` and `images` name the parameters
        to look at instead, and a string under one of `images` is a path, data URL or base64.
        `processor` (a transformers processor or tokenizer) turns answers of tokens into text.
        `on_block` is "raise" (Blocked, ReviewRequired), "return" (a Refusal), or what to answer
        instead: a value, or a function of the Refusal. `context` says whose call it is, as a
        Context or a function of the call's arguments.

        `output` is a pydantic model, dataclass, TypedDict, other type, or a JSON Schema as a
        mapping: calls then return the model's answer as a value of that type, and streams yield
        the value as far as it has come, the whole one last. An answer that does not fit is asked
        for again, at most `ask_again` times, and blocked after that. Raises SchemaError for an
        output that cannot be used, ValueError for `ask_again` outside 0 to 5.

        Calls raise ContentError for arguments and answers that cannot be read.
        """
        if context is not None and not (isinstance(context, Context) or callable(context)):
            raise TypeError(f"context is a Context or a function, not a {type(context).__name__}")
        options = Options(
            (prompt,) if isinstance(prompt, str) else tuple(prompt),
            (images,) if isinstance(images, str) else tuple(images),
            processor,
            on_block,
            context,
        )
        guard = self
        if output is not None:
            from guardrail.structure import shape_of
            from guardrail.structure.answer import rules_of

            shape = shape_of(output)
            options = replace(options, output=shape)
            guard = self.with_rules(*rules_of(shape, ask_again))
        if function is None:
            return functools.partial(wrap, guard, options)
        return wrap(guard, options, function)

    def screen(
        self,
        prompt: str | None = None,
        images: Any = None,
        *,
        tool: str | None = None,
        system: str | None = None,
        messages: Sequence[Any] | None = None,
        pdfs: Sequence[bytes | Path] = (),
        context: Context | None = None,
        thorough: bool = False,
    ) -> Screening:
        """Screen an input. `images` takes whatever the decorator takes for pictures.

        Of each of the `pdfs` the pages are screened and the text beneath them (see
        `guardrail.pdf.read_pdf`), which takes the extra "pdf".

        `thorough` runs every check, also those that a stopped call would skip.
        """
        call = self._with_pdfs(self._call(prompt, images, tool, system, messages, context), pdfs)
        return self._play(call, Stage.INPUT, call.content, thorough)

    async def ascreen(
        self,
        prompt: str | None = None,
        images: Any = None,
        *,
        tool: str | None = None,
        system: str | None = None,
        messages: Sequence[Any] | None = None,
        pdfs: Sequence[bytes | Path] = (),
        context: Context | None = None,
        thorough: bool = False,
    ) -> Screening:
        """`screen` on an event loop."""
        call = self._call(prompt, images, tool, system, messages, context)
        if pdfs:
            import asyncio

            call = await asyncio.to_thread(self._with_pdfs, call, pdfs)
        return await self._aplay(call, Stage.INPUT, call.content, thorough)

    def check(
        self,
        output: Any,
        *,
        prompt: str | None = None,
        images: Any = None,
        system: str | None = None,
        tool: str | None = None,
        processor: Any = None,
        context: Context | None = None,
        thorough: bool = False,
    ) -> Screening:
        """Check an answer; the input beside it is for reference only and not screened."""
        call = self._call(prompt, images, tool, system, None, context)
        return self._play(
            call, Stage.OUTPUT, _answer(output, processor, self.policy.limits), thorough
        )

    async def acheck(
        self,
        output: Any,
        *,
        prompt: str | None = None,
        images: Any = None,
        system: str | None = None,
        tool: str | None = None,
        processor: Any = None,
        context: Context | None = None,
        thorough: bool = False,
    ) -> Screening:
        """`check` on an event loop."""
        call = self._call(prompt, images, tool, system, None, context)
        return await self._aplay(
            call, Stage.OUTPUT, _answer(output, processor, self.policy.limits), thorough
        )

    def warm(self) -> None:
        """Load every model the policy needs; raises what the first check would report."""
        for load in self.plan.loading.values():
            load()

    def emit(self, call: Told, span: Span | None) -> None:
        """Tell listeners, telemetry and sinks of a call; it never fails for their sake. Its record
        is made for the latter two."""
        rates = self.rates.observe(self.policy, call.looked_at) if self.policy.watched else ()
        for rate in rates:
            if rate.alert:
                _log.warning(
                    "alert: rule %s hit %.1f%% of its last %d results, over %.1f%%",
                    *(rate.rule, 100 * rate.share, rate.count, 100 * rate.over),
                )
        for listener in self.listeners:
            _deliver(listener, call)
        if self.telemetry.takes(span):
            _deliver(lambda record: self.telemetry.finish(span, record, rates), call.record)
        for sink in self.sinks:
            _deliver(sink, call.record)

    def _emitting(self, span: Span | None) -> Callable[[Ended], None]:
        return lambda call: self.emit(call, span)

    def _play(self, call: Call, stage: Stage, content: Content, thorough: bool) -> Screening:
        emit = self._emitting(self.telemetry.start(call))
        outcome = play(self._flow(call, stage, content, thorough), self.runner, emit)
        return Screening(outcome.verdict, outcome.content, outcome.record)

    async def _aplay(self, call: Call, stage: Stage, content: Content, thorough: bool) -> Screening:
        emit = self._emitting(self.telemetry.start(call))
        outcome = await aplay(self._flow(call, stage, content, thorough), self.runner, emit)
        return Screening(outcome.verdict, outcome.content, outcome.record)

    def _flow(self, call: Call, stage: Stage, content: Content, thorough: bool) -> Flow:
        return screened_only(self.plan, call, stage, content, self.runner.cache, thorough=thorough)

    def _call(
        self,
        prompt: str | None,
        images: Any,
        tool: str | None,
        system: str | None,
        messages: Sequence[Any] | None,
        context: Context | None,
    ) -> Call:
        from guardrail.reading import read_arguments

        given = {"system": system, "prompt": prompt, "messages": messages, "images": images}
        named = {name: value for name, value in given.items() if value is not None}
        with read_arguments(named, only=named, limits=self.policy.limits) as reading:
            parts: tuple[Part, ...] = reading.content.parts
        if tool is not None:
            if not isinstance(tool, str):
                raise ContentError(
                    "tool", "unreadable_argument", f"a text, not a {type(tool).__name__}"
                )
            parts += (Text(tool, name="tool", role="tool", source="tool"),)
        return Call(Content(parts), context or Context())

    def _with_pdfs(self, call: Call, pdfs: Sequence[bytes | Path]) -> Call:
        if not pdfs:
            return call
        from guardrail.pdf import read_pdf

        parts = list(call.content.parts)
        for place, given in enumerate(pdfs):
            data = given.read_bytes() if isinstance(given, Path) else given
            parts += read_pdf(data, name=f"pdfs/{place}", limits=self.policy.limits)
        return replace(call, content=Content(tuple(parts)))


def _deliver(sink: Callable[[T], object], told: T) -> None:
    try:
        sink(told)
    except Exception as error:
        _log.warning("a record was not delivered: %s", type(error).__name__)


def _answer(output: Any, processor: Any, limits: Limits) -> Content:
    from guardrail.reading import read_answer

    return read_answer(output, processor=processor, limits=limits).reply.content


@functools.lru_cache(maxsize=32)
def _shared(policy: str | Path) -> Guard:
    return Guard(policy)


@overload
def guard(
    function: F,
    /,
    *,
    policy: Policy | str | Path | Mapping[str, Any] = "default",
    prompt: str | Sequence[str] = (),
    images: str | Sequence[str] = (),
    processor: Any = None,
    on_block: Any = "raise",
    context: Context | Callable[..., Context] | None = None,
) -> F: ...


@overload
def guard(
    *,
    policy: Policy | str | Path | Mapping[str, Any] = "default",
    prompt: str | Sequence[str] = (),
    images: str | Sequence[str] = (),
    processor: Any = None,
    on_block: Any = "raise",
    context: Context | Callable[..., Context] | None = None,
) -> Callable[[F], F]: ...


@overload
def guard(
    function: Callable[..., Any] | None = None,
    /,
    *,
    output: Any,
    ask_again: int = 1,
    policy: Policy | str | Path | Mapping[str, Any] = "default",
    prompt: str | Sequence[str] = (),
    images: str | Sequence[str] = (),
    processor: Any = None,
    on_block: Any = "raise",
    context: Context | Callable[..., Context] | None = None,
) -> Any: ...


def guard(
    function: Any = None,
    /,
    *,
    policy: Policy | str | Path | Mapping[str, Any] = "default",
    **options: Any,
) -> Any:
    """The decorator for everyday use: `@guard`, or `@guard(policy="strict")`.

    Functions under the same policy share one Guard. For sinks, a cache of your own or plug-ins
    given in Python, make a `Guard` and decorate with that. Options are those of `Guard`'s
    decorator.
    """
    one = _shared(policy) if isinstance(policy, (str, Path)) else Guard(policy)
    return one(function, **options)
