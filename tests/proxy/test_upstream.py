"""The transport to an upstream, against real connections that behave and misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.interfaces import Request, Response, UpstreamError
from guardrail_integrations.proxy.upstream.pool import HttpUpstream, Pooling
from tests.proxy.scripted import Peer, answering, certified, scripted

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy")


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["", "uv"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    return request.param()


def get(target: bytes = b"/") -> Request:
    return Request(b"GET", target, [(b"Host", b"up")])


def post(body: bytes, *more: tuple[bytes, bytes]) -> Request:
    length = (b"Content-Length", b"%d" % len(body))
    return Request(b"POST", b"/v1", [(b"Host", b"up"), length, *more], [body])


async def whole(response: Response) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


def says(*pieces: bytes, close: bool = True):
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(*pieces)
            if close:
                return

    return play


async def test_head_and_body_come_as_they_were_sent() -> None:
    raw = b"HTTP/1.1 299 Rather Fine\r\nX-B: 1\r\nx-a:2\r\nX-B: 3\r\nContent-Length: 5\r\n\r\nhello"
    async with scripted(says(raw)) as seen:
        answer = await HttpUpstream(seen.url).send(get(b"/a?b=%20c"))
        assert (answer.status, answer.reason) == (299, b"Rather Fine")
        assert answer.headers == [
            (b"X-B", b"1"),
            (b"x-a", b"2"),
            (b"X-B", b"3"),
            (b"Content-Length", b"5"),
        ]
        assert await whole(answer) == b"hello"
        assert answer.ended
        assert seen.requests == [(b"GET /a?b=%20c HTTP/1.1\r\nHost: up\r\n\r\n", b"")]


BODY = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n"
)
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + BODY


@pytest.mark.parametrize("raw", [BODY, UNTIL_CLOSED, INTERIM])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_framing_does_not_depend_on_how_bytes_arrive(raw: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=8)) | {0, len(raw)})
    pieces = [raw[a:b] for a, b in pairwise(cuts)]

    async def main() -> None:
        async with scripted(says(*pieces)) as seen:
            answer = await HttpUpstream(seen.url).send(get())
            assert answer.status == 200
            assert await whole(answer) == b"hello world"

    asyncio.run(main())


@pytest.mark.parametrize("size", [0, 10, 70_000, 3_000_000])
async def test_bodies_of_any_size_go_out_and_come_back_on_one_connection(size: int) -> None:
    async with scripted(answering) as seen:
        upstream = HttpUpstream(seen.url)
        for turn in range(3):
            body = bytes([turn]) * size
            assert await whole(await upstream.send(post(body))) == body
        assert seen.connections == 1
        await upstream.close()


async def test_a_body_in_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"", b"two"):
            await asyncio.sleep(0)
            yield piece

    async with scripted(answering) as seen:
        chunked = [(b"Host", b"up"), (b"Transfer-Encoding", b"chunked")]
        request = Request(b"POST", b"/", chunked, pieces())
        assert await whole(await HttpUpstream(seen.url).send(request)) == b"onetwo"


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
async def test_answers_without_a_body_leave_the_connection_usable(method: bytes) -> None:
    status = b"200 OK\r\nContent-Length: 100" if method == b"HEAD" else b"204 No Content"
    async with scripted(says(b"HTTP/1.1 " + status + b"\r\n\r\n", close=False)) as seen:
        upstream = HttpUpstream(seen.url)
        for _ in range(3):
            answer = await upstream.send(Request(method, b"/", [(b"Host", b"up")]))
            assert await whole(answer) == b""
        assert seen.connections == 1


def endless(sent: list[int]) -> Request:
    """A request whose body never ends; `sent` gets the sizes of its pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            sent.append(100_000)
            yield b"x" * 100_000

    headers = [(b"Host", b"up"), (b"Transfer-Encoding", b"chunked")]
    return Request(b"POST", b"/", headers, pieces())


async def test_an_early_answer_ends_the_upload() -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.left()

    async with scripted(play) as seen:
        answer = await HttpUpstream(seen.url).send(endless([]))
        assert (answer.status, await whole(answer)) == (413, b"no")
        await asyncio.wait_for(seen.left.wait(), 5)


async def test_a_slow_reader_holds_the_upstream_back() -> None:
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 100_000_000)
        while sent < 100_000_000:
            await peer.say(b"x" * 100_000)
            sent += 100_000

    async with scripted(play) as seen:
        answer = await HttpUpstream(seen.url).send(get())
        for _ in range(50):
            await asyncio.sleep(0.01)
        assert sent < 20_000_000  # what buffers of the two sockets take
        assert len(await whole(answer)) == 100_000_000


