"""Whatever comes ends in a clear error within its time, and the next request is served."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import pytest

from guardrail import Action, Status
from guardrail.errors import NotRun
from guardrail.hosting import Stage
from guardrail.policy import Mode, Policy, Proxying, Unscreenable
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.http_server import Clock
from guardrail_integrations.proxy.settings import Route, Settings, Target
from tests.proxy.raw import Got, ask, chat, post, wire
from tests.proxy.scripted import Peer
from tests.proxy.serving import Running, chat_answer, chat_chunks, data_url, running, says

BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9})))
QUIET = says(chat_answer("quiet"))
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"


def tight(url: str, **options: Any) -> Settings:
    return Settings({"default": Target(url)}, (Route("default", "default"),), **options)


def recorded(proxy: Running, got: Got) -> tuple[str, Status, Action]:
    """The strictest rule of the call's record, which the client can name, and how it ended."""
    record = proxy.records.last
    if got.status != 200 and b"guardrail" in got.body:
        assert got.header("x-request-id") == record.id
        assert got.json["error"]["guardrail"]["record"] == record.id
    (stage,) = [stage for stage in record.stages if stage.stage is Stage.INPUT]
    result = max(stage.verdict.rules, key=lambda one: one.action)
    assert "forbidden" not in str(record.to_dict()).replace("fetch_forbidden", "")
    return result.rule, result.status, result.action


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"model":"m","messages":[]} trailing',
        b'{"messages":[{"role":"user","content":"caf\xe9"}]}',
        b'{"messages":[],"messages":[{"role":"user","content":"forbidden"}]}',
        b'{"messages":[{"role":"user","content":"a","content":"forbidden"}]}',
        b'{"messages":[{"role":"user","content":"a","cont\\u0065nt":"forbidden"}]}',
        b'{"a":NaN}',
        b"[1]",
        b'"text"',
        b'\xef\xbb\xbf{"messages":[]}',
        '{"messages":[]}'.encode("utf-16"),
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"messages":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"messages":[{"role":"user","content":"a\nb"}]}',
        b'{"a":' + b"9" * 10_000 + b"}",
    ],
)
async def test_a_body_that_cannot_be_read_whole_is_refused(body: bytes) -> None:
    async with running(BLOCKS, QUIET) as proxy, wire(proxy.url) as one:
        one.send(post(body))
        got = await one.get()
        assert (got.status, got.code) == (400, "malformed_body"), got.body
        assert got.json["error"]["type"] == "invalid_request_error"
        assert not proxy.upstream.requests
        assert recorded(proxy, got) == ("proxy.malformed", Status.ERROR, Action.BLOCK)
        one.send(post(chat()))
        assert (await one.get()).status == 200


@pytest.mark.parametrize(
    "policy", [policy_of(proxy=Proxying(malformed="pass")), policy_of(mode=Mode.SHADOW)]
)
async def test_a_malformed_body_passes_where_the_policy_says_so(policy: Policy) -> None:
    async with running(policy, says(b"no", status=422)) as proxy:
        got = await ask(proxy.url, post(b"{broken"))
        assert got.status == 422
        assert proxy.upstream.requests[0][1] == b"{broken"
        assert recorded(proxy, got) == ("proxy.malformed", Status.ERROR, Action.FLAG)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("text/plain", 200),
        ("multipart/form-data; boundary=x", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_content_types(kind: str, status: int) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        data = json.dumps(chat()).encode()
        head = HEAD + f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        assert (await ask(proxy.url, head + data)).status == status


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "//v1//chat/completions",
        "/v1/chat/./completions",
        "/V1/Chat/Completions",
        "/v1/chat%2Fcompletions",
        "/v1/%63hat/completions?x=1",
        "/openai/deployments/d/chat/completions?api-version=1",
    ],
)
async def test_no_way_of_writing_the_path_leads_past_the_guard(path: str) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(chat("forbidden"), path))
        assert got.status == 400
        assert not proxy.upstream.requests


