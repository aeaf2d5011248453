"""Whatever comes ends in a clear error within its time, and the next request is served."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from guardrail import Action, Status
from guardrail.errors import NotRun
from guardrail.hosting import Stage
from guardrail.policy import Mode, Policy, Proxying, Unscreenable
from guardrail.testing import fixed_detector, policy_of, rule
from tests.pdf.drawn import pdf
from tests.proxy.raw import Got, ask, chat, post, wire
from tests.proxy.scripted import Peer
from tests.proxy.serving import (
    Running,
    chat_answer,
    chat_chunks,
    data_url,
    pixel,
    running,
    says,
    tight,
)

BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9})))
QUIET = says(chat_answer("quiet"))
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"


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
        assert "json" not in got.json["error"]["message"]  # it is written JSON
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
        "/v1/chat/completions/x/..",
        "/v1/x/%2E%2E/chat/../chat/completions",
        "/openai/deployments/d/chat/completions?api-version=1",
        "/v1/chat/completions#",  # uvicorn, and so vLLM, takes no fragment for part of a path
        "/v1/chat/completions#x?y",
        "/v1/chat/completions%23x",
        "/v1/chat/completions%3Fx",
        "/v1;a=b/chat;c/completions;d/",
        "/v1/chat/completions;a/b",
        "/v1/chat\\completions",
        "/v1/%2563hat/completions",
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


WORDS = "the forbidden words"


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("chat", {"role": WORDS, "content": "a"}),
        ("chat", {"role": "tool", "tool_call_id": WORDS, "content": "a"}),
        ("chat", {"role": "assistant", "tool_calls": [{"id": WORDS, "type": "function"}]}),
        ("chat", {"role": "assistant", "tool_calls": [{"id": "c", "type": WORDS}]}),
        ("responses", {"role": WORDS, "content": "a"}),
        ("responses", {"type": "function_call", "name": WORDS, "arguments": "{}"}),
        ("responses", {"type": "function_call_output", "call_id": WORDS, "output": "a"}),
        ("responses", {"type": "item_reference", "id": "i", "text": "forbidden"}),
        ("messages", {"role": WORDS, "content": "a"}),
        ("messages", {"role": "user", "content": [{"type": "tool_use", "name": WORDS}]}),
        ("messages", {"role": "user", "content": [{"type": "tool_use", "id": WORDS}]}),
    ],
)
async def test_roles_and_names_that_templates_write_out_are_text(path: str, item: Any) -> None:
    where = {"chat": "chat/completions"}.get(path, path)
    key = "input" if path == "responses" else "messages"
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post({"model": "m", key: [item]}, f"/v1/{where}"))
        assert (got.status, got.json["error"]["code"]) == (400, "policy_violation")
        plain = json.loads(json.dumps(item).replace(WORDS, "word").replace("forbidden", "a"))
        request = post({"model": "m", key: [plain]}, f"/v1/{where}")
        assert (await ask(proxy.url, request)).status == 200
        assert request.endswith(proxy.upstream.requests[0][1])


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


PNG = base64.b64encode(pixel() + bytes(-len(pixel()) % 3)).decode()
DISGUISED = [
    f"data:image/png;base64,{PNG} forbidden AAA",  # base64 still, with spaces passed over
    f"data:image/png;base64,{PNG}/forbidden/AA",
    f"data:image/png,{quote(pixel())} forbidden",
]


@pytest.mark.parametrize("text", DISGUISED)
@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("chat/completions", lambda text: chat([{"type": "text", "text": text}])),
        ("chat/completions", lambda text: chat([{"type": "input_text", "text": text}])),
        ("messages", lambda text: chat([{"type": "text", "text": text}])),
        ("responses", lambda text: {"input": text}),
        (
            "responses",
            lambda text: {"input": [{"content": [{"type": "input_text", "text": text}]}]},
        ),
        ("completions", lambda text: {"prompt": ["a", text]}),
    ],
)
async def test_words_behind_a_picture_in_a_text_are_text(path: str, call: Any, text: str) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(call(text), f"/v1/{path}"))
        assert (got.status, got.code) == (400, "policy_violation")
        assert not proxy.upstream.requests


@pytest.mark.parametrize("text", [DISGUISED[0], DISGUISED[2]])
async def test_what_may_be_a_picture_or_a_text_is_not_taken_for_one_of_them(text: str) -> None:
    async with running(policy_of(), QUIET) as proxy:
        got = await ask(proxy.url, post(chat(unknown=text)))
        assert (got.status, got.code) == (400, "unscreenable")
    async with running(BLOCKS, says(chat_answer("a", choices=[{"unknown": text}]))) as proxy:
        assert (await ask(proxy.url, post(chat()))).status == 400


@pytest.mark.parametrize(
    ("call", "rule_id"),
    [
        ({"prompt": {"prompt_string": "a", "multimodal_data": [PNG]}}, "unscreenable.other"),
        ({"prompt": "", "prompt_embeds": "AAAA"}, "unscreenable.tokens"),
        ({"prompt": [1.0, 2.0]}, "unscreenable.tokens"),  # vLLM takes them for whole numbers
        ({"prompt": "a", "prompt_token_ids": [1, 2]}, "unscreenable.tokens"),
        ({"messages": [], "prompt_token_ids": [1, 2]}, "unscreenable.tokens"),
        ({"messages": [], "input_ids": [[1, 2]]}, "unscreenable.tokens"),
    ],
)
async def test_what_servers_take_beside_a_prompt_follows_the_policy(
    call: Any, rule_id: str
) -> None:
    async with running(BLOCKS, QUIET) as proxy:
        path = "/v1/chat/completions" if "messages" in call else "/v1/completions"
        got = await ask(proxy.url, post(call, path))
        assert (got.status, got.code) == (400, "unscreenable")
        assert recorded(proxy, got)[0] == rule_id


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


async def test_a_hundred_thousand_texts_are_refused_unread() -> None:
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(chat("hello", odd=["hi"] * 100_000)))
        assert (got.status, got.code) == (400, "content_unreadable")
        assert "100001 texts" in got.json["error"]["message"]
        assert not proxy.upstream.requests


@pytest.mark.parametrize("what", ["addresses", "file ids", "files"])
async def test_a_thousand_of_anything_is_refused_unread(what: str) -> None:
    blocks: dict[str, Any] = {
        "addresses": {"type": "input_image", "image_url": "http://127.0.0.1:1/x.png"},
        "file ids": {"type": "input_file", "file_id": "file-1"},
        "files": {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0x"},
    }
    content = [{"role": "user", "content": [blocks[what]] * 1_000}]
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post({"model": "m", "input": content}, "/v1/responses"))
        assert (got.status, got.code) == (400, "content_unreadable")
        assert "1000" in got.json["error"]["message"]
        assert not proxy.upstream.requests
    async with running(policy_of(mode=Mode.SHADOW), QUIET) as proxy:
        got = await ask(proxy.url, post({"model": "m", "input": content}, "/v1/responses"))
        assert got.header("x-guardrail-would") == "limits=block"
        assert len(proxy.upstream.requests) == 1


async def test_files_together_keep_to_the_limit_on_pictures() -> None:
    whole = base64.b64encode(pdf(*[[]] * 10)).decode()
    block = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{whole}"}}
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(chat([block] * 5)))
        assert (got.status, got.code) == (400, "content_unreadable")
        assert "20 pages" in got.json["error"]["message"]  # the third was not opened any more


LONG = b"A" * 3_000


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        (LONG + "é".encode() + LONG, 200, ""),
        (LONG + "é forbidden".encode() + LONG, 400, "policy_violation"),
        (LONG + b"forbidden" + LONG, 400, "policy_violation"),
        (LONG + b"\xff" + LONG, 400, "malformed_body"),
        (b"\xff" + LONG, 400, "malformed_body"),
        (LONG + b"\xc3", 400, "malformed_body"),
    ],
)
async def test_text_that_looks_like_a_picture_s_bytes(text: bytes, status: int, code: str) -> None:
    said = b"see ;base64," + text
    body = b'{"model":"m","messages":[{"role":"user","content":"' + said + b'"}]}'
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(body))
        assert got.status == status
        assert not code or got.code == code


@pytest.mark.parametrize("inside", [b"\xff", b"\x00", "é".encode(), b"!", b"%3D"])
async def test_bytes_that_are_no_base64_inside_a_long_picture(inside: bytes) -> None:
    whole = data_url(1_500).encode()
    assert len(whole) > 5_000
    url = whole[:2_500] + inside + whole[2_500:]
    content = b'[{"type":"image_url","image_url":{"url":"' + url + b'"}}]'
    body = b'{"model":"m","messages":[{"role":"user","content":' + content + b"}]}"
    async with running(BLOCKS, QUIET) as proxy:
        got = await ask(proxy.url, post(body))
        assert (got.status, got.code) == (400, "bad_base64")
        assert not proxy.upstream.requests


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
    ("start", "choice"),
    [
        (b"\xef\xbb\xbf", {"delta": {"content": "forbidden"}}),
        (b"", {"delta": {}, "message": {"role": "assistant", "content": "forbidden"}}),
    ],
)
async def test_no_way_of_writing_an_event_leads_past_the_guard(start: bytes, choice: Any) -> None:
    event = json.dumps({"id": "c", "choices": [{"index": 0, **choice}]}).encode()
    chunks = [start + b"data: " + event + b"\n\n", *chat_chunks("a")[1:]]
    async with running(BLOCKS, says(chunks)) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert b"forbidden" not in got.body
        assert b"content_filter" in got.body


@pytest.mark.parametrize(
    "answer",
    [
        {"content": "forbidden", "stop": True},  # of llama.cpp on a path without /v1
        {**chat_answer("a"), "citations": ["https://forbidden.example"]},
        {**chat_answer("a"), "choices": ["forbidden"]},
        {**chat_answer("a"), "choices": {"0": {"text": "forbidden"}}},
    ],
)
async def test_text_in_places_of_an_answer_nobody_expects_is_screened(answer: Any) -> None:
    async with running(BLOCKS, says(answer)) as proxy:
        for path in ("/completions", "/v1/chat/completions"):
            got = await ask(proxy.url, post(chat(), path))
            assert (got.status, got.code) == (400, "policy_violation")


async def test_a_stream_of_llama_cpp_on_a_path_without_v1_is_screened() -> None:
    chunks = [b'data: {"content": "for", "stop": false}\n\n', b'data: {"content": "bidden"}\n\n']
    async with running(BLOCKS, says(chunks)) as proxy:
        got = await ask(proxy.url, post({"prompt": "a", "stream": True}, "/completions"))
        assert b"bidden" not in got.body
    redacts = policy_of(rule(fixed_detector({"forbidden": 0.9}), Action.REDACT, when=["output"]))
    async with running(redacts, says(chunks)) as proxy:
        got = await ask(proxy.url, post({"prompt": "a", "stream": True}, "/completions"))
        first, last = b'data: {"content": "[forbidden]", "stop": false}', b'data: {"content": ""}'
        assert got.body == first + b"\n\n" + last + b"\n\n"


@pytest.mark.parametrize(
    "data", [b"{broken forbidden", b'[{"choices": [{"text": "forbidden"}]}]', b'"forbidden"']
)
async def test_an_event_that_cannot_be_read_is_not_passed_on_unread(data: bytes) -> None:
    chunks = [b"data: %b\n\n" % data, b"data: [DONE]\n\n"]
    async with running(BLOCKS, says(chunks)) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert got.status == 502
        assert b"forbidden" not in got.body


async def hangs(peer: Peer) -> None:
    await peer.request()
    await peer.left()


async def test_too_much_at_once_is_refused_early() -> None:
    settings = tight(concurrent=1)
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
        assert got.header("x-request-id") == proxy.records.last.id
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
