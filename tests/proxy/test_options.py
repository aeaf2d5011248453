"""What a policy says of the proxy itself, each option both ways, on each API."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from guardrail import Action
from guardrail.errors import NotRun
from guardrail.policy import Proxying
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.settings import Route, Settings, Target
from tests.proxy.raw import Got, ask, chat, post
from tests.proxy.scripted import Peer, Play
from tests.proxy.serving import answered, chat_answer, chat_chunks, data_url, pixel, running, says
from tests.proxy.test_clients import BROKEN, called, message, response
from tests.proxy.test_clients import chat as chats

EYE = rule(fixed_detector({"IDAT": 0.9}, name="eye", reads="image"))
TOOLS = rule(fixed_detector({"IDAT": 0.9}, name="eye", reads="image"), when=["tool"])
FLAGS = rule(fixed_detector({"odd": 0.9}), Action.FLAG)
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
QUIET = says(chat_answer("quiet"))


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def said(api: str, block: Any) -> bytes:
    """A call whose user says this block."""
    message = {"role": "user", "content": [block]}
    if api == "responses":
        return post({"model": "m", "input": [message]}, PATHS[api])
    return post({"model": "m", "messages": [message]}, PATHS[api])


def native(api: str, got: Got) -> tuple[str, str]:
    """The type and the code of an error, which has the form of the API."""
    assert (got.json.get("type") == "error") == (api == "messages")
    error = got.json["error"]
    assert error["message"]
    return error["type"], error["code"]


@pytest.mark.parametrize("other_paths", ["pass", "refuse"])
async def test_paths_that_no_surface_knows(other_paths: Any) -> None:
    policy = policy_of(proxy=Proxying(other_paths=other_paths))
    async with running(policy, says({"data": []})) as proxy:
        for request in (get("/v1/models"), get("/v1/chat/completions/c-1"), post({}, "/api/chat")):
            got = await ask(proxy.url, request)
            if other_paths == "pass":
                assert (got.status, got.json) == (200, {"data": []})
            else:
                assert (got.status, *native("chat", got)) == (
                    404,
                    "invalid_request_error",
                    "unknown_path",
                )
        assert len(proxy.upstream.requests) == (3 if other_paths == "pass" else 0)
        for known in (get("/healthz"), post(chat()), post(chat(), "/v1/messages/count_tokens")):
            assert (await ask(proxy.url, known)).status == 200


async def test_browsers_may_ask_for_paths_that_are_served_and_read_why_they_are_refused() -> None:
    words = rule(fixed_detector({"forbidden": 0.9}))
    policy = policy_of(words, proxy=Proxying(other_paths="refuse"))
    headers = {"Access-Control-Allow-Origin": "https://app.example"}
    async with running(policy, says(b"", headers=headers)) as proxy:
        origin = b"Origin: https://app.example\r\n\r\n"
        for path, status in (("/v1/chat/completions", 200), ("/api/chat", 404)):
            asked = f"OPTIONS {path} HTTP/1.1\r\nHost: a\r\n".encode() + origin
            assert (await ask(proxy.url, asked)).status == status
        assert len(proxy.upstream.requests) == 1
        for more in ("", "Origin: https://app.example\r\n"):
            got = await ask(proxy.url, post(chat("forbidden"), more=more))
            assert got.status == 400
            assert got.header("access-control-allow-origin") == ("*" if more else None)
            assert got.header("access-control-expose-headers") == ("*" if more else None)


ADDRESSED = {
    "chat": {"type": "image_url", "image_url": {"url": "https://pictures.example/x"}},
    "responses": {"type": "input_image", "image_url": "https://pictures.example/x"},
    "messages": {"type": "image", "source": {"type": "url", "url": "https://pictures.example/x"}},
}
BY_ID = {
    "chat": {"type": "file", "file": {"file_id": "file-1"}},
    "responses": {"type": "input_image", "file_id": "file-1"},
    "messages": {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
}


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize(("blocks", "option"), [(ADDRESSED, "addresses"), (BY_ID, "file_ids")])
async def test_what_is_only_named_is_refused_where_the_policy_says_so(
    api: str, blocks: Any, option: str
) -> None:
    policy = policy_of(EYE, proxy=Proxying(**{option: "refuse"}))  # type: ignore[arg-type]
    async with running(policy, QUIET) as proxy:
        got = await ask(proxy.url, said(api, blocks[api]))
        assert got.status == 400
        assert native(api, got) == ("invalid_request_error", "remote_content")
        assert proxy.records.last.stages[0].verdict.rules[0].rule == f"proxy.{option}"
        assert not proxy.upstream.requests


def files(data: bytes) -> Play:
    """An upstream with one file in its files API, for those who have the key."""

    async def play(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            if b"/v1/files/file-1/content" not in head:
                await peer.say(*answered(chat_answer("quiet"), 200, {}))
            elif b"Bearer client" in head:
                await peer.say(*answered(data, 200, {"content-type": "application/octet-stream"}))
            else:
                await peer.say(*answered({"error": {}}, 401, {}))

    return play


@pytest.mark.parametrize("api", PATHS)
async def test_file_ids_are_resolved_with_the_clients_key(api: str) -> None:
    data = b"forbidden" if api == "chat" else pixel()
    words = rule(fixed_detector({"forbidden": 0.9}))
    async with running(policy_of(EYE, words), files(data)) as proxy:
        request = said(api, BY_ID[api])
        got = await ask(proxy.url, request)
        assert native(api, got)[1] == "file_unreadable"
        keyed = request.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer client\r\n\r\n", 1)
        got = await ask(proxy.url, keyed)
        # a picture is screened by its bytes; a file of unknown kind follows `unscreenable`
        code = "unscreenable" if api == "chat" else "policy_violation"
        assert native(api, got)[1] == code
        assert all(b"/files/" in head for head, _ in proxy.upstream.requests)


def returned(api: str) -> bytes:
    """A call with a picture in what a tool gave."""
    url = data_url()
    if api == "chat":
        block: Any = {"type": "image_url", "image_url": {"url": url}}
        told: Any = {"role": "tool", "tool_call_id": "c", "content": [block]}
        return post({"model": "m", "messages": [told]}, PATHS[api])
    if api == "responses":
        told = {"type": "function_call_output", "call_id": "c"}
        told["output"] = [{"type": "input_image", "image_url": url}]
        return post({"model": "m", "input": [told]}, PATHS[api])
    source = {"type": "base64", "media_type": "image/png", "data": url.partition(",")[2]}
    block = {"type": "tool_result", "tool_use_id": "t"}
    return said(api, {**block, "content": [{"type": "image", "source": source}]})


@pytest.mark.parametrize("api", PATHS)
async def test_pictures_in_results_of_tools_count(api: str) -> None:
    async with running(policy_of(TOOLS), QUIET) as proxy:
        got = await ask(proxy.url, returned(api))
        assert native(api, got) == ("invalid_request_error", "policy_violation")
        typed = {
            "chat": {"type": "image_url", "image_url": {"url": data_url()}},
            "responses": {"type": "input_image", "image_url": data_url()},
            "messages": {
                "type": "image",
                "source": {"type": "base64", "data": data_url().partition(",")[2]},
            },
        }
        # the same picture from the user is none of this rule's business
        assert (await ask(proxy.url, said(api, typed[api]))).status == 200


BARE = data_url().partition(",")[2]
SOURCE = {"data": BARE, "media_type": "image/png", "type": "base64"}


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("messages", {"messages": [{"content": [{"type": "tool_result", "content": [SOURCE]}]}]}),
        (
            "messages",
            {
                "messages": [
                    {"content": [{"type": "tool_result", "content": [{"type": "x", "y": SOURCE}]}]}
                ]
            },
        ),
        ("responses", {"input": [{"type": "invented", "deep": [{"source": SOURCE}]}]}),
        ("embeddings", {"input": [{"text": "a", "image": BARE}]}),
        ("embeddings", {"input": ["a", {"image": data_url()}]}),
    ],
)
async def test_pictures_are_found_where_nobody_expects_them(path: str, call: Any) -> None:
    eye = fixed_detector({"IDAT": 0.9}, name="eye", reads="image")
    async with running(policy_of(rule(eye)), QUIET) as proxy:
        got = await ask(proxy.url, post(call, f"/v1/{path}"))
        assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "policy_violation")
        assert not proxy.upstream.requests
    covers = policy_of(rule(eye, Action.REDACT))
    async with running(covers, QUIET) as proxy:
        assert (await ask(proxy.url, post(call, f"/v1/{path}"))).status == 200
        assert BARE.encode() not in proxy.upstream.requests[0][1]


async def test_a_picture_for_an_embedding_is_fetched() -> None:
    async with running(policy_of(), QUIET) as proxy:
        call = {"input": [{"image": "http://127.0.0.1:1/x.png"}]}
        got = await ask(proxy.url, post(call, "/v1/embeddings"))
        assert (got.status, got.code) == (400, "fetch_forbidden")


async def test_pictures_as_vllm_takes_them_in_chats_too() -> None:
    block = {"type": "input_image", "image_url": data_url()}
    told = {"role": "tool", "tool_call_id": "c", "content": [block]}
    async with running(policy_of(TOOLS), QUIET) as proxy:
        got = await ask(proxy.url, post({"model": "m", "messages": [told]}))
        assert (got.status, got.code) == (400, "policy_violation")
        assert (await ask(proxy.url, post(chat([block])))).status == 200


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        (b"{", 400, "malformed_body"),
        (b'{"model": "m", "model": "n"}', 400, "malformed_body"),
        (b'{"model": "none"}', 404, "no_route"),
    ],
)
async def test_refusals_have_the_form_of_the_api(
    api: str, broken: bytes, status: int, code: str
) -> None:
    def settings(url: str) -> Settings:
        return Settings({"one": Target(url)}, (Route("one", "one", models=("m",)),))

    async with running(policy_of(), QUIET, settings) as proxy:
        got = await ask(proxy.url, post(broken, PATHS[api]))
        assert (got.status, native(api, got)[1]) == (status, code)
        assert got.header("x-should-retry") == "false"
        assert got.header("x-request-id") == proxy.records.last.id


@pytest.mark.parametrize("shown", [True, False])
async def test_verdict_headers_can_be_switched_off(shown: bool) -> None:
    policy = policy_of(FLAGS, proxy=Proxying(verdict_headers=shown))
    async with running(policy, says(chat_answer("odd"))) as proxy:
        got = await ask(proxy.url, post(chat("odd")))
        assert got.status == 200
        assert (b"x-guardrail-" in got.head) == shown
        if shown:
            assert got.header("x-guardrail-rules") == "fixed=flag"
            assert got.header("x-guardrail-record") == proxy.records.last.id


@pytest.mark.parametrize("call", [chats, response, message])
async def test_clients_try_again_where_the_policy_wants_it(call: Any) -> None:
    broken = fixed_detector({"x": 1.0}, error=NotRun("weights are missing"))
    policy = policy_of(rule(broken), proxy=Proxying(retry_unavailable=True))
    error, proxy = await called(policy, QUIET, call("hello"))
    assert isinstance(error, (openai.InternalServerError, anthropic.InternalServerError))
    assert len(proxy.records) == 3  # the first and two more
    error, proxy = await called(BROKEN, QUIET, call("hello"))
    assert len(proxy.records) == 1


@pytest.mark.parametrize("asks", [True, False])
async def test_usage_that_a_client_asks_for_is_left_to_it(asks: bool) -> None:
    policy = policy_of(FLAGS, proxy=Proxying(stream_usage=asks))
    sent = chat_chunks("a", usage=True)
    more = {"stream": True, "stream_options": {"include_usage": True}}
    async with running(policy, says(sent)) as proxy:
        request = post(chat(**more))
        assert (await ask(proxy.url, request)).body == b"".join(sent)
        assert request.endswith(proxy.upstream.requests[0][1])
        assert proxy.records.last.usage.output_tokens == 12
    async with running(policy, says(chat_chunks("a", usage=asks))) as proxy:
        got = await ask(proxy.url, post(chat(stream=True)))
        assert got.body == b"".join(chat_chunks("a"))
        options = json.loads(proxy.upstream.requests[0][1]).get("stream_options")
        assert options == ({"include_usage": True} if asks else None)


@pytest.mark.parametrize("given", [b"null", b"{}"])
async def test_usage_is_asked_for_where_options_are_empty(given: bytes) -> None:
    policy = policy_of(FLAGS, proxy=Proxying(stream_usage=True))
    body = b'{"stream_options": %b, "stream": true, "messages": []}'
    async with running(policy, says(chat_chunks("a", usage=True))) as proxy:
        got = await ask(proxy.url, post(body % given))
        assert got.body == b"".join(chat_chunks("a"))
        assert proxy.upstream.requests[0][1] == body % b'{"include_usage":true}'
        assert proxy.records.last.usage.output_tokens == 12


async def test_usage_is_asked_for_behind_any_white_space() -> None:
    policy = policy_of(FLAGS, proxy=Proxying(stream_usage=True))
    async with running(policy, says(chat_chunks("a", usage=True))) as proxy:
        got = await ask(proxy.url, post(b"\n" * 5_000 + b'{"stream": true, "messages": []}'))
        assert got.body == b"".join(chat_chunks("a"))
        assert json.loads(proxy.upstream.requests[0][1])["stream_options"]
