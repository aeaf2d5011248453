"""One call of a decorated function, sync or async: the caller's side of its flow."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from guardrail.content import Call, Context, Part, Reply
from guardrail.errors import Blocked, ReviewRequired
from guardrail.flow.drivers import NOTHING, OPENED, AsyncCaller, Caller, arun, run
from guardrail.flow.order import Outcome, guarded
from guardrail.flow.steps import Ended, Release
from guardrail.flow.stream import Delta
from guardrail.streamed import AsyncGuardedStream, GuardedStream
from guardrail.telemetry import REQUEST_PARAMETERS
from guardrail.verdict import Action, Verdict

if TYPE_CHECKING:
    from guardrail.guard import Guard
    from guardrail.reading import Answer
    from guardrail.structure import Shape
    from guardrail.structure.answer import TypedAnswer


@dataclass(frozen=True)
class Refusal:
    """What a call that was stopped returns under `on_block="return"`. It is false in tests."""

    message: str
    verdict: Verdict
    record_id: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Options:
    """How a function is guarded; see `Guard.__call__`."""

    prompt: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    processor: Any = None
    on_block: Any = "raise"
    context: Context | Callable[..., Context] | None = None
    output: Shape | None = None


def stop(verdict: Verdict, record_id: str) -> Blocked:
    """The exception for a verdict that stops a call."""
    kind = ReviewRequired if verdict.action is Action.REVIEW else Blocked
    return kind(verdict, record_id)


class _FunctionCall:
    """What sync and async calls share: arguments in, answers and chunks out."""

    def __init__(
        self,
        guard: Guard,
        options: Options,
        function: Callable[..., Any],
        signature: inspect.Signature,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        from guardrail.reading import read_arguments

        self.guard, self.function, self.options = guard, function, options
        self.bound = signature.bind(*args, **kwargs)
        self.bound.apply_defaults()
        self.reading = read_arguments(
            dict(self.bound.arguments),
            only=(*options.prompt, *options.images) or None,
            pictured=options.images,
            keywords=self._keywords(),
            limits=guard.policy.limits,
        )
        call = Call(self.reading.content, self._context(args, kwargs), self._parameters())
        self.span = guard.telemetry.start(call)
        self.flow = guarded(guard.plan, call, guard.runner.cache)
        self.value: Any = None
        self.answer: Answer | None = None
        self.kept: dict[int, Any] = {}
        self.taken = 0
        self.typed = self._typed()

    def emit(self, call: Ended) -> None:
        self.guard.emit(call, self.span)

    def _typed(self) -> TypedAnswer | None:
        if self.options.output is None:
            return None
        from guardrail.structure.answer import TypedAnswer

        return TypedAnswer(self.options.output)

    def _keywords(self) -> str | None:
        """The name of the `**` parameter."""
        parameters = self.bound.signature.parameters.values()
        return next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)

    def _named(self) -> dict[str, Any]:
        """The arguments by name, those of a `**` parameter among them."""
        named: dict[str, Any] = {}
        for name, value in self.bound.arguments.items():
            kind = self.bound.signature.parameters[name].kind
            named |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
        return named

    def _context(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Context:
        given = self.options.context
        context = (given(*args, **kwargs) if callable(given) else given) or Context()
        if not isinstance(context, Context):
            kind = type(context).__name__
            raise TypeError(f"the function under context= gives a Context, not a {kind}")
        model = self._named().get("model")
        if context.model is None and isinstance(model, str):
            context = replace(context, model=model)
        return context

    def _parameters(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self._named().items()
            if name in REQUEST_PARAMETERS and isinstance(value, (bool, int, float))
        }

    def invoke(self, changed: Mapping[str, Part]) -> Any:
        """Call the function with the changed parts written into its arguments."""
        if changed:
            self.bound.arguments.update(self.reading.rebuild(changed))
        return self.function(*self.bound.args, **self.bound.kwargs)

    def forget(self) -> None:
        """Drop what was kept of an earlier answer."""
        self.kept.clear()
        self.taken = 0
        self.answer = self.value = None
        self.typed = self._typed()

    def heard(self, value: Any) -> Reply:
        """Read an answer that came at once."""
        from guardrail.reading import read_answer

        if self.typed is not None:
            return self.typed.whole(value, self.options.processor)
        self.value = value
        limits = self.guard.policy.limits
        self.answer = read_answer(value, processor=self.options.processor, limits=limits)
        return self.answer.reply

    def hold(self, chunk: Any) -> Delta:
        """Read a chunk and keep it until it is released."""
        from guardrail.reading import read_delta

        delta = read_delta(chunk)
        if self.typed is not None:
            delta = self.typed.take(self.taken, delta)
        else:
            self.kept[self.taken] = chunk
        self.taken += 1
        return delta

    def release(self, step: Release) -> Any:
        from guardrail.reading import write_delta

        if self.typed is not None:
            return self.typed.release(step.index, step.texts)
        chunk = self.kept.pop(step.index)
        changed = step.texts or step.pictures
        return write_delta(chunk, step.texts, step.pictures) if changed else chunk

    def result(self, outcome: Outcome) -> Any:
        """What the caller gets for an answer that came at once."""
        if outcome.stopped:
            return self.refused(outcome)
        if self.typed is not None:
            return self.typed.value(outcome.content)
        if outcome.changed and self.answer is not None:
            return self.answer.rebuild(outcome.changed)
        return self.value

    def refused(self, outcome: Outcome) -> Any:
        """What the caller gets for a call that was stopped."""
        on_block = self.options.on_block
        if on_block == "raise":
            raise stop(outcome.verdict, outcome.record.id)
        refusal = Refusal(outcome.verdict.message, outcome.verdict, outcome.record.id)
        if on_block == "return":
            return refusal
        return on_block(refusal) if callable(on_block) else on_block


class _SyncCall(_FunctionCall, Caller):
    source: Iterator[Any] | None = None

    def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        streamed = self.source is not None
        self.forget()
        self.leave()
        with self.guard.telemetry.current(self.span):
            value = self.invoke(changed)
        if streamed and not isinstance(value, Iterator):
            value = iter([value])
        if isinstance(value, Iterator):
            self.source = value
            return None
        return self.heard(value)

    def take(self) -> Delta | None:
        if self.typed is not None and self.typed.hopeless:
            self.leave()
        if self.source is None:
            return None
        with self.guard.telemetry.current(self.span):
            try:
                chunk = next(self.source)
            except StopIteration:
                return None
        return self.hold(chunk)

    def leave(self) -> None:
        """Close the stream of an answer, if there is one."""
        source, self.source = self.source, None
        close = getattr(source, "close", None)
        if close is not None:
            close()

    def close(self) -> None:
        self.reading.close()
        self.leave()

    def stream(self, steps: Generator[Any, None, Outcome]) -> Generator[Any, None, None]:
        """The released chunks; a refusal raises or comes as the last item."""
        outcome = None
        try:
            while outcome is None:
                try:
                    item = next(steps)
                except StopIteration as end:
                    outcome = end.value
                    continue
                if item is not OPENED and item is not NOTHING:
                    yield item
        finally:
            steps.close()
        if outcome.stopped:
            yield self.refused(outcome)
        elif self.typed is not None:
            yield self.result(outcome)

    def start(self) -> Any:
        """Screen, ask, and give back the answer or the stream of it."""
        steps = run(self.flow, self.guard.runner, self)
        try:
            next(steps)
        except StopIteration as end:
            outcome = end.value
        else:
            return GuardedStream(self.stream(steps), steps, self.source)
        return self.result(outcome)


class _AsyncCall(_FunctionCall, AsyncCaller):
    source: AsyncIterator[Any] | None = None
    outcome: Outcome | None = None

    async def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        streamed = self.source is not None
        self.forget()
        await self.leave()
        with self.guard.telemetry.current(self.span):
            value = self.invoke(changed)
            if inspect.isawaitable(value):
                value = await value
        if streamed and not isinstance(value, AsyncIterator):
            value = _only(value)
        if isinstance(value, AsyncIterator):
            self.source = value
            return None
        return self.heard(value)

    async def take(self) -> Delta | None:
        if self.typed is not None and self.typed.hopeless:
            await self.leave()
        if self.source is None:
            return None
        with self.guard.telemetry.current(self.span):
            try:
                chunk = await anext(self.source)
            except StopAsyncIteration:
                return None
        return self.hold(chunk)

    async def leave(self) -> None:
        """Close the stream of an answer, if there is one."""
        source, self.source = self.source, None
        close = getattr(source, "aclose", None) or getattr(source, "close", None)
        if close is not None:
            await _awaited(close())

    async def close(self) -> None:
        self.reading.close()
        await self.leave()

    def ended(self, outcome: Outcome) -> None:
        self.outcome = outcome

    async def stream(self, steps: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The released chunks; a refusal raises or comes as the last item."""
        try:
            async for item in steps:
                if item is not OPENED and item is not NOTHING:
                    yield item
        finally:
            await steps.aclose()
        if self.outcome is not None and self.outcome.stopped:
            yield await _awaited(self.refused(self.outcome))
        elif self.outcome is not None and self.typed is not None:
            yield self.result(self.outcome)

    async def start(self) -> Any:
        """Screen, ask, and give back the answer or the stream of it."""
        steps = arun(self.flow, self.guard.runner, self, self.ended)
        async for _ in steps:
            return AsyncGuardedStream(self.stream(steps), steps, self.source)
        assert self.outcome is not None, "a flow ends with its outcome"
        return await _awaited(self.result(self.outcome))


