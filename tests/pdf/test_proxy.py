"""PDFs in calls through the proxy."""

from __future__ import annotations

import base64
import ipaddress
import json
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from guardrail import Action, Image
from guardrail.pdf import of_pictures, read_pdf
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.upstream.fetch import FetchRules, SafeFetcher
from tests.pdf.drawn import WHITE, Line, pdf
from tests.pdf.test_pdf import HIDDEN, POLICY, SENTENCE
from tests.proxy.scripted import Peer, scripted
from tests.proxy.serving import chat_answer, running, says

REDACTS = policy_of(rule(fixed_detector({"harbour": 0.9}), Action.REDACT))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def chat(data: bytes) -> dict[str, Any]:
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{encoded(data)}"}
    return {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "file", "file": file}]}],
    }


def messages(source: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "document", "source": source}]
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


async def post(url: str, body: dict[str, Any]) -> httpx.Response:
    path = "/v1/messages" if "max_tokens" in body else "/v1/chat/completions"
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.post(url + path, json=body)


async def test_text_that_cannot_be_seen_blocks() -> None:
    hidden = pdf([Line(SENTENCE), Line(HIDDEN, (72, 500), 20, WHITE)])
    async with running(POLICY, says(chat_answer("fine"))) as proxy:
        blocked = await post(proxy.url, chat(hidden))
        assert blocked.status_code == 400
        assert blocked.json()["error"]["code"] == "policy_violation"
        assert not proxy.upstream.requests
        whole = chat(pdf([Line(SENTENCE)]))
        assert (await post(proxy.url, whole)).status_code == 200
        assert json.loads(proxy.upstream.requests[0][1]) == whole


async def test_a_covered_page_makes_a_file_of_pictures() -> None:
    async with running(REDACTS, says(chat_answer("fine"))) as proxy:
        assert (await post(proxy.url, chat(pdf([Line(SENTENCE)], [])))).status_code == 200
        (_, raw), *_ = proxy.upstream.requests
        file = json.loads(raw)["messages"][0]["content"][0]["file"]
        assert file["filename"] == "a.pdf"
        data = base64.b64decode(file["file_data"].partition(",")[2])
        first, second = read_pdf(data)  # no text beneath either
        colours = {pixel for _, pixel in first.picture.rgb().getcolors(1 << 24)}
        assert (0, 0, 0) in colours
        assert second.picture.rgb().getextrema() == ((255, 255),) * 3


async def test_a_file_is_written_once_and_not_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []

    def noted(pages: Sequence[Image]) -> bytes:
        threads.append(threading.current_thread())
        return of_pictures(pages)

    monkeypatch.setattr("guardrail_integrations.proxy.media.files.of_pictures", noted)
    async with running(REDACTS, says(chat_answer("fine"))) as proxy:
        data = pdf([Line(SENTENCE)], [Line(SENTENCE)], [Line(SENTENCE)])
        assert (await post(proxy.url, chat(data))).status_code == 200
    (thread,) = threads
    assert thread is not threading.main_thread()


@pytest.mark.parametrize(
    ("data", "code"), [(b"%PDF-1.7 ?", "pdf_damaged"), (pdf(*[[]] * 40), "pdf_too_many_pages")]
)
async def test_what_cannot_be_read_is_refused(data: bytes, code: str) -> None:
    async with running(POLICY, says(chat_answer("fine"))) as proxy:
        for body in (
            chat(data),
            messages({"type": "base64", "media_type": "application/pdf", "data": encoded(data)}),
        ):
            answer = await post(proxy.url, body)
            assert answer.status_code == 400
            assert code in answer.text


async def test_the_fetched_bytes_are_what_the_model_gets() -> None:
    data = pdf([Line(SENTENCE)])

    async def serves(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    inside = (ipaddress.ip_network("127.0.0.1/32"),)
    fetcher = SafeFetcher(FetchRules(inside=inside, ports=None))
    async with (
        scripted(serves) as store,
        running(POLICY, says({"type": "message", "content": []}), fetcher=fetcher) as proxy,
    ):
        body = messages({"type": "url", "url": store.url + "/a.pdf"})
        assert (await post(proxy.url, body)).status_code == 200
        (_, raw), *_ = proxy.upstream.requests
        source = json.loads(raw)["messages"][0]["content"][0]["source"]
        assert source == {
            "type": "base64",
            "media_type": "application/pdf",
            "data": encoded(data),
        }
        file = {"filename": "a.pdf", "file_url": store.url + "/a.pdf"}
        named = {"role": "user", "content": [{"type": "file", "file": file}]}
        assert (await post(proxy.url, {"model": "m", "messages": [named]})).status_code == 200
        sent = json.loads(proxy.upstream.requests[-1][1])["messages"][0]["content"][0]["file"]
        assert sent == {
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64," + encoded(data),
        }
