"""Clients that speak HTTP wrongly, slowly, or too much: a clear answer, and the next is served."""

from __future__ import annotations

import asyncio
import json

import pytest

from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.http.timeouts import Clock
from tests.proxy.raw import ask, chat, post, wire
from tests.proxy.scripted import Peer
from tests.proxy.serving import chat_answer, running, says, tight

BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9})))
QUIET = says(chat_answer("quiet"))
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"


NO_HTTP = {
    400: (
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length : 3\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X: a\r\n b\r\n\r\n",
        HEAD + b"X: a\nY: b\r\n\r\n",
        HEAD + b"X: a\rY: b\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD + b"Host: b\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"POST http://other/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ),
    431: (HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n", HEAD + b"X: y\r\n" * 1_000 + b"\r\n"),
    501: (
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    505: (b"POST / HTTP/2.0\r\nHost: a\r\n\r\n",),
}


@pytest.mark.parametrize(
    ("status", "data"), [(status, data) for status, datas in NO_HTTP.items() for data in datas]
)
async def test_what_is_not_http_is_answered_and_hung_up_on(status: int, data: bytes) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        async with wire(proxy.url) as one:
            one.send(data)
            assert (await one.get()).status == status
            assert await one.closed()
        assert not proxy.upstream.requests
        assert (await ask(proxy.url, post(chat()))).status == 200


@pytest.mark.parametrize("chunk", [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n"])
async def test_chunks_that_are_none_are_refused(chunk: bytes) -> None:
    async with running(BLOCKS, QUIET) as proxy, wire(proxy.url) as one:
        one.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
        assert (await one.get()).status == 400
        assert await one.closed()


async def test_an_upgrade_is_passed_over() -> None:
    more = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    async with running(BLOCKS, QUIET) as proxy, wire(proxy.url) as one:
        one.send(post(chat(), more=more) + post(chat("forbidden")))
        assert (await one.get()).status == 200
        assert (await one.get()).status == 400
        head = proxy.upstream.requests[0][0].lower()
        assert b"upgrade" not in head
        assert b"http2-settings" not in head


async def test_a_body_over_the_limit_is_refused_before_it_is_sent() -> None:
    async with running(BLOCKS, QUIET, tight(max_body=100_000)) as proxy:
        async with wire(proxy.url) as one:
            one.send(HEAD + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 1_000)
            got = await one.get()
            assert (got.status, got.code) == (413, "body_too_large")
        async with wire(proxy.url) as one:
            one.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(30):
                one.send(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            assert (await one.get()).status == 413


async def test_a_bomb_in_a_compressed_body_is_not_blown_up() -> None:
    import gzip

    bomb = gzip.compress(b" " * 50_000_000)
    async with running(BLOCKS, QUIET, tight(max_body=1 << 20)) as proxy:
        got = await ask(proxy.url, post(bomb, more="Content-Encoding: gzip\r\n"))
        assert got.status == 415
        got = await ask(proxy.url, post(b"x", more="Content-Encoding: br\r\n"))
        assert (got.status, got.code) == (415, "unsupported_encoding")


async def test_slow_clients_are_hung_up_on() -> None:
    clock = Clock(head=0.2, idle=0.2, pause=0.2)
    async with running(BLOCKS, QUIET, tight(clock=clock)) as proxy:
        async with wire(proxy.url) as one:  # a head that does not end
            one.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-")
            assert (await one.get()).status == 408
            assert await one.closed()
        async with wire(proxy.url) as one:  # a body that does not end
            one.send(HEAD + b"Content-Length: 100\r\n\r\nabc")
            got = await one.get()
            assert (got.status, got.code) == (408, "bad_body")
            assert await one.closed()
        async with wire(proxy.url) as one:  # nothing at all
            assert await one.closed()


async def test_expect_continue_is_answered() -> None:
    async with running(BLOCKS, QUIET) as proxy, wire(proxy.url) as one:
        data = json.dumps(chat()).encode()
        one.send(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(data))
        assert (await one.get()).status == 100
        one.send(data)
        assert (await one.get()).status == 200


async def test_a_body_that_only_trickles_is_hung_up_on() -> None:
    clock = Clock(head=0.6, pause=0.6, rate=1e6)
    async with running(BLOCKS, QUIET, tight(clock=clock)) as proxy:
        for begin in (b"POST / HTTP/1.1\r\nHost: a\r\nX-", HEAD + b"Content-Length: 5000\r\n\r\n"):
            async with wire(proxy.url) as one:
                one.send(begin)
                answer = asyncio.create_task(one.get())
                for _ in range(100):
                    if answer.done():
                        break
                    one.send(b"a")  # never a pause, and never an end
                    await asyncio.sleep(0.05)
                assert (await answer).status == 408
                assert await one.closed()
        assert (await ask(proxy.url, post(chat()))).status == 200
        assert proxy.server.proxy.capacity.under_way == 0


async def test_a_client_that_takes_nothing_of_its_answer_is_hung_up_on() -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            await peer.say(b": " + b"x" * 100_000 + b"\n\n")

    only_input = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=["input"]))
    clock = Clock(write=0.5)
    settings = tight(clock=clock)
    async with running(only_input, endless, settings) as proxy, wire(proxy.url) as one:
        one.send(post(chat(stream=True)))
        await one.reader.readuntil(b"\r\n\r\n")
        one.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(200):
            if not proxy.server.proxy.capacity.under_way:
                break
            await asyncio.sleep(0.05)
        assert proxy.server.proxy.capacity.under_way == 0


@pytest.mark.parametrize("size", [b"1_0", b"0x0a", b"-1", b"1e3", b"", b"99999999999999999999999"])
async def test_lengths_that_are_none_are_refused(size: bytes) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        async with wire(proxy.url) as one:
            one.send(HEAD + b"Content-Length: " + size + b"\r\n\r\n" + json.dumps(chat()).encode())
            assert (await one.get()).status in (400, 413)
            assert await one.closed()
        assert not proxy.upstream.requests


async def test_one_connection_too_many_is_turned_away_and_the_next_is_served() -> None:
    async with running(BLOCKS, QUIET, tight(connections=2)) as proxy:
        async with wire(proxy.url), wire(proxy.url) as second:
            second.send(post(chat()))
            assert (await second.get()).status == 200
            async with wire(proxy.url) as third:
                got = await third.get()
                assert got.status == 503
                assert got.header("retry-after") == "1"
                assert got.json["error"]["message"] == "Too many connections are open."
                assert await third.closed()
            second.send(post(chat()))
            assert (await second.get()).status == 200
        for _ in range(100):
            if not proxy.server.listener.connections:
                break
            await asyncio.sleep(0.01)
        assert (await ask(proxy.url, post(chat()))).status == 200


async def test_who_goes_on_sending_still_reads_why_it_was_refused() -> None:
    async with running(BLOCKS, QUIET) as proxy, wire(proxy.url) as one:
        one.send(HEAD + b"X: a\x00b\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.05)
            one.send(b"more")
        assert (await one.get()).status == 400
        assert await one.closed()
