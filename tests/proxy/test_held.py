"""What is held in memory counts as it comes, and counts for nothing once its call is over."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from guardrail.testing import fixed_detector, policy_of, rule
from tests.proxy.raw import Got, Wire, ask, chat, post, wire
from tests.proxy.scripted import Peer, Play, chunk
from tests.proxy.serving import Running, answered, chat_answer, chat_chunks, running, says, tight

POLICY = policy_of(rule(fixed_detector({"forbidden": 0.9})))
QUIET = says(chat_answer("quiet"))
GZIP = "Content-Encoding: gzip\r\n"
LARGE = 900_000
BODY = json.dumps(chat()).encode().ljust(LARGE)
ANSWER = json.dumps(chat_answer("quiet")).encode().ljust(LARGE)
JSON = {"content-type": "application/json"}
PATHS = ["/v1/chat/completions", "/v1/guard/screen"]


async def holding(proxy: Running, count: int) -> None:
    """Wait until so many bytes are held."""
    async with asyncio.timeout(10):
        while proxy.server.proxy.capacity.buffered != count:
            await asyncio.sleep(0.01)


def overloaded(got: Got) -> bool:
    return (got.status, got.code, got.header("retry-after")) == (503, "overloaded", "1")


def watched(held: list[int], answer: Any, headers: Any = JSON) -> tuple[Play, list[Running]]:
    """An upstream that notes how much is held while it is asked."""
    proxies: list[Running] = []

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            held.append(proxies[0].server.proxy.capacity.buffered)
            await peer.say(*answered(answer, 200, headers))

    return play, proxies


class Upload:
    """A body that comes piece by piece, of a length that is told or in chunks."""

    def __init__(self, one: Wire, body: bytes, chunked: bool) -> None:
        self._one, self._body, self._chunked = one, body, chunked
        if chunked:
            one.send(post(b"", more="Transfer-Encoding: chunked\r\n", length=False))
        else:
            one.send(post(b"", more=f"Content-Length: {len(body)}\r\n", length=False))

    def send(self, count: int) -> None:
        piece, self._body = self._body[:count], self._body[count:]
        self._one.send(chunk(piece) if self._chunked else piece)
        if self._chunked and not self._body:
            self._one.send(chunk(b""))


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_under_way_count_as_they_come(chunked: bool) -> None:
    settings = tight(buffered=1_000_000, max_body=LARGE)
    async with (
        running(POLICY, QUIET, settings) as proxy,
        wire(proxy.url) as one,
        wire(proxy.url) as other,
    ):
        first, second = Upload(one, BODY, chunked), Upload(other, BODY, chunked)
        first.send(30_000)
        second.send(30_000)
        await holding(proxy, 60_000)
        first.send(600_000)
        await holding(proxy, 660_000)
        assert overloaded(await ask(proxy.url, post(chat())))  # nor is there room for a third
        second.send(400_000)
        assert overloaded(await other.get())
        await holding(proxy, 630_000)
        first.send(LARGE)
        assert (await one.get()).status == 200
        assert proxy.server.proxy.capacity.buffered == 0
        assert (await ask(proxy.url, post(BODY))).status == 200
        assert proxy.server.proxy.capacity.buffered == 0
        assert [len(body) for _, body in proxy.upstream.requests] == [LARGE, LARGE]


async def test_a_client_that_leaves_holds_nothing() -> None:
    async with running(POLICY, QUIET, tight(buffered=1_000_000, max_body=LARGE)) as proxy:
        async with wire(proxy.url) as one:
            Upload(one, BODY, False).send(600_000)
            await holding(proxy, 600_000)
        await holding(proxy, 0)
        assert (await ask(proxy.url, post(BODY))).status == 200
        assert proxy.server.proxy.capacity.buffered == 0


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (post(BODY), LARGE),
        (post(chat()), len(json.dumps(chat()))),
        (post(BODY, more="Content-Encoding: identity\r\n"), LARGE),
        (post(gzip.compress(BODY), more=GZIP), LARGE + len(gzip.compress(BODY))),
    ],
)
async def test_a_body_counts_once_and_with_what_it_unpacks_to(data: bytes, count: int) -> None:
    held: list[int] = []
    play, proxies = watched(held, chat_answer("quiet"))
    async with running(POLICY, play) as proxy:
        proxies.append(proxy)
        assert (await ask(proxy.url, data)).status == 200
        assert held == [count]
        assert proxy.server.proxy.capacity.buffered == 0


@pytest.mark.parametrize("path", PATHS)
async def test_what_a_body_unpacks_to_needs_room(path: str) -> None:
    body = {"prompt": "a"} if "guard" in path else chat()
    small, large = (
        post(gzip.compress(json.dumps(body).encode().ljust(size)), path, GZIP)
        for size in (LARGE - 2_000, LARGE)
    )
    async with running(POLICY, QUIET, tight(buffered=LARGE, max_body=LARGE)) as proxy:
        assert overloaded(await ask(proxy.url, large))
        assert proxy.server.proxy.capacity.buffered == 0
        assert not proxy.upstream.requests
        assert (await ask(proxy.url, small)).status == 200
        assert proxy.server.proxy.capacity.buffered == 0


@pytest.mark.parametrize("way", ["length", "chunks", "packed"])
async def test_an_answer_that_is_read_whole_needs_room(way: str) -> None:
    sent: Any = ANSWER
    headers = JSON
    if way == "chunks":
        sent = [ANSWER[at : at + 50_000] for at in range(0, LARGE, 50_000)]
    elif way == "packed":
        sent, headers = gzip.compress(ANSWER), {**JSON, "content-encoding": "gzip"}
    call = post(chat())
    for room, status in ((LARGE, 503), (LARGE + 5_000, 200)):
        settings = tight(buffered=room, max_body=100_000)
        async with running(POLICY, says(sent, headers=headers), settings) as proxy:
            for _ in range(2):
                got = await ask(proxy.url, call)
                assert got.status == status
                assert status == 200 or overloaded(got)
                assert proxy.server.proxy.capacity.buffered == 0


@pytest.mark.parametrize(("window", "fits"), [(None, False), (16, True)])
async def test_a_stream_needs_room_for_what_is_held_of_it(window: Any, fits: bool) -> None:
    policy = policy_of(rule(fixed_detector({"forbidden": 0.9}, window=window)))
    events = chat_chunks(*["quiet " * 1_000] * 40)
    settings = tight(buffered=200_000, max_body=100_000)
    async with running(policy, says(events), settings) as proxy:
        for _ in range(2):
            got = await ask(proxy.url, post(chat(stream=True)))
            assert got.status == 200
            if fits:
                assert got.body == b"".join(events)
            else:  # what had come is checked, and goes before the error
                came, _, error = got.body.rpartition(b"data: ")
                assert b"".join(events).startswith(came)
                assert len(came) < 200_000
                assert json.loads(error)["error"]["code"] == "overloaded"
            assert proxy.server.proxy.capacity.buffered == 0
        assert proxy.records.last.error == (None if fits else "Refused")


async def test_a_client_that_leaves_an_answer_holds_nothing() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n"
        )
        await peer.say(head + ANSWER[:500_000])
        await peer.left()

    async with running(POLICY, play) as proxy:
        async with wire(proxy.url) as one:
            one.send(post(chat()))
            await holding(proxy, 500_000 + len(json.dumps(chat())))
        await holding(proxy, 0)
        await asyncio.wait_for(proxy.upstream.left.wait(), 10)


@pytest.mark.parametrize("answer", [chat_answer("forbidden"), chat_chunks("forbidden"), b"no JSON"])
@pytest.mark.parametrize("text", ["hello", "forbidden"])
async def test_a_call_that_is_stopped_holds_nothing(answer: Any, text: str) -> None:
    async with running(POLICY, says(answer)) as proxy:
        stream = isinstance(answer, list)
        await ask(proxy.url, post(json.dumps(chat(text, stream=stream)).encode().ljust(LARGE)))
        assert proxy.server.proxy.capacity.buffered == 0