@pytest.mark.parametrize(
    "call",
    [
        {"messages": [{"role": "user", "content": "a"}], "Messages": [{"content": "forbidden"}]},
        {"messages": [{"role": "user", "content": "a", "parts": ["forbidden"]}]},
        {"messages": [{"role": "invented", "content": {"deep": "forbidden"}}]},
        {"messages": {"0": {"role": "user", "content": "forbidden"}}},
        {"messages": ["forbidden"]},
        {"messages": [], "prompt": "forbidden"},
        {"messages": [{"role": "tool", "tool_call_id": "t", "content": "forbidden"}]},
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"arguments": "forbidden"}}
                    ],
                }
            ]
        },
    ],
)
async def test_text_in_places_nobody_expects_is_screened(call: Any) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post({"model": "m", **call}))
        assert (got.status, got.code) == (400, "policy_violation")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}},
        {"type": "invented", "x": 1},
    ],
)
async def test_what_no_check_can_look_at_follows_the_policy(block: Any) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(chat([block])))
        assert (got.status, got.code) == (400, "unscreenable")
        assert got.json["error"]["param"] == "messages/0/content/0" or "file" in str(block)
        rule_id, *ended = recorded(proxy, got)
        assert rule_id.startswith("unscreenable.")
        assert ended == [Status.NOT_RUN, Action.BLOCK]
    kinds = {"audio": "flag", "video": "flag", "file": "flag", "other": "flag"}
    policy = policy_of(unscreenable=Unscreenable(**kinds))  # type: ignore[arg-type]
    async with running(policy, QUIET) as proxy:
        got = await ask(proxy.url, post(chat([block])))
        assert got.status == 200
        assert "unscreenable." in str(got.header("x-guardrail-rules"))
        assert recorded(proxy, got)[1:] == (Status.NOT_RUN, Action.FLAG)
        assert proxy.records.last.action is Action.FLAG
    async with running(policy_of(mode=Mode.SHADOW), QUIET) as proxy:
        got = await ask(proxy.url, post(chat([block])))
        assert got.status == 200
        assert "=block" in str(got.header("x-guardrail-would"))
        assert proxy.records.last.action is Action.ALLOW


def picture(url: str) -> Any:
    return chat([{"type": "image_url", "image_url": {"url": url}}])


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,AAA", "bad_base64"),
        ("data:image/png;base64,!!!!", "bad_base64"),
        ("data:image/png;base64," + data_url()[22:-9], "bad_base64"),
        ("data:image/png;base64," + data_url(64)[22:-60], "content_unreadable"),
        ("data:image/png;base64,AAAA", "content_unreadable"),
        ("data:image/png", "bad_data_url"),
        ("file:///etc/passwd", "fetch_forbidden"),
        ("http://127.0.0.1:1/x.png", "fetch_forbidden"),
        ("http://169.254.169.254/latest/meta-data", "fetch_forbidden"),
        ("http://[::ffff:10.0.0.1]/x.png", "fetch_forbidden"),
    ],
)
async def test_a_picture_that_cannot_be_read_is_refused(url: str, code: str) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(picture(url)))
        assert (got.status, got.code) == (400, code), got.body
        assert not proxy.upstream.requests
        rule_id = "proxy.addresses" if code == "fetch_forbidden" else "limits"
        assert recorded(proxy, got)[0] == rule_id
    async with running(policy_of(mode=Mode.SHADOW), QUIET) as proxy:
        request = post(picture(url))
        assert (await ask(proxy.url, request)).status == 200
        assert request.endswith(proxy.upstream.requests[0][1])
        assert proxy.records.last.action <= Action.FLAG


async def test_a_thousand_pictures_are_refused_unopened() -> None:
    block = {"type": "image_url", "image_url": {"url": data_url()}}
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(chat([block] * 1_000)))
        assert (got.status, got.code) == (400, "content_unreadable")
        assert "1000 pictures" in got.json["error"]["message"]