async def test_a_slow_upstream_holds_the_sender_back() -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(60)

    sent: list[int] = []
    async with scripted(play) as seen:
        upstream = HttpUpstream(seen.url, timeouts=Timeouts(send=0.3))
        with pytest.raises(UpstreamError, match="to take the request") as raised:
            await upstream.send(endless(sent))
        assert raised.value.fault == "timeout"
        assert sum(sent) < 20_000_000


BAD = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless line": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    "endless reason": b"HTTP/1.1 200 " + b"y" * 200_000,
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000,
    "endless interim": b"HTTP/1.1 103 Hint\r\nX: y\r\n\r\n" * 20_000,
    "endless chunk line": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"z" * 200_000
    ),
    "endless trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 40_000
    ),
    "line break inside": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("what", BAD)
async def test_garbage_is_an_error_and_the_next_request_is_served(what: str) -> None:
    async def play(peer: Peer) -> None:
        head, _ = await peer.request()
        if b"/bad" in head:
            await peer.say(BAD[what])
            await asyncio.sleep(5)
        else:
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(play) as seen:
        upstream = HttpUpstream(seen.url, timeouts=Timeouts(head=3, idle=3))
        with pytest.raises(UpstreamError) as raised:
            await whole(await upstream.send(get(b"/bad")))
        assert raised.value.fault == "garbage"
        assert "yyy" not in str(raised.value)
        assert await whole(await upstream.send(get(b"/good"))) == b"ok"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ],
)
async def test_an_answer_cut_short_is_an_error(raw: bytes) -> None:
    async with scripted(says(raw)) as seen:
        with pytest.raises(UpstreamError) as raised:
            await whole(await HttpUpstream(seen.url).send(get()))
        assert raised.value.fault == "closed"


@pytest.mark.parametrize(
    ("limits", "raw", "what"),
    [
        (Timeouts(head=0.1), b"", "for an answer"),
        (Timeouts(head=0.1), b"HTTP/1.1 200 OK\r\n", "for an answer"),
        (Timeouts(idle=0.1), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "for more"),
        (Timeouts(total=0.1), b"", "waited too long"),
        (Timeouts(total=0.1), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "waited"),
    ],
)
async def test_every_wait_has_a_limit(limits: Timeouts, raw: bytes, what: str) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(raw)
        await peer.left()

    async with scripted(play) as seen:
        with pytest.raises(UpstreamError, match=what) as raised:
            await whole(await HttpUpstream(seen.url, timeouts=limits).send(get()))
        assert raised.value.fault == "timeout"
        await asyncio.wait_for(seen.left.wait(), 5)


async def test_nothing_listens() -> None:
    async with scripted(answering) as seen:
        url = seen.url
    with pytest.raises(UpstreamError, match="ConnectionRefusedError") as raised:
        await HttpUpstream(url).send(get())
    assert raised.value.fault == "unreachable"


@pytest.mark.parametrize("begun", [False, True])
async def test_who_leaves_stops_the_upstream(begun: bool) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        if begun:
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await peer.left()

    async with scripted(play) as seen:
        upstream = HttpUpstream(seen.url)

        async def ask() -> None:
            await whole(await upstream.send(get()))

        task = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if begun:
            answer = await upstream.send(get())
            assert await answer.read() == b"ab"
            answer.close()
            answer.close()
        await asyncio.wait_for(seen.left.wait(), 5)
        await asyncio.sleep(0.05)
        assert upstream.open <= 1


async def closes_after_each(peer: Peer) -> None:
    """Says that it keeps the connection, and closes it."""
    _, body = await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def test_a_kept_connection_that_died_is_not_used() -> None:
    async with scripted(closes_after_each) as seen:
        upstream = HttpUpstream(seen.url)
        for _ in range(5):
            assert await whole(await upstream.send(post(b"once"))) == b"once"
            await asyncio.sleep(0.01)
        assert len(seen.requests) == 5


