"""The decorator over all four kinds of callables, and verdicts on their own."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image as Pillow

from guardrail import (
    Action,
    Blocked,
    ContentError,
    Context,
    Guard,
    Image,
    JsonLinesSink,
    Policy,
    Record,
    Refusal,
    ReviewRequired,
    Status,
)
from guardrail.hosting import Told
from guardrail.policy import OnError
from guardrail.record import read_records
from guardrail.testing import (
    CapturedRecords,
    ScriptedModel,
    fixed_detector,
    policy_of,
    rule,
)

BLOCKING = policy_of(rule(fixed_detector({"bad": 0.9})))
REDACTING = policy_of(rule(fixed_detector({"bad": 0.9}), Action.REDACT, replacement="***"))


def png() -> bytes:
    out = BytesIO()
    Pillow.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


class Kinds:
    """The same echo of a prompt as each kind of callable, and how to call each to its end."""

    def __init__(self, guard: Guard, **options: Any) -> None:
        self.called: list[str] = []

        @guard(**options)
        def plain(prompt: str) -> str:
            self.called.append(prompt)
            return prompt

        @guard(**options)
        async def coroutine(prompt: str) -> str:
            self.called.append(prompt)
            return prompt

        @guard(**options)
        def generator(prompt: str) -> Iterator[str]:
            self.called.append(prompt)
            yield from (prompt[i : i + 2] for i in range(0, len(prompt), 2))

        @guard(**options)
        async def async_generator(prompt: str) -> AsyncIterator[str]:
            self.called.append(prompt)
            for i in range(0, len(prompt), 2):
                yield prompt[i : i + 2]

        async def collect(prompt: str) -> list[Any]:
            return [chunk async for chunk in async_generator(prompt)]

        self.kinds = {
            "function": plain,
            "coroutine": lambda prompt: asyncio.run(coroutine(prompt)),
            "generator": lambda prompt: _joined(list(generator(prompt))),
            "async generator": lambda prompt: _joined(asyncio.run(collect(prompt))),
        }


def _joined(chunks: list[Any]) -> Any:
    texts = [chunk for chunk in chunks if isinstance(chunk, str)]
    return "".join(texts) if len(texts) == len(chunks) else chunks[-1]


kinds = pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async generator"])


@kinds
def test_a_clean_call_goes_through(kind: str) -> None:
    records = CapturedRecords()
    calls = Kinds(Guard(BLOCKING, sinks=[records]))
    assert calls.kinds[kind]("hello there") == "hello there"
    assert len(records) == 1
    assert [str(stage.stage) for stage in records.last.stages] == ["input", "output"]


@kinds
def test_a_blocked_input_raises_before_the_call(kind: str) -> None:
    records = CapturedRecords()
    calls = Kinds(Guard(BLOCKING, sinks=[records]))
    with pytest.raises(Blocked) as caught:
        calls.kinds[kind]("a bad thing")
    assert calls.called == []
    assert caught.value.record_id == records.last.id
    assert caught.value.verdict.action is Action.BLOCK
    assert "bad thing" not in str(caught.value)


@kinds
def test_redacted_input_is_what_the_function_gets(kind: str) -> None:
    calls = Kinds(Guard(REDACTING))
    assert calls.kinds[kind]("a bad thing") == "a *** thing"
    assert calls.called == ["a *** thing"]


@kinds
@pytest.mark.parametrize("on_block", ["return", "instead", lambda refusal: refusal.record_id])
def test_what_a_stopped_call_gives_back(kind: str, on_block: Any) -> None:
    records = CapturedRecords()
    calls = Kinds(Guard(BLOCKING, sinks=[records]), on_block=on_block)
    answer = calls.kinds[kind]("bad")
    if on_block == "return":
        assert isinstance(answer, Refusal)
        assert not answer
        assert answer.record_id == records.last.id
    elif on_block == "instead":
        assert answer == "instead"
    else:
        assert answer == records.last.id


OUTPUT_ONLY = rule(fixed_detector({"bad": 0.9}), when=["output"])


def test_a_blocked_answer_is_not_returned() -> None:
    guard = Guard(policy_of(OUTPUT_ONLY))
    model = ScriptedModel(["all bad", "fine"])
    guarded = guard(model.__call__)
    with pytest.raises(Blocked):
        guarded("hello")
    assert guarded("hello") == "fine"


def test_nothing_of_a_blocked_stream_leaves() -> None:
    @Guard(policy_of(OUTPUT_ONLY))
    def stream(prompt: str) -> Iterator[str]:
        yield from ["good so far, ", "b", "ad"]

    seen: list[str] = []
    with pytest.raises(Blocked):
        seen.extend(stream("hi"))
    assert seen == []


def test_a_function_may_return_a_stream() -> None:
    redact = rule(fixed_detector({"bad": 0.9}), Action.REDACT, when=["output"])

    @Guard(policy_of(redact))
    def ask(prompt: str) -> Iterator[dict[str, Any]]:
        pieces = ("a b", "ad b")
        return iter([{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces])

    texts = [chunk["choices"][0]["delta"]["content"] for chunk in ask("hi")]
    assert texts == ["a [bad]", " b"]


def test_an_abandoned_stream_is_recorded_and_closed() -> None:
    records, closed = CapturedRecords(), []

    @Guard(policy_of(), sinks=[records])
    def stream(prompt: str) -> Iterator[str]:
        try:
            yield from "abc"
        finally:
            closed.append(True)

    chunks = stream("hi")
    assert next(chunks) == "a"
    chunks.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert records.last.error == "Abandoned"


async def test_a_cancelled_call_is_recorded() -> None:
    records = CapturedRecords()
    started = asyncio.Event()

    @Guard(policy_of(), sinks=[records])
    async def ask(prompt: str) -> str:
        started.set()
        await asyncio.sleep(60)
        return "late"

    task = asyncio.create_task(ask("hi"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert records.last.error == "Abandoned"


async def test_sync_guards_work_inside_a_running_loop() -> None:
    guard = Guard(BLOCKING)
    assert guard.screen("bad").action is Action.BLOCK
    assert (await guard.ascreen("bad")).action is Action.BLOCK


def test_what_the_function_raises_comes_through() -> None:
    records = CapturedRecords()
    guard = Guard(policy_of(), sinks=[records])
    guarded = guard(ScriptedModel([ValueError("theirs")]).__call__)
    with pytest.raises(ValueError, match="theirs"):
        guarded("hello")
    assert records.last.error == "ValueError"
    assert "theirs" not in str(records.last.to_dict())


def test_what_cannot_be_read_is_never_passed_on() -> None:
    called: list[Any] = []

    @Guard(policy_of())
    def ask(prompt: str, thing: Any) -> str:
        called.append(thing)
        return "answer"

    with pytest.raises(ContentError, match="name the parameters"):
        ask("hi", object())
    assert called == []


def test_nothing_of_the_content_stands_in_a_traceback() -> None:
    async def coroutine(prompt: str) -> str:
        return "answer"

    async def agen(prompt: str) -> AsyncIterator[str]:
        yield "answer"

    def generator(prompt: str) -> Iterator[str]:
        yield "answer"

    def plain(prompt: str) -> str:
        return "answer"

    async def drained(stream: AsyncIterator[str]) -> list[str]:
        return [item async for item in stream]

    guard = Guard(BLOCKING)
    said = "bad words of mine"
    calls: list[Callable[[], Any]] = [
        lambda: guard(plain)(said),
        lambda: list(guard(generator)(said)),
        lambda: asyncio.run(guard(coroutine)(said)),  # type: ignore[arg-type]
        lambda: asyncio.run(drained(guard(agen)(said))),
    ]
    for call in calls:
        with pytest.raises(Blocked) as stopped:
            call()
        shown = traceback.TracebackException.from_exception(stopped.value, capture_locals=False)
        assert "words of mine" not in "".join(shown.format())
        assert stopped.value.__context__ is None
    screening = guard.screen(said)
    assert "words of mine" not in repr(screening)


def test_named_parameters_are_enough() -> None:
    @Guard(BLOCKING)(prompt="question", images="shot")
    def ask(question: str, shot: bytes, extra: Any) -> str:
        return "answer"

    assert ask("fine", png(), object()) == "answer"
    with pytest.raises(Blocked):
        ask("bad", png(), object())
    with pytest.raises(TypeError, match="no parameter 'typo'"):
        Guard(BLOCKING)(prompt="typo")(lambda question: question)


def test_review_is_an_exception_of_its_own() -> None:
    guard = Guard(policy_of(rule(fixed_detector({"bad": 0.9}), Action.REVIEW)))
    with pytest.raises(ReviewRequired):
        guard.screen("bad").raise_if_stopped()
    guard.screen("good").raise_if_stopped()


def test_screen_and_check_give_edited_content() -> None:
    guard = Guard(REDACTING)
    screening = guard.screen("a bad b", [png()], tool="bad too", system="be good")
    assert {part.name: part.text for part in screening.content.texts} == {
        "system": "be good",
        "prompt": "a *** b",
        "tool": "*** too",
    }
    assert [image.name for image in screening.content.images] == ["images/0"]
    assert guard.check("so bad").content.texts[0].text == "so ***"


def test_a_second_look_comes_from_the_cache() -> None:
    guard = Guard(policy_of(rule(fixed_detector({"x": 0.9}, reads="image"))))
    first, second = guard.screen(images=[png()]), guard.screen(images=[png(), png()])
    assert not any(run.cached for run in first.record.stages[0].checks)
    assert all(run.cached for run in second.record.stages[0].checks)


def test_scope_sees_the_model_and_the_given_context() -> None:
    records = CapturedRecords()

    def whose(prompt: str, model: str) -> Context:
        return Context(tenant="clinic", user=prompt)

    @Guard(BLOCKING, sinks=[records])(context=whose)
    def ask(prompt: str, model: str) -> str:
        return "answer"

    ask("hi", "qwen")
    assert records.last.context == Context(tenant="clinic", user="hi", model="qwen")


def test_a_sink_that_fails_harms_no_call(caplog: pytest.LogCaptureFixture) -> None:
    def broken(record: Record) -> None:
        raise OSError("disk of secrets")

    records = CapturedRecords()
    assert Guard(policy_of(), sinks=[broken, records]).screen("hi").action is Action.ALLOW
    assert len(records) == 1
    assert "OSError" in caplog.text
    assert "secrets" not in caplog.text


def test_a_listener_is_told_of_calls_and_harms_none() -> None:
    calls: list[Told] = []

    def broken(call: Told) -> None:
        raise OSError("disk of secrets")

    guard = Guard(BLOCKING, listeners=[broken, calls.append])
    ids = [guard.screen(text).record.id for text in ("one", "bad two")]
    assert [call.id for call in calls] == ids
    actions = [stage.verdict.action for call in calls for stage in call.looked_at]
    assert actions == [Action.ALLOW, Action.BLOCK]


def test_a_record_that_is_cut_off_by_a_full_disk_does_not_spoil_the_next(tmp_path: Any) -> None:
    sink, guard = JsonLinesSink(tmp_path / "records.jsonl"), Guard(BLOCKING)
    first, second, third = (guard.screen("hello").record for _ in range(3))
    sink(first)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sink.path.stat().st_size + 50, hard))
    try:
        with pytest.raises(OSError, match="No space left"):
            sink(second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    sink(third)
    assert [row["id"] for row in read_records(sink.path)] == [first.id, third.id]


def test_records_are_written_as_lines(tmp_path: Any) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    guard = Guard(BLOCKING, sinks=[JsonLinesSink(path)])
    ids = [guard.screen(text).record.id for text in ("one", "bad two")]
    with path.open("a") as out:
        out.write('{"cut off')
    kept = list(read_records(path))
    assert [record["id"] for record in kept] == ids
    assert kept[1]["stages"][0]["action"] == "block"
    assert "bad two" not in path.read_text()


def test_a_slow_check_is_not_run_and_counts_under_on_error() -> None:
    slow = rule(fixed_detector({}, name="slow", seconds=5), timeout_ms=50)
    closed = Guard(policy_of(slow)).screen("hi")
    assert closed.action is Action.BLOCK
    assert closed.verdict.rules[1].status is Status.NOT_RUN
    opened = Guard(policy_of(slow, on_error=OnError(Action.FLAG))).screen("hi")
    assert opened.action is Action.FLAG


def test_a_policy_in_python_needs_no_file() -> None:
    assert Guard(Policy(id="empty")).screen("anything").action is Action.ALLOW


def test_a_known_picture_keeps_its_sha256() -> None:
    """It comes with what the cache keeps of the picture, which is found by another digest."""
    guard, data = Guard(policy_of(rule(fixed_detector({"bad": 1.0})))), png()
    fresh, known = (guard.screen(images=[data]).record.stages[0].parts[0] for _ in range(2))
    assert fresh == known
    assert fresh.digest == hashlib.sha256(data).hexdigest()
    assert "sha256" not in (fresh.picture or {})
    one, other = b"k" * 32, b"l" * 32
    assert Image(data).digest(one) == Image(data, role="tool").digest(one)
    assert Image(data).digest(one) != Image(data).digest(other)
