"""What the decorator may be put on, what it is told, and what comes out of it."""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image as Pillow

import guardrail
from guardrail import Action, Blocked, ContentError, Guard, PictureError, PolicyError, SchemaError
from guardrail.errors import MissingExtra, Mistake
from guardrail.policy import Rule
from guardrail.testing import CapturedRecords, ScriptedEndpoint, fixed_detector, policy_of, rule

GUARD = Guard(policy_of(rule(fixed_detector({"bad": 0.9}))))


class Methods:
    @GUARD
    @staticmethod
    def static(prompt: str) -> str:
        return prompt

    @GUARD
    @classmethod
    def of_class(cls, prompt: str) -> str:
        return f"{cls.__name__} {prompt}"

    @GUARD
    @staticmethod
    async def coroutine(prompt: str) -> str:
        return prompt


@pytest.mark.parametrize("owner", [Methods, Methods()])
def test_static_and_class_methods_may_stand_under_it(owner: Any) -> None:
    assert owner.static("fine") == "fine"
    assert owner.of_class("fine") == "Methods fine"
    assert asyncio.run(owner.coroutine("fine")) == "fine"
    for blocked in (owner.static, owner.of_class, lambda said: asyncio.run(owner.coroutine(said))):
        with pytest.raises(Blocked):
            blocked("bad")


class Later:
    async def __call__(self, prompt: str) -> str:
        return prompt


async def later(prompt: str) -> str:
    return prompt


@functools.wraps(later)
def behind(*args: Any) -> Any:
    return later(*args)


@pytest.mark.parametrize("function", [Later(), behind, functools.partial(later)])
def test_what_gives_a_coroutine_is_awaited(function: Callable[..., Any]) -> None:
    guarded = GUARD(function)
    assert asyncio.run(guarded("fine")) == "fine"
    with pytest.raises(Blocked):
        asyncio.run(guarded("bad"))


async def test_the_async_client_of_openai() -> None:
    with ScriptedEndpoint(["fine", "a bad answer"]) as model:
        async with openai.AsyncOpenAI(base_url=model.url, api_key="none") as client:
            chat = GUARD(client.chat.completions.create)
            asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            completion = await chat(**asked)
            assert completion.choices[0].message.content == "fine"
            with pytest.raises(Blocked):
                await chat(**asked)


def test_a_coroutine_from_a_plain_function_is_refused_with_advice() -> None:
    coroutine = later("fine")
    with pytest.raises(ContentError, match="async def"):
        GUARD(lambda prompt: coroutine)("fine")
    coroutine.close()


def test_options_count_beside_a_function_too() -> None:
    policy = policy_of(rule(fixed_detector({"bad": 0.9})))

    def ask(prompt: str, note: object) -> str:
        return prompt

    guarded = guardrail.guard(ask, policy=policy, prompt="prompt", on_block="return")
    assert guarded("fine", object()) == "fine"
    assert not guarded("bad", object())
    shared = guardrail.guard(ask, policy="monitor", prompt="prompt", on_block="return")
    assert shared("fine", object()) == "fine"


@pytest.mark.parametrize("given", ["path", "url", "base64"])
def test_a_string_in_a_parameter_named_for_pictures_is_one(given: str, tmp_path: Path) -> None:
    out = BytesIO()
    Pillow.new("RGB", (8, 8)).save(out, "PNG")
    encoded = base64.b64encode(out.getvalue()).decode()
    file = tmp_path / "receipt.png"
    file.write_bytes(out.getvalue())
    receipt = {"path": str(file), "url": f"data:image/png;base64,{encoded}", "base64": encoded}
    records = CapturedRecords()

    @Guard(policy_of(), sinks=[records])(prompt="question", images="receipt")
    def ask(question: str, receipt: str, note: object = None) -> str:
        return "fine"

    assert ask("What is it?", receipt[given]) == "fine"
    kinds = {part.name: part.kind for part in records.last.stages[0].parts}
    assert kinds == {"question": "text", "images/0": "image"}
    with pytest.raises(ContentError, match="receipt: neither a file"):
        ask("What is it?", "nowhere.png")


def test_a_conversation_may_be_named_for_its_pictures_too() -> None:
    chat = [{"role": "user", "content": [{"type": "text", "text": "hi"}, "and"]}]
    guarded = GUARD(lambda chat: "fine", prompt="chat", images="chat")
    assert guarded(chat) == "fine"


def test_a_policy_may_be_given_as_a_mapping() -> None:
    words = {"use": "keywords", "words": ["bad"]}
    policy = {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "words"},
        "rules": [{"id": "w", "when": "input", "check": words, "action": "block"}],
    }
    with pytest.raises(Blocked):
        guardrail.guard(policy=policy)(lambda prompt: prompt)("bad")


def test_wrong_use_says_what_is_right() -> None:
    with pytest.raises(TypeError, match=r"by name, as in @guard\(policy=...\)"):
        guardrail.guard("strict")  # type: ignore[type-var]
    with pytest.raises(TypeError, match="has no parameter 'promt'"):
        GUARD(functools.partial(later), prompt="promt")
    with pytest.raises(TypeError, match="a Context or a function, not a str"):
        GUARD(context="shop")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="gives a Context, not a str"):
        GUARD(lambda prompt: prompt, context=lambda prompt: "shop")("hi")
    with pytest.raises(ValueError, match="from 0 to 5"):
        GUARD(output=int, ask_again=6)
    with pytest.raises(ContentError, match="tool: a text, not a list"):
        GUARD.screen("hi", tool=["result"])  # type: ignore[arg-type]


def test_a_rule_made_in_python_asks_again_as_often_as_one_in_a_file() -> None:
    with pytest.raises(ValueError, match="from 0 to 5"):
        Rule("r", frozenset({"output"}), fixed_detector({"bad": 0.9}), ask_again=-1)


def _blocked() -> Blocked:
    with pytest.raises(Blocked) as caught:
        GUARD(lambda prompt: prompt)("bad")
    return caught.value


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_errors_reach_another_process_whole(again: Callable[[Any], Any]) -> None:
    errors = [
        _blocked(),
        ContentError("prompt", "unreadable", "why"),
        PictureError("images/0", "empty", "no bytes"),
        SchemaError("#", "type", "why"),
        MissingExtra("torch", "transformers"),
        PolicyError([Mistake("p.yaml", 3, "rules", "wrong", "hint")]),
    ]
    for error in errors:
        other = again(error)
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other).keys() == vars(error).keys()
    assert again(errors[0]).verdict.action is Action.BLOCK


def test_metadata_and_kinds_are_kept() -> None:
    import inspect

    @GUARD
    async def chunks(prompt: str) -> AsyncIterator[str]:
        """What it does."""
        yield prompt

    @GUARD
    def lines(prompt: str = "x") -> Iterator[str]:
        yield prompt

    assert inspect.isasyncgenfunction(chunks)
    assert inspect.isgeneratorfunction(lines)
    assert (chunks.__name__, chunks.__doc__) == ("chunks", "What it does.")
    assert str(inspect.signature(lines)) == "(prompt: 'str' = 'x') -> 'Iterator[str]'"
