"""Nothing is kept of a call, of its connections, or of the guard before a reload, however it ended.

Nothing is left to the collector of cycles, which is off meanwhile: a busy proxy seldom runs it in
full, and what waits for that is kept with all that hangs on it, such as a guard's cache.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from guardrail import Action, Guard
from guardrail.policy import Policy
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.settings import Settings
from guardrail_integrations.proxy.upstream.pool import HttpUpstream
from tests.proxy.raw import ask, chat, post, wire
from tests.proxy.scripted import STREAM, Peer, Play, chunk, cut_short, hangs, rambles
from tests.proxy.serving import chat_answer, chat_chunks, data_url, running, says
from tests.proxy.test_upstream_fails import HANGS, impatient, once

INLINE = fixed_detector({"forbidden": 0.9}, inline=True)
SLOW = fixed_detector({"forbidden": 0.9})
WINDOWED = fixed_detector({"forbidden": 0.9}, window=16)
INPUT = policy_of(rule(INLINE, when=["input"]))
BOTH = policy_of(rule(INLINE))
POOLED = policy_of(rule(SLOW))
HELD = policy_of(rule(WINDOWED))
OVERLAPPED = policy_of(rule(SLOW, when=["input"]), overlap=True)
POLICIES = {
    "input": INPUT,
    "both": BOTH,
    "pooled": POOLED,
    "held": HELD,
    "overlapped": OVERLAPPED,
}
PICTURE = [{"type": "image_url", "image_url": {"url": data_url()}}]


@pytest.fixture(autouse=True)
def _uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def gone(*ones: weakref.ref[Any]) -> bool:
    """Whether all of them are gone within some seconds."""
    for _ in range(500):
        if all(one() is None for one in ones):
            return True
        await asyncio.sleep(0.01)
    return False


async def kept_after(
    policy: Policy,
    play: Play,
    call: Callable[[str], Awaitable[Any]],
    settings: Callable[[str], Settings] | None = None,
) -> bool:
    """Whether the guard outlives a call and a reload."""
    async with running(policy, play, settings) as proxy:
        guard = weakref.ref(proxy.server.proxy.rules.guard)
        await call(proxy.url)
        proxy.server.proxy.reload(Guard(policy))
        return not await gone(guard)


def asks(text: Any = "hello", **more: Any) -> Callable[[str], Awaitable[Any]]:
    return lambda url: ask(url, post(chat(text, **more)))


def leaves(body: bytes, until: bytes) -> Callable[[str], Awaitable[None]]:
    """A client that hangs up once it has read so far."""

    async def call(url: str) -> None:
        async with wire(url) as one:
            one.send(body)
            if until:
                await one.reader.readuntil(until)
            else:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)

    return call


async def stops_in_mid_stream(peer: Peer) -> None:
    await peer.request()
    await peer.say(STREAM, chunk(b"".join(chat_chunks("a")[:2])))
    await peer.left()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", ["quiet", "forbidden"])
@pytest.mark.parametrize("asked", ["hello", "forbidden"])
async def test_a_call_that_was_answered_or_blocked(
    policy: str, stream: bool, said: str, asked: str
) -> None:
    answer = chat_chunks(*[f"{said} "] * 20) if stream else chat_answer(said)
    assert not await kept_after(POLICIES[policy], says(answer), asks(asked, stream=stream))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_was_changed(stream: bool) -> None:
    policy = policy_of(rule(WINDOWED, Action.REDACT))
    answer = chat_chunks("forbidden ") if stream else chat_answer("forbidden")
    assert not await kept_after(policy, says(answer), asks("forbidden", stream=stream))


@pytest.mark.parametrize("detector", [INLINE, SLOW])
async def test_a_call_that_a_check_failed_on(detector: Any) -> None:
    fails = fixed_detector({}, error=RuntimeError("x"), inline=detector.spec.inline)
    assert not await kept_after(policy_of(rule(fails)), says(chat_answer("quiet")), asks())


async def test_a_call_with_a_picture() -> None:
    eye = fixed_detector({"IDAT": 0.9}, name="eye", reads="image")
    for action in (Action.FLAG, Action.BLOCK):
        policy = policy_of(rule(eye, action, when=["input"]))
        assert not await kept_after(policy, says(chat_answer("quiet")), asks(PICTURE))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("play", [cut_short, rambles])
async def test_an_answer_that_broke_off(policy: str, play: Play) -> None:
    assert not await kept_after(POLICIES[policy], play, asks())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("fails", "stream"), [row[:2] for row in HANGS[:-1]])
async def test_an_answer_that_went_wrong(policy: str, fails: Any, stream: bool) -> None:
    call = asks(stream=stream)
    assert not await kept_after(POLICIES[policy], once(fails), call, impatient)


@pytest.mark.parametrize("policy", POLICIES)
async def test_an_upstream_that_is_not_there(policy: str) -> None:
    nowhere = Settings.of("http://127.0.0.1:9")
    assert not await kept_after(POLICIES[policy], hangs, asks(), lambda _: nowhere)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("play", "call"),
    [
        (hangs, leaves(post(chat()), b"")),
        (hangs, leaves(post(chat())[:-5], b"")),
        (stops_in_mid_stream, leaves(post(chat(stream=True)), b"")),
        (says(chat_chunks("a")), leaves(post(chat(stream=True)), b"[DONE]")),
    ],
    ids=["before the answer", "in its body", "in the stream", "at its end"],
)
async def test_a_client_that_left(policy: str, play: Play, call: Any) -> None:
    assert not await kept_after(POLICIES[policy], play, call)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": [{"role": "user", "content": 1}]}'])
async def test_a_body_that_cannot_be_read(body: bytes) -> None:
    async def call(url: str) -> None:
        await ask(url, post(body))

    assert not await kept_after(BOTH, says(chat_answer("quiet")), call)


async def test_connections_that_are_over() -> None:
    async with running(INPUT, says(chat_answer("quiet"))) as proxy:
        listener, upstream = proxy.server.listener, proxy.server.proxy.upstreams["default"]
        assert isinstance(upstream, HttpUpstream)
        async with wire(proxy.url) as one:
            one.send(post(chat()))
            await one.get()
            kept = [weakref.ref(*listener.connections), weakref.ref(*upstream._idle)]
        await upstream.close()
        assert await gone(*kept)