async def test_a_check_that_could_not_run_is_no_verdict() -> None:
    for again in (False, True):
        broken = fixed_detector({"x": 1.0}, error=NotRun("weights are missing"))
        policy = policy_of(rule(broken), proxy=Proxying(retry_unavailable=again))
        async with running(policy, QUIET) as proxy:
            got = await ask(proxy.url, post(chat()))
            assert (got.status, got.code) == (503, "guardrail_unavailable")
            assert got.header("x-should-retry") == str(again).lower()
            assert proxy.records.last.stages[0].verdict.rules[-1].status is Status.NOT_RUN


async def test_a_check_of_a_stream_that_could_not_run_is_no_verdict() -> None:
    broken = fixed_detector({"x": 1.0}, error=NotRun("weights are missing"))
    policy = policy_of(rule(broken, when=["output"]))
    async with running(policy, says(chat_chunks("a"))) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert (got.status, got.code) == (503, "guardrail_unavailable")


async def test_what_shadow_rules_would_do_travels_in_headers() -> None:
    shadow = rule(fixed_detector({"odd": 0.9}, name="odd"), mode=Mode.SHADOW)
    flags = rule(fixed_detector({"hm": 0.9}, name="hm"), Action.FLAG)
    for told in (True, False):
        policy = policy_of(shadow, flags, proxy=Proxying(verdict_headers=told))
        async with running(policy, QUIET) as proxy:
            got = await ask(proxy.url, post(chat("odd, hm")))
            assert got.status == 200
            wanted = ("odd=block", "hm=flag") if told else (None, None)
            assert (got.header("x-guardrail-would"), got.header("x-guardrail-rules")) == wanted


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"X: a\r\n b\r\n\r\n", 400),
        (HEAD + b"X: a\nY: b\r\n\r\n", 400),
        (HEAD + b"X: a\rY: b\r\n\r\n", 400),
        (HEAD + b"X: a\x00b\r\n\r\n", 400),
        (HEAD + b"Host: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"POST http://other/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (HEAD + b"X: y\r\n" * 1_000 + b"\r\n", 431),
    ],
)
async def test_what_is_not_http_is_answered_and_hung_up_on(data: bytes, status: int) -> None:
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
    async with running(BLOCKS, QUIET, functools.partial(tight, max_body=100_000)) as proxy:
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
    async with running(BLOCKS, QUIET, functools.partial(tight, max_body=1 << 20)) as proxy:
        got = await ask(proxy.url, post(bomb, more="Content-Encoding: gzip\r\n"))
        assert got.status == 415
        got = await ask(proxy.url, post(b"x", more="Content-Encoding: br\r\n"))
        assert (got.status, got.code) == (415, "unsupported_encoding")


async def test_slow_clients_are_hung_up_on() -> None:
    clock = Clock(head=0.2, idle=0.2, pause=0.2)
    async with running(BLOCKS, QUIET, functools.partial(tight, clock=clock)) as proxy:
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


async def hangs(peer: Peer) -> None:
    await peer.request()
    await peer.left()


async def closes(peer: Peer) -> None:
    await peer.request()


async def garbage(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"SMTP ready\r\n\r\n")


async def cut_short(peer: Peer) -> None:
    await peer.request()
    await peer.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
    )


async def not_json(peer: Peer) -> None:
    await peer.request()
    kind = b"content-type: application/json\r\ncontent-length: 4\r\n\r\n"
    await peer.say(b"HTTP/1.1 200 OK\r\n" + kind + b"nope")
    await peer.left()


@pytest.mark.parametrize(
    ("play", "status", "code"),
    [
        (closes, 502, "upstream_closed"),
        (garbage, 502, "upstream_garbage"),
        (cut_short, 502, "upstream_closed"),
        (not_json, 502, "unreadable_answer"),
    ],
)
async def test_an_upstream_that_fails_is_told_of(play: Any, status: int, code: str) -> None:
    async with running(BLOCKS, play) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (status, code)


async def test_an_upstream_that_is_not_there_is_told_of() -> None:
    async with running(BLOCKS, QUIET, lambda _: Settings.of("http://127.0.0.1:9")) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (502, "upstream_unreachable")


