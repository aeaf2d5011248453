"""The fast path through a call tells and does the same as the whole way."""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from guardrail import Action, Call, Content, Image, Text
from guardrail.cache import Digester, MemoryCache
from guardrail.content import Context, Limits, Part, Reply, Usage
from guardrail.detector import Detector, Stage, View
from guardrail.flow.drivers import AsyncCaller, arun
from guardrail.flow.fast_path import begin
from guardrail.flow.order import Outcome, whole
from guardrail.flow.plan import FastPath, Plan
from guardrail.flow.recorder import Recorder
from guardrail.flow.runner import Runner
from guardrail.flow.steps import Ended, Release
from guardrail.flow.stream import Delta
from guardrail.policy import Mode, Rule, Scope
from guardrail.record import LookedAt
from guardrail.testing import fixed_detector, fixed_extractor, policy_of, rule
from guardrail.verdict import Finding, Verdict

WORDS = {"bad": 0.9, "weak": 0.2}
SAYINGS = ["hello", "a weak word", "so bad", '{"a": "\\u0062ad"}', "", "x" * 5_000]


@functools.cache
def picture(mark: str) -> bytes:
    out, about = io.BytesIO(), PngInfo()
    about.add_text("mark", mark)
    Pillow.new("RGB", (8, 8), "navy").save(out, "PNG", pnginfo=about)
    return out.getvalue()


EXTRACTOR = fixed_extractor(
    {
        f"says {text}".encode(): Text(text, name="#ocr", source="image:ocr")
        for text in ("hello", "bad", "weak")
    }
)
MARKS = ["nothing", "weak", "bad", "says hello", "says bad", "says weak"]


Way = Literal["inline", "quick", "worker"]


def quick(detector: Detector) -> Detector:
    """A detector that is quick with short texts."""

    def look(view: View) -> Sequence[Finding] | None:
        short = all(len(text.text) < 12 for text in view.texts)
        return detector.run(view) if short else None

    return replace(detector, quick=look)


def rules(way: Way, action: Action, mode: Mode, together: Way | None = None) -> list[Rule]:
    text = fixed_detector(WORDS, name="text", inline=way == "inline")
    given = [
        rule(quick(text) if way == "quick" else text, action, mode=mode),
        rule(fixed_detector({"other": 0.9}, name="more", inline=True)),
        rule(fixed_detector(WORDS, name="seen", reads="image"), action, mode=mode),
    ]
    if together is not None:
        call = fixed_detector(WORDS, name="together")
        call = replace(call, spec=replace(call.spec, scope="call"))
        given.append(rule(quick(call) if together == "quick" else call, action, mode=mode))
    return given


class Model(AsyncCaller):
    """Answers with a reply, with pieces of a stream, or with an error."""

    def __init__(self, says: str | list[str] | Exception) -> None:
        self.says = says
        self.asked: list[Mapping[str, Part]] = []
        self.over: list[Ended] = []
        self.closed = 0
        self.poured: list[str] = []
        self.pieces = iter(says if isinstance(says, list) else ())
        self.outcome: Outcome | None = None

    def emit(self, call: Ended) -> None:
        self.over.append(call)

    async def ask(self, changed: Mapping[str, Part]) -> Reply | None:
        self.asked.append(changed)
        if isinstance(self.says, Exception):
            raise self.says
        if isinstance(self.says, list):
            return None
        part = Text(self.says, name="output", role="assistant", source="model")
        return Reply(Content((part,)), Usage(3, 4), "stop", "m", "i")

    async def take(self) -> Delta | None:
        piece = next(self.pieces, None)
        return None if piece is None else Delta((("output", piece),))

    async def pour(self) -> Reply:
        self.poured += self.pieces
        return Reply(Content(), Usage(1), "stop", "m", "i")

    def release(self, step: Release) -> Any:
        return step.texts or step.index

    async def close(self) -> None:
        self.closed += 1

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Screening(Plan):
    """Knows no fast path."""

    def fast_path_of(self, parts: Sequence[Part]) -> FastPath | None:
        return None


async def fast(recorder: Recorder, runner: Runner, model: Model) -> list[Any]:
    steps = await begin(recorder, runner, model, model.end)
    return [] if steps is None else [item async for item in steps]


async def whole_way(recorder: Recorder, runner: Runner, model: Model) -> list[Any]:
    return [item async for item in arun(whole(recorder), runner, model, model.end)]


