"""Requests are the same however their bytes come, and whether the parser sees all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.http.connection import Connection
from guardrail_integrations.proxy.http.exchange import BodyLost, BodyTooLarge, Exchange
from guardrail_integrations.proxy.http.listener import Listener
from guardrail_integrations.proxy.http.timeouts import Clock
from tests.proxy.raw import Wire, chat, post, wire
from tests.proxy.scripted import certified
from tests.proxy.serving import chat_answer, running, says, tight

Got = tuple[bytes, bytes, bytes | str]
LIMIT = 1 << 20


class Line:
    """Stands for the transport: holds what was written, and does as it is told."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.paused = self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, data: Any) -> None:
        self.written += b"".join(data)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> None: ...


async def by_body(exchange: Exchange) -> bytes:
    return await exchange.body(LIMIT)


async def by_gathering(exchange: Exchange) -> bytes:
    taken = bytearray()

    def take(piece: Any) -> None:
        taken.extend(piece)

    await exchange.gather(LIMIT, take)
    return bytes(taken)


async def by_stream(exchange: Exchange) -> bytes:
    return b"".join([piece async for piece in exchange.stream(LIMIT)])


async def late(exchange: Exchange) -> bytes:
    for _ in range(5):
        await asyncio.sleep(0)
    return await exchange.body(LIMIT)


READERS: list[Callable[[Exchange], Awaitable[bytes]]] = [by_body, by_gathering, by_stream, late]


async def served(
    whole: bytes, tail: bytes, splits: list[int], readers: list[int]
) -> tuple[list[Got], bytes, bool]:
    """What requests the bytes are, what is answered, and whether the connection is closed. The
    tail comes when all else is answered, and the client leaves behind it."""
    got: list[Got] = []

    async def handle(exchange: Exchange) -> None:
        read = READERS[readers[len(got) % len(readers)]]
        body: bytes | str
        try:
            body = await read(exchange)
        except (BodyLost, BodyTooLarge) as error:
            body = f"{type(error).__name__} {getattr(error, 'status', '')}"
        got.append((exchange.method, exchange.target, body))
        exchange.answer(200, [(b"content-length", b"0")])

    listener = Listener(handle)
    connection, line = Connection(listener), Line()
    connection.connection_made(line)
    sizes = [*splits, LIMIT]
    for data in (whole, tail):
        at = number = 0
        while at < len(data) and not line.closed:
            if not line.paused:
                room = connection.get_buffer(-1)
                size = min(len(room), sizes[number % len(sizes)], len(data) - at)
                room[:size] = data[at : at + size]
                connection.buffer_updated(size)
                at += size
            number += 1
            if number % 3 == 0:
                await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
    closed = line.closed
    connection.connection_lost(None)
    for _ in range(10):
        await asyncio.sleep(0)
    written = bytes(line.written).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    return got, written, closed  # whether that is asked for hangs on what has come


def request(kind: str, body: bytes) -> bytes:
    """A request whose body comes in one way or another."""
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\n" % len(body)
    if kind == "chunked":
        pieces = [body[at : at + 700] for at in range(0, len(body), 700)]
        chunks = [b"%x\r\n%b\r\n" % (len(one), one) for one in pieces]
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"
    more = {
        "upgrade": b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        "expect": b"Expect: 100-continue\r\n",
        "close": b"Connection: close\r\n",
        "lines": b"Content-Type: text/plain\r\n",
    }.get(kind, b"")
    if kind == "old":
        head = head.replace(b"1.1", b"1.0")
    elif kind == "lines":
        body = (b"\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" * len(body))[: len(body)]
    ends = b"\r\n" if kind == "ends" else b""
    return head + more + b"Content-Length: %d\r\n\r\n" % len(body) + body + ends