@pytest.mark.parametrize("policy", [BLOCKS, policy_of()])
async def test_a_stream_that_breaks_off_is_no_whole_answer(policy: Any) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        event = chat_chunks("a")[1]
        await peer.say(b"HTTP/1.1 200 OK\r\n" + kind + b"%x\r\n%b\r\n" % (len(event), event))

    async with running(policy, play) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        if got.status == 200:
            assert b'"code": "upstream_closed"' in got.body
        else:
            assert (got.status, got.code) == (502, "upstream_closed")


async def test_an_event_that_cannot_be_read_is_not_passed_on_unread() -> None:
    chunks = [b"data: {broken forbidden\n\n", b"data: [DONE]\n\n"]
    async with running(BLOCKS, says(chunks)) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert got.status == 502
        assert b"forbidden" not in got.body


async def test_too_much_at_once_is_refused_early() -> None:
    settings = functools.partial(tight, concurrent=1)
    async with running(BLOCKS, hangs, settings) as proxy, wire(proxy.url) as one:
        one.send(post(chat()))
        await asyncio.sleep(0.1)
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (503, "overloaded")
        assert got.header("retry-after") == "1"
        healthy = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        assert (await ask(proxy.url, healthy)).status == 200


@pytest.mark.parametrize(
    ("request_", "status", "rule_id"),
    [
        (HEAD + b"Content-Length: 1000000000\r\n\r\n", 413, "limits"),
        (post(b"x", more="Content-Encoding: br\r\n"), 415, "proxy.malformed"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "proxy.malformed"),
    ],
)
async def test_a_call_that_is_refused_unread_has_a_record(
    request_: bytes, status: int, rule_id: str
) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, request_)
        assert got.status == status
        assert recorded(proxy, got) == (rule_id, Status.ERROR, Action.BLOCK)
        assert len(proxy.records) == 1


SOUND = {"id": "audio_1", "data": "AAAA", "expires_at": 1, "transcript": "quiet"}


@pytest.mark.parametrize(
    "more",
    [
        {"audio": SOUND},
        {"images": [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}]},
    ],
)
async def test_what_no_check_can_look_at_in_an_answer_follows_the_policy(more: Any) -> None:
    answer = chat_answer("quiet")
    answer["choices"][0]["message"] |= more
    async with running(BLOCKS, says(answer)) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (400, "unscreenable")
        result = proxy.records.last.stages[-1].verdict.rules[-1]
        assert (result.status, result.action) == (Status.NOT_RUN, Action.BLOCK)
        assert result.rule.startswith("unscreenable.")
    kinds = {"audio": "flag", "other": "flag"}
    policy = policy_of(*BLOCKS.rules, unscreenable=Unscreenable(**kinds))  # type: ignore[arg-type]
    async with running(policy, says(answer)) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert got.status == 200
        assert "=flag" in str(got.header("x-guardrail-rules"))
        assert proxy.records.last.stages[-1].verdict.action is Action.FLAG
    only_input = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=["input"]))
    async with running(only_input, says(answer)) as proxy:
        assert (await ask(proxy.url, post(chat()))).status == 200


async def test_a_broken_picture_in_an_answer_is_no_answer() -> None:
    answer = chat_answer("quiet")
    url = {"url": "data:image/png;base64,!!!"}
    answer["choices"][0]["message"]["images"] = [{"type": "image_url", "image_url": url}]
    async with running(BLOCKS, says(answer)) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (502, "unreadable_answer")


async def test_an_address_in_an_answer_is_text() -> None:
    answer = chat_answer("quiet")
    url = {"url": "https://forbidden.example/x.png"}
    answer["choices"][0]["message"]["images"] = [{"type": "image_url", "image_url": url}]
    policy = policy_of(*BLOCKS.rules, unscreenable=Unscreenable(other="pass"))
    async with running(policy, says(answer)) as proxy:
        got = await ask(proxy.url, post(chat()))
        assert (got.status, got.code) == (400, "policy_violation")
