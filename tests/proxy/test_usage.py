"""How many tokens a call took is known, however its answer comes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from guardrail import Usage
from guardrail.policy import Proxying
from guardrail.testing import fixed_detector, policy_of, rule
from tests.proxy.raw import ask, chat, post
from tests.proxy.scripted import Peer, chunk
from tests.proxy.serving import chat_answer, chat_chunks, running, says

WORDS = fixed_detector({"forbidden": 0.9})
READS = policy_of(rule(WORDS))
FREE = policy_of(rule(WORDS, when=["input"]))
COUNTED = Usage(input_tokens=9, output_tokens=12)


@pytest.mark.parametrize("policy", [READS, FREE])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("more", [0, 40_000])
async def test_of_an_answer_whose_length_is_not_told(policy: Any, packed: bool, more: int) -> None:
    said = json.dumps(chat_answer("quiet")).encode().rjust(500 + more)
    body = gzip.compress(said) if packed else said
    kind = b"content-type: application/json\r\ntransfer-encoding: chunked\r\n"
    if packed:
        kind += b"content-encoding: gzip\r\n"

    async def play(peer: Peer) -> None:
        await peer.request()
        pieces = [chunk(body[:100]), chunk(body[100:])]
        await peer.say(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n", *pieces, b"0\r\n\r\n")

    async with running(policy, play) as proxy:
        got = await ask(proxy.url, post(chat(), more="Accept-Encoding: gzip\r\n"))
        assert got.body == body
        assert proxy.records.last.usage == COUNTED


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("piece", [1_000, 1_000_000])
async def test_of_an_answer_that_is_too_long_to_keep(length: bool, piece: int) -> None:
    body = json.dumps(chat_answer("quiet " * 100_000)).encode()
    more = b"content-length: %d" % len(body) if length else b"transfer-encoding: chunked"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + more + b"\r\n\r\n"
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]

    async def play(peer: Peer) -> None:
        await peer.request()
        sent = pieces if length else [*map(chunk, pieces), b"0\r\n\r\n"]
        await peer.say(head, *sent)

    async with running(FREE, play) as proxy:
        assert (await ask(proxy.url, post(chat()))).body == body
        assert proxy.records.last.usage == COUNTED


@pytest.mark.parametrize("policy", [READS, FREE])
async def test_of_embeddings(policy: Any) -> None:
    vectors = {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    async with running(policy, says(vectors)) as proxy:
        await ask(proxy.url, post({"model": "m", "input": "hello"}, "/v1/embeddings"))
        assert proxy.records.last.usage == Usage(input_tokens=5)


async def test_of_gateways_that_write_them_under_the_names_of_two_apis() -> None:
    both = chat_answer("quiet")
    both["usage"] |= {"input_tokens": 0, "output_tokens": None, "input_tokens_details": None}
    async with running(READS, says(both)) as proxy:
        await ask(proxy.url, post(chat()))
        assert proxy.records.last.usage == COUNTED


@pytest.mark.parametrize("rules", [READS.rules, FREE.rules])
@pytest.mark.parametrize("options", [{"include_usage": False}, {"include_obfuscation": False}])
async def test_of_a_stream_that_was_asked_for_other_things(rules: Any, options: Any) -> None:
    policy = policy_of(*rules, proxy=Proxying(stream_usage=True))
    async with running(policy, says(chat_chunks("quiet", usage=True))) as proxy:
        got = await ask(proxy.url, post(chat(stream=True, stream_options=options)))
        assert got.body == b"".join(chat_chunks("quiet"))
        asked = json.loads(proxy.upstream.requests[0][1])
        assert asked == chat(stream=True, stream_options={**options, "include_usage": True})
        assert proxy.records.last.usage == COUNTED


async def test_options_of_no_known_form_are_the_upstream_s_to_judge() -> None:
    policy = policy_of(*READS.rules, proxy=Proxying(stream_usage=True))
    async with running(policy, says(chat_chunks("quiet"))) as proxy:
        request = post(chat(stream=True, stream_options="all"))
        await ask(proxy.url, request)
        assert request.endswith(proxy.upstream.requests[0][1])


async def test_of_a_stream_whose_last_event_is_long() -> None:
    used = {"input_tokens": 9, "output_tokens": 12}
    begun = {"type": "response.created", "response": {"id": "r", "model": "m-1", "usage": None}}
    done = {"instructions": 'not "usage": {"input_tokens": 1} ' * 2_000, "status": "completed"}
    ended = {"type": "response.completed", "response": {**done, "usage": used, "user": None}}
    sent = b"".join(b"data: " + json.dumps(row).encode() + b"\n\n" for row in (begun, ended))
    pieces = [sent[at : at + 4_096] for at in range(0, len(sent), 4_096)]
    async with running(FREE, says(pieces)) as proxy:
        got = await ask(proxy.url, post({"input": "hello", "stream": True}, "/v1/responses"))
        assert got.body == sent
        assert proxy.records.last.usage == COUNTED
        assert proxy.records.last.response_model == "m-1"
