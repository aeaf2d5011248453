"""A streamed answer begins with one write: its head and its first chunk together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guardrail.policy import Proxying
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.http.connection import Connection
from tests.proxy.raw import chat, post
from tests.proxy.serving import chat_chunks, running, says
from tests.proxy.test_receiving import Line

PASSING = Proxying(other_paths="pass")
ANSWERS = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=("output",)), proxy=PASSING)
QUESTIONS = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=("input",)), proxy=PASSING)


class Writes(Line):
    """Keeps what was written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.each: list[bytes] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        self.each.append(data)

    def writelines(self, data: Any) -> None:
        self.write(b"".join(data))


@pytest.mark.parametrize("path", ["/other", "/v1/chat/completions"])
@pytest.mark.parametrize("policy", [ANSWERS, QUESTIONS], ids=["answers", "questions"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_the_head_leaves_with_the_first_chunk(policy: Any, path: str, version: bytes) -> None:
    async with running(policy, says(chat_chunks("a quiet ", "answer"))) as proxy:
        connection, line = Connection(proxy.server.listener), Writes()
        connection.connection_made(line)
        data = post(chat(stream=True), path)
        data = data.replace(b"HTTP/1.1", b"HTTP/" + version, 1)
        connection.get_buffer(-1)[: len(data)] = data
        connection.buffer_updated(len(data))
        async with asyncio.timeout(10):
            while b"[DONE]" not in line.written:
                await asyncio.sleep(0.01)
        connection.connection_lost(None)
    head, _, first = line.each[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"data: {" in first
