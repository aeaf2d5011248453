"""A large body goes out whole and in order, whatever the other side takes at once."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail_integrations.proxy.http.sending import MOST, SLICE, bare_socket, left_of, slices
from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.interfaces import Request, UpstreamError
from guardrail_integrations.proxy.upstream.pool import HttpUpstream
from tests.proxy.scripted import Peer, certified, scripted

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40_000).map(os.urandom), max_size=2 * MOST))
def test_what_is_left_is_what_the_other_side_did_not_get(pieces: list[bytes]) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        left = b"".join(left_of(one.fileno(), pieces))
        one.close()
        got = b""
        while data := other.recv(1 << 20):
            got += data
    assert got + left == b"".join(pieces)
    assert got or not any(pieces[:MOST])


def test_all_is_left_where_nothing_can_be_sent() -> None:
    one, other = socket.socketpair()
    with one:
        other.close()
        assert left_of(one.fileno(), [b"a", b"b"]) == [b"a", b"b"]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2 * SLICE + 1).map(bytes), max_size=6))
def test_slices_are_full_but_for_the_last(pieces: list[bytes]) -> None:
    found = [b"".join(together) for together in slices(pieces)]
    assert b"".join(found) == b"".join(pieces)
    assert all(len(one) == SLICE for one in found[:-1])
    assert all(0 < len(one) <= SLICE for one in found)


def body(pieces: list[Any]) -> Request:
    length = b"%d" % sum(map(len, pieces))
    headers = [(b"Host", b"up"), (b"Content-Length", length)]
    return Request(b"POST", b"/v1", headers, pieces)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("loop", LOOPS)
def test_slow_upstreams_get_every_byte(loop: str, tls: bool) -> None:
    server, client = certified("localhost") if tls else (None, None)
    sizes = [70_000, 9_000_000, 0, 1, *[30_000] * (2 * MOST)]
    pieces = [os.urandom(size) for size in sizes]

    async def play(peer: Peer) -> None:
        while True:
            await asyncio.sleep(0.05)  # meanwhile all buffers fill up
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def main() -> None:
        async with scripted(play, server) as seen:
            url = f"{'https' if tls else 'http'}://localhost:{seen.port}"
            upstream = HttpUpstream(url, tls=client, address="127.0.0.1")
            for _ in range(2):
                answer = await upstream.send(body(pieces))
                assert await answer.read() == b"ok"
            assert seen.connections == 1
            assert [got for _, got in seen.requests] == [b"".join(pieces)] * 2
            await upstream.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_upstream_that_takes_nothing_more_ends_the_call(loop: str) -> None:
    async def play(peer: Peer) -> None:
        await asyncio.sleep(10)

    async def main() -> None:
        async with scripted(play) as seen:
            upstream = HttpUpstream(seen.url, timeouts=Timeouts(send=0.3, head=5.0))
            with pytest.raises(UpstreamError, match="to take the request") as told:
                await upstream.send(body([bytes(30_000_000)]))
            assert told.value.fault == "timeout"

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_only_a_bare_connection_is_written_to_beside_its_transport(loop: str) -> None:
    server, client = certified("localhost")

    async def main() -> None:
        for front, back in ((None, None), (server, client)):
            async with scripted(lambda peer: peer.left(), front) as seen:
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol,
                    "127.0.0.1",
                    seen.port,
                    ssl=back,
                    server_hostname="localhost" if back else None,
                )
                assert (bare_socket(transport) >= 0) is (back is None)
                transport.abort()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
