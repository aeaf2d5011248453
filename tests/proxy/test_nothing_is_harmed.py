"""What the policy leaves alone goes through byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.testing import fixed_detector, policy_of, rule
from guardrail.verdict import Action
from guardrail_integrations.proxy.formats.json_body import read_json
from guardrail_integrations.proxy.formats.json_splice import locate, rewritten
from guardrail_integrations.proxy.formats.sse import SseReader, read_event
from tests.proxy import test_messages, test_responses
from tests.proxy.raw import ask, chat, post, wire
from tests.proxy.scripted import Peer
from tests.proxy.serving import chat_answer, chat_chunks, data_url, running, says

INPUT = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=["input", "tool"]))
BOTH = policy_of(rule(fixed_detector({"forbidden": 0.9})))
REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}), Action.REDACT))

ODD = (
    b'{ "zeta":1e2,\t"model" : "m-1", "unknown":{"b":[1,2.50,null],"a":"\\u00e9\\/"},\r\n'
    b' "messages":[{"content":"caf\xc3\xa9 \\ud83d\\ude00","role":"user","x":true}] }'
)


@pytest.mark.parametrize("policy", [INPUT, BOTH])
async def test_a_request_arrives_byte_for_byte(policy: Any) -> None:
    more = (
        "Authorization: Bearer k\r\nX-Custom: one\r\nx-custom: two\r\nConnection: X-Hop\r\n"
        "X-Hop: gone\r\nx-guardrail-tenant: t\r\nUser-Agent: odd/1\r\n"
    )
    async with running(policy, says(chat_answer("quiet"))) as proxy:
        got = await ask(proxy.url, post(ODD, more=more))
        assert got.status == 200
        head, body = proxy.upstream.requests[0]
        assert body == ODD
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
        assert lines[1] == b"Host: " + proxy.upstream.url.removeprefix("http://").encode()
        assert b"X-Custom: one" in lines
        assert b"x-custom: two" in lines
        assert b"Authorization: Bearer k" in lines
        assert not [line for line in lines if b"x-hop" in line.lower()]
        assert not [line for line in lines if b"guardrail" in line.lower()]
        assert proxy.records.last.context.tenant == "t"


@pytest.mark.parametrize("policy", [INPUT, BOTH])
async def test_an_answer_comes_back_byte_for_byte(policy: Any) -> None:
    body = b'{ "choices":[ {"message":{"content":"qui\\u0065t","extra":1},"index":0} ], "z": 1.0 }'
    headers = {
        "Content-Type": "application/json",
        "x-request-id": "req-1",
        "x-ratelimit-remaining-tokens": "12",
        "retry-after": "3",
        "OpenAI-Version": "2020",
    }
    async with running(policy, says(body, headers=headers)) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert got.body == body
        for name, value in headers.items():
            assert f"{name}: {value}".encode() in got.head


async def test_an_answer_without_content_is_one_too() -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 204 No Content\r\nx-request-id: req-1\r\n\r\n")

    async with running(BOTH, play) as proxy, wire(proxy.url) as one:
        for _ in range(2):
            one.send(post(chat()))
            head = await one.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 204 No Content\r\nx-request-id: req-1\r\n")


async def test_what_belongs_to_the_upstream_s_connection_stays_there() -> None:
    headers = {"Connection": "X-Hop, keep-alive", "X-Hop": "1", "Keep-Alive": "3", "X-Far": "2"}
    async with running(INPUT, says(chat_answer("quiet"), headers=headers)) as proxy:
        got = await ask(proxy.url, post(chat()))
        names = {line.partition(b":")[0].lower() for line in got.head.split(b"\r\n")}
        assert not names & {b"x-hop", b"keep-alive", b"connection"}
        assert names >= {b"x-far", b"content-length"}


@pytest.mark.parametrize("policy", [INPUT, BOTH])
async def test_an_upstream_error_is_unchanged(policy: Any) -> None:
    body = b'{"error":{"message":"slow down","type":"rate_limit"}}'
    headers = {"retry-after-ms": "20", "x-should-retry": "true", "content-type": "application/json"}
    async with running(policy, says(body, status=429, headers=headers)) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.body) == (429, body)
        assert got.header("retry-after-ms") == "20"


@pytest.mark.parametrize("policy", [INPUT, BOTH])
async def test_a_stream_keeps_its_framing(policy: Any) -> None:
    chunks = [
        b": keep-alive\n\n",
        b"event: chunk\r\nid: 7\r\ndata: " + chat_chunks("a")[1][6:-2] + b"\r\n\r\n",
        b'data:{"choices":[{"index":1,"delta":{"tool_calls":[{"index":2,"function":'
        b'{"arguments":"{\\"a\\":"}}]},"logprobs":{"x":[1]}}],"zz":"\\u0041"}\n\n',
        b'retry: 3\ndata: {"choices":\ndata: []}\n\n',
        *chat_chunks("quiet", usage=True),
    ]
    async with running(policy, says(chunks)) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert got.header("content-type") == "text/event-stream"
        sent, come = b"".join(chunks), got.body
        if policy is BOTH:  # a comment does not wait for the answer to be checked
            sent, come = sent.replace(chunks[0], b""), come.replace(chunks[0], b"", 1)
        assert come == sent


@pytest.mark.parametrize("policy", [INPUT, BOTH])
@pytest.mark.parametrize("api", ["responses", "messages"])
async def test_the_other_apis_come_back_byte_for_byte(policy: Any, api: str) -> None:
    module: Any = {"responses": test_responses, "messages": test_messages}[api]
    whole = json.dumps(module.answer("quiet \u00e9"), indent=1).encode()
    headers = {"content-type": "application/json"}
    async with running(policy, says(whole, headers=headers)) as proxy:
        got = await ask(proxy.url, post(chat(), f"/v1/{api}"))
        assert got.body == whole
        assert proxy.records.last.usage.output_tokens == 12
    events = module.events("quiet ", "words")
    async with running(policy, says(events)) as proxy:
        got = await ask(proxy.url, post(chat(stream=True), f"/v1/{api}"))
        assert got.body == b"".join(events)
        assert proxy.records.last.usage.output_tokens == 12


async def test_a_compressed_answer_stays_compressed() -> None:
    plain = json.dumps(chat_answer("a secret")).encode()
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    packed = gzip.compress(plain)
    async with running(BOTH, says(packed, headers=headers)) as proxy:
        got = await ask(proxy.url, post(chat(), more="Accept-Encoding: br, gzip;q=0.5, zstd\r\n"))
        assert got.body == packed
        assert got.header("content-encoding") == "gzip"
        assert b"accept-encoding: gzip;q=0.5" in proxy.upstream.requests[0][0].lower()
    async with running(REDACTS, says(packed, headers=headers)) as proxy:
        got = await ask(proxy.url, post(chat(), more="Accept-Encoding: gzip\r\n"))
        assert got.header("content-encoding") is None
        assert got.json["choices"][0]["message"]["content"] == "a [secret]"


async def test_a_compressed_request_is_read_and_passed_on_compressed() -> None:
    packed = gzip.compress(json.dumps(chat()).encode())
    blocked = gzip.compress(json.dumps(chat("forbidden")).encode())
    async with running(BOTH, says(chat_answer("quiet"))) as proxy:
        got = await ask(proxy.url, post(packed, more="Content-Encoding: gzip\r\n"))
        assert got.status == 200
        assert proxy.upstream.requests[0][1] == packed
        got = await ask(proxy.url, post(blocked, more="Content-Encoding: gzip\r\n"))
        assert got.status == 400


async def test_redaction_changes_only_the_bytes_it_must() -> None:
    body = ODD.replace(b"caf\xc3\xa9", b"caf\xc3\xa9 secret \\/ \\u00e9")
    async with running(REDACTS, says(chat_answer("quiet"))) as proxy:
        await ask(proxy.url, post(body))
        assert proxy.upstream.requests[0][1] == body.replace(b"secret", b"[secret]")


async def test_log_probabilities_do_not_spell_out_what_was_taken_away() -> None:
    answer = chat_answer("my secret")
    answer["choices"][0]["logprobs"] = {"content": [{"token": "secret", "logprob": -0.1}]}
    async with running(REDACTS, says(answer)) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert b'"token"' not in got.body
        assert got.json["choices"][0]["message"]["content"] == "my [secret]"


@pytest.mark.parametrize("stream", [True, False])
async def test_numbers_of_tokens_do_not_spell_out_what_was_taken_away(stream: bool) -> None:
    whole = chat_answer("my secret")
    whole["choices"][0]["token_ids"] = [7_654]
    chunks = [
        chunk.replace(b'"logprobs": null', b'"logprobs": null, "token_ids": [7654]')
        for chunk in chat_chunks("quiet", "my secret")
    ]
    async with running(REDACTS, says(chunks if stream else whole)) as proxy:
        got = await ask(proxy.url, post(chat(stream=stream)))
        assert b"my [secret]" in got.body
        assert got.body.count(b"7654") == (3 if stream else 0)  # those of other chunks stay
        if stream:
            assert chunks[1] in got.body


@pytest.mark.parametrize("stream", [True, False])
async def test_nor_do_those_of_llama_cpp(stream: bool) -> None:
    spelled = [{"id": 7_654, "token": "sec"}, {"id": 7_655, "token": "ret"}]
    said = {"content": "secret", "tokens": [7_654, 7_655], "completion_probabilities": spelled}
    event = b"data: " + json.dumps(said).encode() + b"\n\n"
    async with running(REDACTS, says([event] if stream else said)) as proxy:
        got = await ask(proxy.url, post({"prompt": "hello", "stream": stream}, "/completions"))
        assert b"[secret]" in got.body
        assert b"765" not in got.body
        assert b'"sec"' not in got.body


async def test_other_paths_pass_untouched() -> None:
    async def play(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            length = b"content-length: %d\r\nX-Odd: 1\r\n\r\n" % len(body)
            await peer.say(b"HTTP/1.1 202 Sure\r\n" + length + body)

    async with running(BOTH, play) as proxy:
        data = bytes(range(256)) * 4_000
        got = await ask(proxy.url, post(data, "/v1/files?purpose=x%20y"))
        assert (got.status, got.body) == (202, data)
        assert got.head.startswith(b"HTTP/1.1 202 Sure\r\n")
        assert proxy.upstream.requests[0][0].startswith(b"POST /v1/files?purpose=x%20y HTTP/1.1")
        chunked = post(b"", "/v1/files", "Transfer-Encoding: chunked\r\n", length=False)
        got = await ask(proxy.url, chunked + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        assert got.body == b"abcde"


async def test_an_empty_answer_in_chunks_ends() -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")

    policy = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=["input"]))
    async with running(policy, play) as proxy, wire(proxy.url) as one:
        for path in ("/v1/chat/completions", "/v1/files/file-1"):
            one.send(post(chat(), path))
            got = await asyncio.wait_for(one.get(), 5)
            assert (got.status, got.body) == (200, b"")


async def test_a_picture_passes_untouched_and_its_text_is_not_a_prompt() -> None:
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": data_url(64), "detail": "low"}},
    ]
    async with running(BOTH, says(chat_answer("quiet"))) as proxy:
        request = post(chat(content))
        got = await ask(proxy.url, request)
        assert got.status == 200
        assert request.endswith(proxy.upstream.requests[0][1])
        kinds = [part.kind for part in proxy.records.last.stages[0].parts]
        assert kinds == ["text", "image"]


async def test_a_connection_carries_many_calls_also_sent_ahead() -> None:
    async with running(BOTH, says(chat_answer("quiet"))) as proxy, wire(proxy.url) as one:
        one.send(post(chat()) + post(chat("forbidden")) + post(chat()))
        assert [(await one.get()).status for _ in range(3)] == [200, 400, 200]
        one.send(post(chat()))
        assert (await one.get()).status == 200
        assert proxy.upstream.connections == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_upstream_call(stream: bool) -> None:
    asked = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        asked.set()
        if stream:
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            await peer.say(chat_chunks("a")[1])
        await peer.left()

    async with running(INPUT, play) as proxy:
        async with wire(proxy.url) as one:
            one.send(post(chat(stream=stream)))
            await asked.wait()
            if stream:
                await one.reader.readuntil(b"\n\n")
        await asyncio.wait_for(proxy.upstream.left.wait(), 5)
        for _ in range(100):
            if len(proxy.records):
                break
            await asyncio.sleep(0.01)
        assert len(proxy.records) == 1


async def test_a_client_that_does_not_read_holds_the_upstream_back() -> None:
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        event = b"data: " + json.dumps({"choices": [], "pad": "x" * 60_000}).encode() + b"\n\n"
        for _ in range(2_000):
            peer.writer.write(event)
            await peer.writer.drain()
            sent += len(event)

    async with running(INPUT, play) as proxy, wire(proxy.url) as one:
        one.writer.transport.set_write_buffer_limits(1)
        one.send(post(chat(stream=True)))
        await one.reader.readuntil(b"\r\n\r\n")
        one.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        before = sent
        await asyncio.sleep(0.3)
        assert sent == before
        assert sent < 60_000_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.data())
def test_events_are_cut_alike_however_they_come(texts: list[str], data: st.DataObject) -> None:
    ends = [data.draw(st.sampled_from(["\n", "\r\n", "\r"])) for _ in texts]
    raw = "".join(
        f"data: {json.dumps({'t': text})}{end}{end}" for text, end in zip(texts, ends, strict=True)
    ).encode()
    cut = data.draw(st.integers(0, len(raw)))
    reader = SseReader()
    events = [*reader.feed(raw[:cut]), *reader.feed(raw[cut:])]
    rest = reader.end()
    assert b"".join(events) + rest == raw
    read = [read_event(event).data for event in [*events, *([rest] if rest else [])]]
    assert [row["t"] for row in read] == texts


_EVENTS = [
    b'data: {"choices": [], "usage": {"completion_tokens": 3}}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": null}\n\n',
    b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n',
    b'data: {"choices": [], "usage": {"completion_tokens": 3}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"\\"choices\\": []"}}]}\r\n\r\n',
    b": still here\n\n",
    b"data: [DONE]\n\n",
]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(_EVENTS), max_size=8), st.lists(st.integers(1, 60), max_size=12))
def test_only_the_event_that_tells_the_usage_is_taken_out(
    events: list[bytes], sizes: list[int]
) -> None:
    raw, reader, got = b"".join(events), SseReader(), []
    for size in [*sizes, len(raw)]:
        piece, raw = raw[:size], raw[size:]
        got.append(reader.without_usage(piece))
    assert b"".join([*got, reader.end()]) == b"".join(e for e in events if e != _EVENTS[0])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += _paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _paths(item, (*path, index))
    return found


@settings(max_examples=150, deadline=None)
@given(_JSON, st.booleans(), st.sampled_from([None, 1, "\t"]), st.data())
def test_every_value_is_found_where_it_stands(
    value: Any, ascii_only: bool, indent: Any, data: st.DataObject
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8")
    path = data.draw(st.sampled_from(_paths(value)))
    ((start, end),) = locate(raw, [path]).values()
    wanted = value
    for step in path:
        wanted = wanted[step]
    assert json.loads(raw[start:end]) == wanted
    spliced = b"".join(read_json(raw).spliced({path: {"new": [1]}}))
    assert spliced == raw[:start] + b'{"new":[1]}' + raw[end:]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.data())
def test_a_string_is_rewritten_with_the_bytes_of_what_stays(
    old: str, new: str, data: st.DataObject
) -> None:
    written = []
    for character in old:
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        forms = [plain, json.dumps(character)[1:-1]]
        if character == "/":
            forms.append("\\/")
        written.append(data.draw(st.sampled_from(forms)))
    literal = ('"' + "".join(written) + '"').encode()
    assert json.loads(rewritten(literal, new)) == new
    assert rewritten(literal, old) == literal