async def _only(value: Any) -> AsyncIterator[Any]:
    yield value


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _is_coroutine(function: Callable[..., Any]) -> bool:
    """Whether calls give a coroutine: also a method of AsyncOpenAI, which is a coroutine function
    behind a plain one, or an object whose `__call__` is one."""
    candidates = (function, inspect.unwrap(function), type(function).__call__)
    return any(map(inspect.iscoroutinefunction, candidates))


def wrap(guard: Guard, options: Options, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` under `guard`, as the same kind of callable."""
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(wrap(guard, options, function.__func__))
    if not callable(function):
        raise TypeError(
            f"a {type(function).__name__} is no function to guard: options are given by name, "
            "as in @guard(policy=...)"
        )
    signature = inspect.signature(function)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for name in (*options.prompt, *options.images):
        if name not in signature.parameters and not takes_any:
            called_name = getattr(function, "__qualname__", type(function).__name__)
            raise TypeError(f"{called_name}() has no parameter {name!r}")

    def called(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _SyncCall:
        return _SyncCall(guard, options, function, signature, args, kwargs)

    def acalled(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _AsyncCall:
        return _AsyncCall(guard, options, function, signature, args, kwargs)

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        call = acalled(args, kwargs)
        stream = call.stream(arun(call.flow, guard.runner, call, call.ended))
        try:
            async for item in stream:
                yield item
        finally:
            await stream.aclose()

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await acalled(args, kwargs).start()

    def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
        call = called(args, kwargs)
        yield from call.stream(run(call.flow, guard.runner, call))

    def plain(*args: Any, **kwargs: Any) -> Any:
        return called(args, kwargs).start()

    wrapper: Callable[..., Any] = plain
    if inspect.isasyncgenfunction(function):
        wrapper = async_generator
    elif inspect.isgeneratorfunction(function):
        wrapper = generator
    elif _is_coroutine(function):
        wrapper = coroutine
    return functools.wraps(function)(wrapper)