@pytest.mark.parametrize("repeatable", [True, False])
async def test_only_what_may_be_repeated_is(repeatable: bool) -> None:
    """The second request on a connection is read, and the connection closed without an answer."""

    async def play(peer: Peer) -> None:
        _, body = await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await peer.request()

    async with scripted(play) as seen:
        upstream = HttpUpstream(seen.url)
        await whole(await upstream.send(post(b"first")))
        request = post(b"2", *([(b"Idempotency-Key", b"k")] if repeatable else []))
        if repeatable:
            assert await whole(await upstream.send(request)) == b"2"
        else:
            with pytest.raises(UpstreamError) as raised:
                await upstream.send(request)
            assert raised.value.fault == "closed"
        assert [body for _, body in seen.requests] == [b"first"] + [b"2"] * (1 + repeatable)


async def test_connections_are_bounded_and_handed_on() -> None:
    async with scripted(answering) as seen:
        upstream = HttpUpstream(seen.url, pooling=Pooling(connections=3))

        async def ask(n: int) -> None:
            assert await whole(await upstream.send(post(b"%d" % n))) == b"%d" % n

        await asyncio.gather(*map(ask, range(100)))
        assert seen.connections == 3
        assert (upstream.open, upstream.waiting) == (3, 0)


async def test_a_full_pool_is_an_error_in_time() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(60)

    async with scripted(play) as seen:
        upstream = HttpUpstream(
            seen.url, pooling=Pooling(connections=1), timeouts=Timeouts(pool=0.1)
        )
        first = asyncio.create_task(upstream.send(get()))
        await asyncio.sleep(0.05)
        with pytest.raises(UpstreamError) as raised:
            await upstream.send(get())
        assert raised.value.fault == "busy"
        first.cancel()
        await asyncio.wait([first])
        await asyncio.sleep(0.05)
        assert (upstream.open, upstream.waiting) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.01)), min_size=1, max_size=40))
@settings(max_examples=15, deadline=None)
def test_no_connection_is_lost_whoever_is_cancelled(plan: list[tuple[int, float]]) -> None:
    async def play(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            await asyncio.sleep(0.002)
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            if body == b"1":
                return

    async def main() -> None:
        async with scripted(play) as seen:
            upstream = HttpUpstream(seen.url, pooling=Pooling(connections=2))

            async def ask(kind: int, after: float) -> None:
                await asyncio.sleep(after)
                try:
                    async with asyncio.timeout(0.003 if kind == 2 else 10):
                        assert await whole(await upstream.send(post(b"%d" % kind))) == b"%d" % kind
                except (UpstreamError, TimeoutError):
                    pass

            await asyncio.wait_for(asyncio.gather(*(ask(k, t) for k, t in plan)), 20)
            assert await whole(await upstream.send(post(b"last"))) == b"last"
            assert upstream.waiting == 0
            await upstream.close()
            await asyncio.sleep(0.01)
            assert upstream.open == 0

    asyncio.run(main())


async def test_idle_connections_are_closed() -> None:
    async with scripted(answering) as seen:
        upstream = HttpUpstream(seen.url, pooling=Pooling(keep_s=0.05))
        await asyncio.gather(*(upstream.send(post(b"")) for _ in range(4)))
        await asyncio.sleep(0.2)
        assert upstream.open == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"X", b"a\r\nY: b"), (b"X", b"a\nb"), (b"X\r\nY", b"a"), (b"X Y", b"a"), (b"X", b"\0")],
)
async def test_nothing_can_be_smuggled_in_a_header(name: bytes, value: bytes) -> None:
    async with scripted(answering) as seen:
        upstream = HttpUpstream(seen.url)
        with pytest.raises(ValueError, match="header"):
            await upstream.send(Request(b"GET", b"/", [(b"Host", b"up"), (name, value)]))
        with pytest.raises(ValueError, match="target"):
            await upstream.send(Request(b"GET", b"/ HTTP/1.1", [(b"Host", b"up")]))
        assert await whole(await upstream.send(post(b"next"))) == b"next"
        assert len(seen.requests) == 1


async def test_tls_is_verified() -> None:
    server, client = certified("localhost")
    async with scripted(answering, server) as seen:
        url = f"https://localhost:{seen.port}"
        upstream = HttpUpstream(url, tls=client)
        for size in (5, 400_000):
            assert await whole(await upstream.send(post(b"x" * size))) == b"x" * size
        await upstream.close()
        for wrong in (
            HttpUpstream(url),
            HttpUpstream(f"https://127.0.0.1:{seen.port}", tls=client),
        ):
            with pytest.raises(UpstreamError, match="SSLCertVerificationError") as raised:
                await wrong.send(get())
            assert raised.value.fault == "unreachable"