kinds = st.sampled_from(["plain"] * 4 + ["chunked", "upgrade", "expect", "lines", "ends"])
bodies = st.builds(bytes.__mul__, st.binary(min_size=1, max_size=7), st.integers(0, 900))
requests = st.lists(st.builds(request, kinds, bodies), min_size=1, max_size=7)
tails = st.one_of(
    st.just(b""),
    st.builds(request, st.sampled_from(["close", "old"]), bodies),
    st.builds(lambda one, cut: one[:cut], st.builds(request, kinds, bodies), st.integers(0, 3_000)),
    st.just(b"no HTTP at all\r\n\r\n"),
)


@settings(max_examples=150, deadline=None)
@given(
    requests,
    tails,
    st.lists(st.integers(1, 4_000), max_size=6),
    st.lists(st.integers(0, len(READERS) - 1), min_size=1, max_size=4),
)
def test_requests_are_the_same_with_and_without_the_parser(
    whole: list[bytes], tail: bytes, splits: list[int], readers: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for short in (1 << 40, 300, 0):
            patch.setattr("guardrail_integrations.proxy.http.connection.SHORT", short)
            found.append(asyncio.run(served(b"".join(whole), tail, splits, readers)))
    assert found[0] == found[1] == found[2]


def test_what_is_read_past_the_parser_is_told_apart_from_what_follows() -> None:
    whole = [request(kind, b"x" * 4_000) for kind in ("lines", "plain", "ends", "lines")]
    got, _, closed = asyncio.run(served(b"".join(whole), b"", [1_500], [0]))
    assert [body for _, _, body in got] == [
        whole[0].partition(b"\r\n\r\n")[2],
        b"x" * 4_000,
        b"x" * 4_000,
        whole[3].partition(b"\r\n\r\n")[2],
    ]
    assert not closed


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
POLICY = policy_of(rule(fixed_detector({"forbidden": 0.9})))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("loop", LOOPS)
def test_large_bodies_pass_between_small_ones(loop: str, tls: bool) -> None:
    sizes = (0, 1_500_000, 70_000, 20, 262_144)
    calls = [json.dumps(chat(f"number {size}")).encode() + b" " * size for size in sizes]
    data = b"".join(post(call, more="X-Kept: yes\r\n") for call in calls)
    server, client = certified("localhost") if tls else (None, None)

    async def main() -> None:
        async with running(POLICY, says(chat_answer("quiet")), front=server) as proxy:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                proxy.server.port,
                ssl=client,
                server_hostname="localhost" if tls else None,
            )
            one = Wire(reader, writer)
            for _ in range(2):
                for at in range(0, len(data), 190_001):
                    one.send(data[at : at + 190_001])
                    await asyncio.sleep(0)
                assert [(await one.get()).status for _ in calls] == [200] * len(calls)
            assert [body for _, body in proxy.upstream.requests] == [*calls, *calls]
            assert all(b"X-Kept: yes\r\n" in head for head, _ in proxy.upstream.requests)
            writer.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_large_body_that_is_not_whole_is_no_call(loop: str) -> None:
    call = post(json.dumps(chat()).encode() + b" " * 1_000_000)

    async def main() -> None:
        settings = tight(clock=Clock(pause=0.3), max_body=2_000_000)
        async with running(POLICY, says(chat_answer("quiet")), settings) as proxy:
            async with wire(proxy.url) as one:  # one that stops
                one.send(call[:-1])
                got = await one.get()
                assert (got.status, got.code) == (408, "bad_body")
                assert await one.closed()
            async with wire(proxy.url) as one:  # one that leaves
                one.send(call[:700_000])
                await asyncio.sleep(0.1)
            async with wire(proxy.url) as one:  # one that is too large is refused by its head
                one.send(post(b"", more="Content-Length: 2000001\r\n", length=False))
                one.send(b"x" * 200_000)
                got = await one.get()
                assert (got.status, got.code) == (413, "body_too_large")
            async with wire(proxy.url) as one:
                one.send(call + call)
                assert [(await one.get()).status, (await one.get()).status] == [200, 200]
            assert proxy.server.proxy.capacity.buffered == 0
            assert len(proxy.upstream.requests) == 2

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