def decided(verdict: Verdict) -> Verdict:
    """A verdict without what stayed below all thresholds, which the record alone has to tell."""
    return replace(verdict, rules=tuple([replace(one, below=()) for one in verdict.rules]))


def counted(stages: Sequence[LookedAt]) -> list[tuple[Any, ...]]:
    """What who only counts calls takes from their stages."""
    return [
        (
            stage.stage,
            decided(stage.verdict),
            sorted((c.name, c.cached, c.ms) for c in stage.checks),
        )
        for stage in stages
    ]


def told(recorder: Recorder) -> dict[str, Any]:
    """The record without its times and what the ways may differ in: the order of checks, and
    whether one of a known picture was looked up on its own."""
    assert counted(recorder.looked_at) == counted(recorder.record.stages)
    record = recorder.record.to_dict()
    assert record["id"] == recorder.id
    for key in ("id", "ms", "started_ns"):
        del record[key]
    if record["model"] is not None:
        asks = record["model"].pop("asks")
        record["model"]["ms"] = len(asks)
    for stage in record["stages"]:
        del stage["ms"]
        for run in stage["checks"]:
            del run["ms"], run["loading_ms"], run["cached"]
        stage["checks"].sort(key=lambda run: (run["part"], run["kind"], run["name"]))
    return record


said = st.sampled_from(SAYINGS)
answers = st.one_of(said, st.lists(said, max_size=3), st.just(ConnectionError("gone")))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(said, max_size=3),
    st.lists(st.sampled_from(MARKS), max_size=2),
    answers,
    st.sampled_from(["inline", "quick", "worker"]),
    st.sampled_from([None, "quick", "worker"]),
    st.sampled_from(list(Action)),
    st.sampled_from([Mode.ENFORCE, Mode.SHADOW]),
    st.sampled_from(
        [Limits(), Limits(max_images=1), Limits(max_text_chars=12), Limits(max_texts=1)]
    ),
    st.sampled_from([Scope(), Scope(tenants=("other",))]),
)
def test_both_ways_are_one(
    texts: list[str],
    marks: list[str],
    answer: str | list[str] | Exception,
    way: Way,
    together: Way | None,
    action: Action,
    mode: Mode,
    limits: Limits,
    scope: Scope,
) -> None:
    policy = policy_of(
        *rules(way, action, mode, together), limits=limits, scope=scope, extractors=(EXTRACTOR,)
    )
    parts: list[Part] = [Text(text, f"texts/{place}") for place, text in enumerate(texts)]
    parts += [Image(picture(mark), f"images/{place}") for place, mark in enumerate(marks)]
    results = []
    digester = Digester()
    for played, plan in ((whole_way, Screening(policy, digester)), (fast, Plan(policy, digester))):
        runner, seen = Runner(MemoryCache(), digester=plan.digester), []
        for turn in range(2):
            named = [_renamed(part, turn) for part in parts]
            call = Call(Content(tuple(named)), Context(tenant="mine"))
            verdicts: list[Any] = []
            recorder = Recorder(
                plan, call, verdicts.append, runner.cache if played is fast else None
            )
            model, error = Model(answer), ""
            try:
                released = asyncio.run(played(recorder, runner, model))
            except ConnectionError as raised:
                released, error = [], str(raised)
            (over,) = model.over
            outcome = model.outcome
            about = (
                None
                if outcome is None
                else (
                    decided(outcome.verdict),
                    outcome.content,
                    dict(outcome.changed),
                    outcome.stopped,
                )
            )
            released = [item for item in released if isinstance(item, (int, dict))]
            acted = [decided(verdict) for verdict in verdicts]
            seen.append((released, error, model.asked, model.closed, acted, about, told(recorder)))
            assert over is recorder
        results.append(seen)
    assert results[0] == results[1]


def _renamed(part: Part, turn: int) -> Part:
    name = f"{turn}/{part.name}"
    if isinstance(part, Image):
        return Image(part.data, name)
    return Text(part.text, name)


