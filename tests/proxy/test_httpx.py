"""The transport under httpx, against the transport that httpx brings."""

from __future__ import annotations

import httpx
import pytest

from guardrail_integrations.httpx import HttpxTransport
from tests.proxy.scripted import Peer, answering, cut_short, hangs, rambles, scripted

RAW = (
    b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
)


async def says(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.say(RAW)


async def test_answers_are_those_of_httpx() -> None:
    async with scripted(says) as seen:
        found = []
        for transport in (HttpxTransport(), httpx.AsyncHTTPTransport()):
            async with httpx.AsyncClient(transport=transport) as client:
                answer = await client.post(seen.url + "/a?b=c", json={"x": 1}, params={"d": "e f"})
                found.append(
                    (answer.status_code, answer.reason_phrase, answer.text, answer.headers)
                )
        assert found[0] == found[1]
        assert seen.requests[0] == seen.requests[1]


async def test_streams_both_ways() -> None:
    async def pieces():
        yield b"one"
        yield b"two"

    async with scripted(answering) as seen, httpx.AsyncClient(transport=HttpxTransport()) as client:
        async with client.stream("POST", seen.url, content=pieces()) as answer:
            assert b"".join([piece async for piece in answer.aiter_raw()]) == b"onetwo"
        assert (await client.get(seen.url)).content == b""
        assert seen.connections == 1


@pytest.mark.parametrize("play", [hangs, rambles, cut_short])
async def test_errors_are_those_of_httpx(play) -> None:
    async with scripted(play) as seen:
        found = []
        for transport in (HttpxTransport(), httpx.AsyncHTTPTransport()):
            async with httpx.AsyncClient(transport=transport, timeout=0.2) as client:
                with pytest.raises(httpx.TransportError) as raised:
                    await client.get(seen.url)
                found.append(raised.type)
        assert found[0] is found[1]


async def test_nothing_listens() -> None:
    async with scripted(answering) as seen:
        url = seen.url
    async with httpx.AsyncClient(transport=HttpxTransport()) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
