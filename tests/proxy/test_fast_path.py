"""A call takes the fast path or the whole way; nobody sees which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from guardrail.policy import Policy
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail.verdict import Action
from tests.proxy.raw import ask, post
from tests.proxy.serving import chat_answer, chat_chunks, data_url, running, says

WORDS = {"forbidden": 0.9, "doubtful": 0.3}
SAID = ["hello", "a doubtful word", "so forbidden", 'caf\u00e9 \\ "quoted"', "x" * 5_000]
ANSWERS = [chat_answer("fine"), chat_answer("forbidden"), chat_chunks("fi", "ne", usage=True)]


def policy(inline: bool, when: Sequence[str], action: Action) -> Policy:
    return policy_of(rule(fixed_detector(WORDS, inline=inline), action, when=when))


def body(text: str, picture: bool, stream: bool) -> bytes:
    content: Any = text
    if picture:
        url = {"type": "image_url", "image_url": {"url": data_url()}}
        content = [{"type": "text", "text": text}, url]
    more = {"stream": True} if stream else {}
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": content}], **more}
    ).encode()


async def seen(policy: Policy, answer: Any, sent: bytes) -> list[Any]:
    """What client, upstream and records see of a call that comes twice."""
    async with running(policy, says(answer)) as proxy:
        shown: list[Any] = []
        for _ in range(2):
            got = await ask(proxy.url, post(sent))
            record = proxy.records.last.to_dict()
            identity = record["id"].encode()
            told = (got.head.replace(identity, b"ID"), got.body.replace(identity, b"ID"))
            shown.append((told, _steady(record)))
        port = proxy.upstream.url.rpartition(":")[2].encode()
        sent_on = [(head.replace(port, b"PORT"), raw) for head, raw in proxy.upstream.requests]
        assert len(proxy.records) == 2
    return [shown, sent_on]


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        passing = ("id", "ms", "loading_ms", "started_ns", "asks", "cached", "digest")
        return {key: _steady(item) for key, item in value.items() if key not in passing}
    return [_steady(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("answer", ANSWERS, ids=["fine", "forbidden", "stream"])
@pytest.mark.parametrize("when", [["input"], ["input", "output"]], ids=["input", "both"])
@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT, Action.FLAG])
@pytest.mark.parametrize("picture", [False, True], ids=["text", "picture"])
async def test_clients_upstreams_and_records_see_the_same(
    answer: Any, when: list[str], action: Action, picture: bool
) -> None:
    for text in SAID:
        sent = body(text, picture, isinstance(answer, list))
        short = await seen(policy(True, when, action), answer, sent)
        long = await seen(policy(False, when, action), answer, sent)
        assert short == long
