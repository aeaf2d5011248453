"""Keys of objects: the long ones are read, and none can hide another's text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail import Action
from guardrail.hosting import name_of
from guardrail.testing import fixed_detector, policy_of, rule
from tests.proxy.raw import ask, chat, post
from tests.proxy.serving import chat_answer, running, says

SCOPES = ("system", "input", "tool", "output")
BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=SCOPES))
REDACTS = policy_of(rule(fixed_detector({"secret": 0.9}), Action.REDACT, when=SCOPES))
LONG = "the city, and first of all do what is {} to everybody"


def by_chat(schema: Any) -> tuple[str, Any]:
    function = {"name": "find", "parameters": schema}
    return "/v1/chat/completions", chat(tools=[{"type": "function", "function": function}])


def by_responses(schema: Any) -> tuple[str, Any]:
    tool = {"type": "function", "name": "find", "parameters": schema}
    return "/v1/responses", {"model": "m-1", "input": "hello", "tools": [tool]}


def by_messages(schema: Any) -> tuple[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    tool = {"name": "find", "input_schema": schema}
    return "/v1/messages", {"model": "m-1", "max_tokens": 9, "messages": messages, "tools": [tool]}


def takes(name: str, about: str) -> dict[str, Any]:
    """The schema of a tool's only parameter."""
    return {"type": "object", "properties": {name: {"type": "string", "description": about}}}


@pytest.mark.parametrize("api", [by_chat, by_responses, by_messages])
@pytest.mark.parametrize(
    ("name", "about", "status"),
    [
        ("city", "where to look", 200),
        ("city", "where the forbidden is", 400),
        (LONG.format("asked"), "where to look", 200),
        (LONG.format("forbidden"), "where to look", 400),
        (LONG.format("forbidden").replace(" ", "\t"), "where to look", 400),
        (LONG.format("secret"), "where the secret is", 200),
    ],
)
async def test_descriptions_and_long_names_of_parameters_are_read(
    api: Any, name: str, about: str, status: int
) -> None:
    path, body = api(takes(name, about))
    async with running(BLOCKS, says(b"{}")) as proxy:
        assert (await ask(proxy.url, post(body, path))).status == status
        assert len(proxy.upstream.requests) == (status == 200)


@pytest.mark.parametrize("api", [by_chat, by_responses, by_messages])
async def test_a_change_of_a_key_stops_the_call(api: Any) -> None:
    async with running(REDACTS, says(b"{}")) as proxy:
        path, body = api(takes("city", "where the secret is"))
        assert (await ask(proxy.url, post(body, path))).status == 200
        assert b"where the [secret] is" in proxy.upstream.requests[0][1]
        path, body = api(takes(LONG.format("secret"), "where to look"))
        assert (await ask(proxy.url, post(body, path))).status == 400
        assert len(proxy.upstream.requests) == 1


@pytest.mark.parametrize("policy", [BLOCKS, REDACTS])
async def test_long_keys_of_an_answer_are_read(policy: Any) -> None:
    for word, status in (("asked", 200), ("forbidden secret", 400)):
        use = {"type": "tool_use", "id": "a", "name": "find", "input": {LONG.format(word): 1}}
        answer = {"type": "message", "role": "assistant", "model": "m-1", "content": [use]}
        async with running(policy, says(answer)) as proxy:
            path, body = by_messages({"type": "object"})
            got = await ask(proxy.url, post(body, path))
            assert got.status == status
            assert (b"secret" in got.body) is False


@pytest.mark.parametrize("first", ["my secret", "fine"])
@pytest.mark.parametrize("second", ["a secret of mine", "fine"])
@pytest.mark.parametrize(
    "nests",
    [
        lambda one, two: {"a/b": one, "a": {"b": two}},
        lambda one, two: {"a": {"b": two}, "a/b": one},
        lambda one, two: {"a~1b": one, "a/b": two},
        lambda one, two: {"a": {"": {"b": one}}, "a/": {"b": two}},
    ],
)
async def test_keys_that_look_like_paths_hide_nothing(nests: Any, first: str, second: str) -> None:
    message = {"role": "user", "content": "hello", **nests(first, second)}
    async with running(REDACTS, says(chat_answer("quiet"))) as proxy:
        got = await ask(proxy.url, post({"model": "m-1", "messages": [message]}))
        assert got.status == 200
        changed = nests(first.replace("secret", "[secret]"), second.replace("secret", "[secret]"))
        (sent,) = json.loads(proxy.upstream.requests[0][1])["messages"]
        assert sent == {"role": "user", "content": "hello", **changed}


@pytest.mark.parametrize("key", ["jane@example.com", "Jane Doe", "5551234567", "a" * 41, "\ud800"])
async def test_a_key_that_may_say_something_stands_in_no_record(key: str) -> None:
    message = {"role": "user", "content": "hello", key: "a secret", f"{key}2": "and another secret"}
    async with running(REDACTS, says(chat_answer("quiet"))) as proxy:
        got = await ask(proxy.url, post({"model": "m-1", "messages": [message]}))
        assert got.status == 200
        (sent,) = json.loads(proxy.upstream.requests[0][1])["messages"]
        assert sent[key] == "a [secret]"
        assert sent[f"{key}2"] == "and another [secret]"
    (record,) = list(proxy.records)
    told = json.dumps(record.to_dict())
    assert json.dumps(key) not in told
    assert told.count("messages/0/key-") >= 2


def test_plain_words_name_parts_as_they_are() -> None:
    assert name_of(("messages", 0, "x-custom", "$ref")) == "messages/0/x-custom/$ref"


_PATHS = st.lists(st.text("ab/~#012", max_size=4), min_size=1, max_size=4).map(tuple)


@given(_PATHS, _PATHS)
def test_no_two_places_have_one_name(one: Any, other: Any) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)
    assert "#" not in name_of(one)
