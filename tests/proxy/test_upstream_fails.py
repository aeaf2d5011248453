"""Upstreams that hang, send rubbish or never end: a clear error in its time, and the next call
is served."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.formats.sse import MAX_EVENT
from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.settings import Route, Settings, Target
from tests.proxy.raw import Got, ask, chat, post, wire
from tests.proxy.scripted import STREAM, Peer, Play, chunk, cut_short, rambles
from tests.proxy.serving import answered, chat_answer, chat_chunks, running

CHECKED = policy_of(rule(fixed_detector({"forbidden": 0.9})))
FREE = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=["input"]))
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def once(fails: Callable[[Peer], Awaitable[None]]) -> Play:
    """An upstream whose first request goes wrong, and every other well."""

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            if len(peer.seen.requests) == 1:
                await fails(peer)
                return
            await peer.say(*answered(chat_answer("quiet"), 200, {}))

    return play


def impatient(url: str) -> Settings:
    target = Target(url, timeouts=Timeouts(head=0.4, idle=0.4))
    return Settings({"default": target}, (Route("default", "default"),))


async def no_head(peer: Peer) -> None:
    await peer.left()


async def half_a_head(peer: Peer) -> None:
    await peer.say(JSON)
    await peer.left()


async def half_a_body(peer: Peer) -> None:
    await peer.say(JSON + b'content-length: 500\r\n\r\n{"choices": [')
    await peer.left()


async def half_a_stream(peer: Peer) -> None:
    await peer.say(STREAM, *map(chunk, chat_chunks("a", "b")[:2]))
    await peer.left()


async def half_an_event(peer: Peer) -> None:
    await peer.say(STREAM, *map(chunk, chat_chunks("a")[:2]), chunk(b'data: {"choices": ['))
    await peer.left()


async def rubbish_in_a_stream(peer: Peer) -> None:
    await peer.say(STREAM, *map(chunk, chat_chunks("a")[:2]), b"no chunk at all\r\n")
    await peer.left()


async def no_utf8_in_a_stream(peer: Peer) -> None:
    await peer.say(STREAM, *map(chunk, chat_chunks("a")[:2]), chunk(b'data: {"a": "\xff"}\n\n'))
    await peer.left()


async def no_json_in_a_stream(peer: Peer) -> None:
    await peer.say(STREAM, *map(chunk, chat_chunks("a")[:2]), chunk(b"data: {forbidden\n\n"))
    await peer.left()


async def endless_line(peer: Peer) -> None:
    await peer.say(STREAM, *map(chunk, chat_chunks("a")[:2]), chunk(b"data: "))
    while True:
        await peer.say(chunk(b"x" * 500_000))


HANGS = [
    (no_head, False, "timeout"),
    (half_a_head, False, "timeout"),
    (half_a_body, False, "timeout"),
    (half_a_stream, True, "timeout"),
    (half_an_event, True, "timeout"),
    (rubbish_in_a_stream, True, "garbage"),
    (no_utf8_in_a_stream, True, "garbage"),
    (no_json_in_a_stream, True, "garbage"),
    (endless_line, True, "garbage"),
]


def code_of(got: Got) -> str:
    """The code of an answer that is an error, or of the error that ends a stream."""
    body = got.body.rpartition(b"data: ")[2] if got.status == 200 else got.body
    return str(json.loads(body)["error"]["code"])


@pytest.mark.parametrize(("fails", "stream", "fault"), HANGS)
async def test_what_goes_wrong_in_a_checked_answer_is_said(
    fails: Any, stream: bool, fault: str
) -> None:
    began = time.monotonic()
    async with running(CHECKED, once(fails), impatient) as proxy, wire(proxy.url) as one:
        one.send(post(chat(stream=stream)))
        got = await one.get()
        if stream:  # what had come is checked, and goes before the error
            assert got.body.startswith(chat_chunks("a")[0] + chat_chunks("a")[1])
        else:
            assert got.status == 504
        assert code_of(got) == f"upstream_{fault}"
        assert b"forbidden" not in got.body
        assert proxy.records.last.error == "UpstreamError"
        one.send(post(chat()))
        assert (await one.get()).status == 200
        assert proxy.server.proxy.capacity.buffered == 0
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("fails", "fault"), [row[::2] for row in HANGS if row[1] and row[2] == "timeout"]
)
async def test_a_stream_that_nobody_checks_ends_with_an_error(fails: Any, fault: str) -> None:
    async with running(FREE, once(fails), impatient) as proxy, wire(proxy.url) as one:
        one.send(post(chat(stream=True)))
        got = await one.get()
        assert got.status == 200
        assert got.body.startswith(chat_chunks("a")[0])
        assert code_of(got) == f"upstream_{fault}"
        one.send(post(chat()))
        assert (await one.get()).status == 200


async def test_an_error_is_no_part_of_an_event_that_broke_off() -> None:
    for begun in (b'data: {"choices": [', b'data: {"choices": []}\n'):

        async def breaks_off(peer: Peer, begun: bytes = begun) -> None:
            await peer.say(STREAM, *map(chunk, [*chat_chunks("a")[:2], begun]))

        async with running(FREE, once(breaks_off)) as proxy:
            got = await ask(proxy.url, post(chat(stream=True)))
            *_, broken, error, rest = got.body.split(b"\n\n")
            assert (broken, rest) == (begun.rstrip(), b"")
            assert (
                json.loads(error.lstrip().removeprefix(b"data: "))["error"]["code"]
                == "upstream_closed"
            )


async def test_an_endless_line_that_no_rule_reads_ends_in_an_error_too() -> None:
    async with running(FREE, once(endless_line), impatient) as proxy:
        async with wire(proxy.url) as one:
            one.send(post(chat(stream=True)))
            got = await one.get()
            assert MAX_EVENT - (1 << 20) < len(got.body) < MAX_EVENT + (1 << 20)
            assert code_of(got) == "upstream_garbage"
            assert b"a line of more than 16 MiB" in got.body[-400:]
        assert (await ask(proxy.url, post(chat()))).status == 200


async def test_an_answer_that_is_not_whole_is_no_answer() -> None:
    """One that is too long to be kept, and of which a part has been passed on."""

    async def long(peer: Peer) -> None:
        await peer.say(JSON + b"content-length: 900000\r\n\r\n" + b" " * 400_000)
        await peer.left()

    async with running(FREE, once(long), impatient) as proxy:
        async with wire(proxy.url) as one:
            one.send(post(chat()))
            with pytest.raises(asyncio.IncompleteReadError):
                await one.get()
        assert (await ask(proxy.url, post(chat()))).status == 200


async def closes(peer: Peer) -> None:
    await peer.request()


async def not_json(peer: Peer) -> None:
    await peer.request()
    kind = b"content-type: application/json\r\ncontent-length: 4\r\n\r\n"
    await peer.say(b"HTTP/1.1 200 OK\r\n" + kind + b"nope")
    await peer.left()


@pytest.mark.parametrize(
    ("play", "status", "code"),
    [
        (closes, 502, "upstream_closed"),
        (rambles, 502, "upstream_garbage"),
        (cut_short, 502, "upstream_closed"),
        (not_json, 502, "unreadable_answer"),
    ],
)
async def test_an_upstream_that_fails_is_told_of(play: Any, status: int, code: str) -> None:
    async with running(CHECKED, play) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (status, code)
        assert got.header("x-request-id") == proxy.records.last.id
        assert got.json["error"]["guardrail"]["record"] == proxy.records.last.id


async def test_an_upstream_that_is_not_there_is_told_of() -> None:
    async with running(
        CHECKED, once(no_head), lambda _: Settings.of("http://127.0.0.1:9")
    ) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (502, "upstream_unreachable")


@pytest.mark.parametrize("policy", [CHECKED, policy_of()])
async def test_a_stream_that_breaks_off_is_no_whole_answer(policy: Any) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(STREAM, chunk(chat_chunks("a")[1]))

    async with running(policy, play) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        if got.status == 200:
            assert b'"code": "upstream_closed"' in got.body
        else:
            assert (got.status, got.code) == (502, "upstream_closed")
