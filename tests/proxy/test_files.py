"""Files in calls: PDFs page by page, texts as texts, in the forms of both APIs."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from guardrail import Action
from guardrail.testing import fixed_detector, policy_of, rule
from tests.pdf.drawn import Line, pdf
from tests.proxy.raw import ask, chat, post
from tests.proxy.serving import chat_answer, running, says, tight

BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9})))
REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}), Action.REDACT))


def paper(text: str) -> str:
    return base64.b64encode(pdf([Line(text)])).decode()


def by_chat(data: str, kind: str) -> tuple[str, Any]:
    inner = {"filename": "a.pdf", "file_data": f"data:{kind};base64,{data}"}
    return "/v1/chat/completions", chat([{"type": "file", "file": inner}])


def by_responses(data: str, kind: str) -> tuple[str, Any]:
    block = {"type": "input_file", "file_data": f"data:{kind};base64,{data}"}
    return "/v1/responses", {"model": "m", "input": [{"role": "user", "content": [block]}]}


def by_messages(data: str, kind: str) -> tuple[str, Any]:
    source = {"type": "base64", "media_type": kind, "data": data}
    block = {"type": "document", "source": source, "title": "a"}
    return "/v1/messages", {"model": "m", "messages": [{"role": "user", "content": [block]}]}


def by_server_tool(data: str, kind: str) -> tuple[str, Any]:
    source = {"type": "base64", "media_type": kind, "data": data}
    fetched = {"type": "web_fetch_result", "url": "https://a.example/a.pdf"}
    fetched["content"] = {"type": "document", "source": source, "title": "a"}
    use = {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {}}
    result = {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": fetched}
    return "/v1/messages", {
        "model": "m",
        "messages": [{"role": "assistant", "content": [use, result]}],
    }


FORMS = [by_chat, by_responses, by_messages, by_server_tool]


@pytest.mark.parametrize("form", FORMS)
async def test_the_text_beneath_a_page_is_screened(form: Any) -> None:
    async with running(BLOCKS, says(chat_answer("quiet"))) as proxy:
        path, body = form(paper("something forbidden"), "application/pdf")
        got = await ask(proxy.url, post(body, path))
        assert got.status == 400
        assert b"policy_violation" in got.body
        path, body = form(paper("a quiet page"), "application/pdf")
        request = post(body, path)
        assert (await ask(proxy.url, request)).status == 200
        assert request.endswith(proxy.upstream.requests[0][1])


@pytest.mark.parametrize("form", FORMS)
async def test_a_call_with_pages_takes_a_place_of_those_with_pictures(form: Any) -> None:
    async with running(BLOCKS, says(chat_answer("quiet")), tight(picture_calls=0)) as proxy:
        path, body = form(paper("a quiet page"), "application/pdf")
        got = await ask(proxy.url, post(body, path))
        assert (got.status, got.json["error"]["code"]) == (503, "overloaded")
        path, body = form(base64.b64encode(b"a quiet text").decode(), "text/plain")
        assert (await ask(proxy.url, post(body, path))).status == 200


@pytest.mark.parametrize("form", FORMS)
async def test_a_page_that_must_change_is_sent_as_a_picture(form: Any) -> None:
    async with running(REDACTS, says(chat_answer("quiet"))) as proxy:
        path, body = form(paper("a secret page"), "application/pdf")
        assert (await ask(proxy.url, post(body, path))).status == 200
        sent = proxy.upstream.requests[0][1]
        whole = json.loads(sent)
        assert list(whole) == list(body)
        data = max(sent.split(b'"'), key=len).rpartition(b",")[2]
        again = base64.b64decode(data)
        assert again.startswith(b"%PDF-")
        assert b"secret" not in again


@pytest.mark.parametrize("form", FORMS)
async def test_a_text_file_is_text(form: Any) -> None:
    data = base64.b64encode(b"the secret word").decode()
    async with running(REDACTS, says(chat_answer("quiet"))) as proxy:
        path, body = form(data, "text/plain")
        assert (await ask(proxy.url, post(body, path))).status == 200
        sent = max(proxy.upstream.requests[0][1].split(b'"'), key=len).rpartition(b",")[2]
        assert base64.b64decode(sent) == b"the [secret] word"


async def test_a_damaged_file_is_refused() -> None:
    path, body = by_messages(base64.b64encode(b"%PDF-1.7 nothing").decode(), "application/pdf")
    async with running(BLOCKS, says(chat_answer("quiet"))) as proxy:
        got = await ask(proxy.url, post(body, path))
        assert (got.status, got.code) == (400, "pdf_damaged")
