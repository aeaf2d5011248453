"""The runner: cache, single flight, timeouts, bounded queue, the same results sync and async."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail import Action, Call, Content, Record, Status, Text
from guardrail.cache import Digester, MemoryCache
from guardrail.detector import Stage
from guardrail.flow.drivers import aplay, play
from guardrail.flow.order import Outcome, screened_only
from guardrail.flow.plan import Loading, Plan
from guardrail.flow.pools import Pool, Pools
from guardrail.flow.runner import Runner
from guardrail.flow.steps import Job, Result
from guardrail.policy import Policy
from guardrail.testing import fixed_detector, policy_of, rule


def job(run: Callable[[], Any], key: bytes | None = b"k", timeout_s: float = 5.0) -> Job:
    return Job("check", "1", "detector", "prompt", run, key, timeout_s)


def both(runner: Runner, jobs: tuple[Job, ...], way: str) -> tuple[Result, ...]:
    return runner.run(jobs) if way == "sync" else asyncio.run(runner.arun(jobs))


ways = pytest.mark.parametrize("way", ["sync", "async"])


@ways
def test_a_result_comes_from_the_cache_the_second_time(way: str) -> None:
    runner, runs = Runner(MemoryCache()), []
    one = job(lambda: runs.append(1) or ("found",))
    first, second = both(runner, (one,), way)[0], both(runner, (one,), way)[0]
    assert (first.value, first.cached) == (("found",), False)
    assert (second.value, second.cached) == (("found",), True)
    assert len(runs) == 1


@ways
def test_an_empty_result_is_cached_too(way: str) -> None:
    runner = Runner(MemoryCache())
    both(runner, (job(tuple),), way)
    assert both(runner, (job(tuple),), way)[0].cached


@ways
def test_a_failure_is_not_cached(way: str) -> None:
    runner, runs = Runner(MemoryCache()), []

    def fails() -> None:
        runs.append(1)
        raise OSError("words of a user")

    for _ in range(2):
        (result,) = both(runner, (job(fails),), way)
        assert result.failure is not None
        assert result.failure.reason == "check: OSError in prompt"
    assert len(runs) == 2


@ways
def test_the_same_key_under_way_is_run_once(way: str) -> None:
    runner, runs = Runner(MemoryCache()), []

    def slow() -> tuple[str]:
        runs.append(1)
        time.sleep(0.1)
        return ("found",)

    results = both(runner, tuple(job(slow) for _ in range(5)), way)
    assert {result.value for result in results} == {("found",)}
    assert len(runs) == 1


@ways
def test_a_late_check_is_not_run_and_its_result_still_fills_the_cache(way: str) -> None:
    runner, go = Runner(MemoryCache()), threading.Event()

    def late() -> tuple[str]:
        go.wait(10)
        return ("found",)

    (result,) = both(runner, (job(late, timeout_s=0.05),), way)
    assert result.failure is not None
    assert result.failure.status is Status.NOT_RUN
    assert "timeout after 50 ms" in result.failure.reason
    go.set()
    deadline = time.monotonic() + 10
    while runner.cache.get(b"k") is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert both(runner, (job(late),), way)[0].cached


async def test_many_jobs_leave_others_their_turns() -> None:
    runner, turns = Runner(MemoryCache()), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    jobs = tuple(replace(job(tuple, key=b"%d" % n), inline=True) for n in range(1_000))
    results = await runner.arun(jobs)
    task.cancel()
    assert [result.value for result in results] == [()] * 1_000
    assert turns >= 20


@ways
def test_too_many_waiting_checks_are_refused(way: str) -> None:
    go = threading.Event()
    runner = Runner(MemoryCache(), Pools(*[Pool(workers=1, waiting=1)] * 2))
    blocked = [job(lambda: go.wait(10), key=None, timeout_s=0.2) for _ in range(5)]
    results = both(runner, tuple(blocked), way)
    go.set()
    reasons = {result.failure.reason for result in results if result.failure}
    assert "check: too many checks are waiting" in reasons


def test_the_pool_keeps_to_its_workers() -> None:
    pool, go, at_once = Pool(workers=3), threading.Event(), []
    lock, most = threading.Lock(), [0]

    def work() -> None:
        with lock:
            at_once.append(1)
            most[0] = max(most[0], len(at_once))
        go.wait(10)
        with lock:
            at_once.pop()

    for _ in range(10):
        assert pool.submit(work)
    deadline = time.monotonic() + 10
    while most[0] < 3:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    go.set()
    assert most[0] == 3


@ways
def test_the_time_to_load_a_model_does_not_count(way: str) -> None:
    loaded: list[str] = []

    def load() -> None:
        time.sleep(0.3)
        loaded.append("model")

    one = replace(job(lambda: tuple(loaded), timeout_s=0.1), load=load)
    (result,) = both(Runner(MemoryCache()), (one,), way)
    assert result.value == ("model",)


@ways
def test_a_check_that_does_not_begin_is_not_run(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail.flow.runner.START_S", 0.05)
    go = threading.Event()
    one = replace(job(tuple), load=lambda: go.wait(10))
    (result,) = both(Runner(MemoryCache()), (one,), way)
    go.set()
    assert result.failure is not None
    assert result.failure.status is Status.NOT_RUN
    assert "not begun after 0.05 s" in result.failure.reason


def test_a_plug_in_loads_once_and_tries_again_where_that_failed() -> None:
    tried: list[int] = []

    def warm() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise OSError

    load = Loading(warm)
    with pytest.raises(OSError):
        load()
    load()
    load()
    assert len(tried) == 2


def test_a_check_that_never_ends_does_not_hold_up_the_others() -> None:
    runner, go = Runner(MemoryCache()), threading.Event()
    hung = job(lambda: go.wait(30), key=b"hung", timeout_s=0.05)
    quick = job(lambda: ("quick",), key=b"quick")
    results = runner.run((hung, quick))
    go.set()
    assert results[0].failure is not None
    assert results[1].value == ("quick",)


def screenings(policy: Policy, text: str) -> tuple[Outcome, Outcome]:
    content = Content((Text(text),))
    call = Call(content)
    emitted: list[Record] = []

    def flow() -> Any:
        return screened_only(Plan(policy), call, Stage.INPUT, content)

    sync = play(flow(), Runner(MemoryCache()), emitted.append)
    other = asyncio.run(aplay(flow(), Runner(MemoryCache()), emitted.append))
    assert len(emitted) == 2
    return sync, other


@settings(max_examples=25, deadline=None)
@given(
    text=st.text("ab ", max_size=30),
    scores=st.dictionaries(st.sampled_from(["a", "b", "ab"]), st.floats(0, 1), min_size=1),
    action=st.sampled_from(list(Action)[1:]),
    at=st.floats(0, 1),
)
def test_sync_and_async_decide_alike(
    text: str, scores: dict[str, float], action: Action, at: float
) -> None:
    policy = policy_of(
        rule(fixed_detector(scores, inline=True), action, at=at),
        rule(fixed_detector(scores, name="second"), Action.REVIEW, at=0.9),
    )
    sync, other = screenings(policy, text)
    assert sync.verdict == other.verdict
    assert sync.content == other.content


def test_a_memory_cache_keeps_the_last_results() -> None:
    cache = MemoryCache(size=2)
    for key in (b"1", b"2"):
        cache.put(key, key)
    assert cache.get(b"1") == b"1"
    cache.put(b"3", b"3")
    assert (cache.get(b"2"), cache.get(b"1"), len(cache)) == (None, b"1", 2)


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_digests_tell_pieces_apart(one: list[str], two: list[str]) -> None:
    digester = Digester(b"key")
    assert (digester.of(*one) == digester.of(*two)) == (one == two)


def test_digests_of_two_keys_differ() -> None:
    assert Digester(b"a").of("x") != Digester(b"b").of("x")
    assert Digester().of("x") != Digester().of("x")


@ways
def test_text_never_waits_behind_pictures(way: str) -> None:
    go, runner = threading.Event(), Runner(MemoryCache(), Pools.of(1))
    pictures = runner.pools.pictures
    for _ in range(2):
        assert pictures.submit(lambda: go.wait(10) and None)
    until = time.monotonic() + 5
    while pictures.load[:3] != (1, 1, 1) and time.monotonic() < until:
        time.sleep(0.001)
    assert pictures.load[:3] == (1, 1, 1)
    assert both(runner, (job(lambda: "quick", timeout_s=5),), way)[0].value == "quick"
    go.set()


class Elsewhere(MemoryCache):
    """A cache with another process behind it, which answers workers only."""

    def __init__(self, there: dict[bytes, object]) -> None:
        super().__init__()
        self.there, self.asked_by = there, set[str]()

    def share(self, key: bytes, value: object) -> None:
        self.there[key] = value

    def fetch(self, key: bytes) -> object | None:
        self.asked_by.add(threading.current_thread().name)
        return self.there.get(key)


@ways
def test_what_another_process_found_is_asked_for_in_workers_only(way: str) -> None:
    cache = Elsewhere({b"k": ("found",)})
    runner = Runner(cache)
    known, new = both(runner, (job(tuple), job(lambda: ("new",), key=b"n")), way)
    assert (known.value, known.cached) == (("found",), True)
    assert (new.value, new.cached) == (("new",), False)
    assert cache.asked_by == {"guardrail-check"}
    assert cache.there[b"n"] == ("new",)
    assert both(runner, (replace(job(lambda: 1, key=b"i"), inline=True),), way)[0].value == 1
    assert b"i" not in cache.there  # to ask for it would take longer than to find it again