def test_calls_with_nothing_over_a_threshold_share_their_verdict() -> None:
    plan = Plan(policy_of(*rules("quick", Action.BLOCK, Mode.ENFORCE)))
    for load in plan.loading.values():
        load()
    seen = []
    for text in ("hello", "a weak 1"):
        call = Call(Content((Text(text),)))
        recorder = Recorder(plan, call, cache=MemoryCache())
        assert recorder.try_fast(Stage.INPUT, call.content) is not None
        seen.append(recorder.end())
    assert seen[0].looked_at[0].verdict is seen[1].looked_at[0].verdict
    below = [one.below for ended in seen for one in ended.record.stages[0].verdict.rules]
    assert [len(found) for found in below if found] == [1]


def test_a_known_picture_is_not_looked_at_again() -> None:
    runs = []
    plan = Plan(policy_of(*rules("inline", Action.BLOCK, Mode.ENFORCE), extractors=(EXTRACTOR,)))
    runner = Runner(MemoryCache(), digester=plan.digester)
    for text in ("hello", "a second question"):
        parts = (Text(text), Image(picture("says weak")))
        recorder = Recorder(plan, Call(Content(parts)), cache=runner.cache)
        runs.append(recorder.try_fast(Stage.INPUT, recorder.call.content) is not None)
        call = Call(Content(parts))
        asyncio.run(fast(Recorder(plan, call, cache=runner.cache), runner, Model("fine")))
    assert runs == [False, True]


@pytest.mark.parametrize("mark", ["bad", "says bad"])
def test_a_picture_that_was_stopped_is_looked_at_each_time(mark: str) -> None:
    plan = Plan(policy_of(*rules("inline", Action.BLOCK, Mode.ENFORCE), extractors=(EXTRACTOR,)))
    runner = Runner(MemoryCache(), digester=plan.digester)
    for _ in range(2):
        call = Call(Content((Image(picture(mark)),)))
        assert Recorder(plan, call, cache=runner.cache).try_fast(Stage.INPUT, call.content) is None
        model = Model("fine")
        asyncio.run(fast(Recorder(plan, call, cache=runner.cache), runner, model))
        assert model.outcome is not None
        assert model.outcome.stopped


def test_other_rules_do_not_take_over_what_is_known() -> None:
    cache, call = MemoryCache(), Call(Content((Image(picture("says hello")),)))
    first = Plan(policy_of(*rules("inline", Action.BLOCK, Mode.ENFORCE), extractors=(EXTRACTOR,)))
    runner = Runner(cache, digester=first.digester)
    asyncio.run(fast(Recorder(first, call, cache=cache), runner, Model("fine")))
    word = rule(fixed_detector({"hello": 0.9}, name="hello"))
    other = Plan(policy_of(word, extractors=(EXTRACTOR,)), first.digester)
    assert Recorder(first, call, cache=cache).try_fast(Stage.INPUT, call.content) is not None
    assert Recorder(other, call, cache=cache).try_fast(Stage.INPUT, call.content) is None


def test_what_is_over_holds_nothing_of_the_call() -> None:
    plan = Plan(policy_of(rule(fixed_detector(WORDS, inline=True))))
    recorder = Recorder(plan, Call(Content((Text("hello"),))))
    asyncio.run(fast(recorder, Runner(MemoryCache()), Model("fine")))
    assert recorder.call.content == Content()
    assert "hello" not in str(recorder.record.to_dict())


async def test_a_stream_that_no_rule_reads_is_poured() -> None:
    plan = Plan(policy_of(rule(fixed_detector(WORDS, inline=True), when=["input"])))
    for load in plan.loading.values():
        load()
    recorder, model = Recorder(plan, Call(Content((Text("hello"),)))), Model(["a", "b"])
    assert await begin(recorder, Runner(MemoryCache()), model, model.end) is None
    assert (model.poured, model.closed) == (["a", "b"], 1)
    record = recorder.record
    assert [str(stage.stage) for stage in record.stages] == ["input", "output"]
    assert (record.usage, record.finish_reason, record.cut_off) == (Usage(1), "stop", False)


async def test_a_poured_stream_that_breaks_is_recorded_as_cut_off() -> None:
    class Breaks(Model):
        async def pour(self) -> Reply:
            raise ConnectionError

    plan = Plan(policy_of())
    recorder, model = Recorder(plan, Call(Content((Text("hello"),)))), Breaks(["a"])
    with pytest.raises(ConnectionError):
        await begin(recorder, Runner(MemoryCache()), model, model.end)
    record = recorder.record
    assert (record.cut_off, record.error, model.closed) == (True, "ConnectionError", 1)
    assert [str(stage.stage) for stage in record.stages] == ["input", "output"]
