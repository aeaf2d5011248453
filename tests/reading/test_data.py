"""Text and pictures in dicts, lists and records are found, and changes are written back in kind."""

from __future__ import annotations

from collections import deque
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from guardrail import ContentError
from guardrail.reading import read_answer, read_arguments
from tests.reading.parts import HIDDEN, PNG, URL, texts


def test_a_key_that_may_say_something_is_in_no_name() -> None:
    reading = read_arguments({"seats": {"jane@example.com": "by the window", "row": "two"}})
    (key, by_window, row) = texts(reading).items()
    assert key[1] == "jane@example.com"
    assert key[0].startswith("seats/key-")
    assert by_window[0].startswith("seats/key-")
    assert by_window[1] == "by the window"
    assert row == ("seats/row", "two")


@dataclass(frozen=True)
class Request:
    prompt: str
    image: bytes


class Model(BaseModel):
    question: str
    depth: int = 1


def test_records_and_keywords_are_entered() -> None:
    reading = read_arguments(
        {"request": Request("hello", PNG), "options": {"q": Model(question="x")}}
    )
    assert set(texts(reading).values()) == {"hello", "x"}
    changed = {
        n: replace(p, text="NEW")
        for n, p in zip(texts(reading), reading.content.texts, strict=True)
    }
    new = reading.rebuild(changed)
    assert new["request"] == Request("NEW", PNG)
    assert new["options"]["q"] == Model(question="NEW")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "text", "role"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["question", "x", "y"]), plain, max_size=3))
def test_every_string_can_be_found_and_exchanged(arguments: dict[str, Any]) -> None:
    reading = read_arguments(arguments)
    assert reading.rebuild({}) == arguments
    assert len(texts(reading)) == len(reading.content.texts)

    def strings(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        inner = value.values() if isinstance(value, dict) else value
        return [s for v in inner for s in strings(v)] if isinstance(value, (dict, list)) else []

    found = sorted(part.text for part in reading.content.texts)
    missing = set(strings(arguments)) - set(found)
    assert not missing or "role" in str(arguments)
    changed = {part.name: replace(part, text="*") for part in reading.content.texts}
    assert strings(reading.rebuild(changed)).count("*") >= len(changed)


class Lines(list[str]):
    pass


@pytest.mark.parametrize(
    ("value", "changed"),
    [
        ({1: "a", "1": "b", (2, 3): ["c"]}, {1: "A", "1": "B", (2, 3): ["C"]}),
        (MappingProxyType({"k": "a"}), {"k": "A"}),
        (deque(["a", 1]), deque(["A", 1])),
        (Lines(["a"]), Lines(["A"])),
    ],
)
def test_any_dict_and_list_can_be_written_back(value: Any, changed: Any) -> None:
    reading = read_arguments({"rows": value})
    upper = {part.name: replace(part, text=part.text.upper()) for part in reading.content.texts}
    new = reading.rebuild(upper)["rows"]
    assert new == changed
    assert type(new) is type(changed)
    answer = read_answer(value)
    said = {part.name: replace(part, text=part.text.upper()) for part in answer.reply.content.texts}
    assert answer.rebuild(said) == changed


@pytest.mark.parametrize(
    "value",
    [
        *({key: HIDDEN} for key in "device stop tools model instructions system name type".split()),
        {"a": [{"device": HIDDEN}]},
        {HIDDEN: 1},
        {("a", HIDDEN): 1},
        {"role": HIDDEN, "content": ""},
        {"role": "user", "content": "", "name": HIDDEN},
        {"role": "user", "content": "", "model": {"of": HIDDEN}},
        {"role": "user", "content": "", "cache_control": {"type": HIDDEN}},
        {"type": "text", "text": "", "title": HIDDEN},
        {"type": "text", "text": "a", "thinking": HIDDEN},
        {"type": "image", "image": PNG, "alt": HIDDEN},
        {"type": "image_url", "image_url": {"url": URL, "title": HIDDEN}},
        {"type": "tool_use", "id": "t", "name": HIDDEN, "input": {}},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"model": HIDDEN}},
        {"type": "function", "function": {"name": "f", "description": HIDDEN}},
        {"type": "function", "description": HIDDEN},
        {"type": "tool_result", "content": "", "title": HIDDEN},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": HIDDEN}]},
        {"type": "redacted_thinking", "data": "x", "text": HIDDEN},
    ],
)
def test_no_name_hides_a_text_in_data(value: Any) -> None:
    reading = read_arguments({"given": value})
    found = [part for part in reading.content.texts if HIDDEN in part.text]
    assert found
    assert all(part.role in ("user", "assistant", "tool") for part in found)
    for around in ([value], {"messages": [{"role": "user", "content": [value]}]}):
        if get_type(value) in (None, HIDDEN):
            continue
        assert HIDDEN in texts(read_arguments({"given": around})).values()


def get_type(value: dict[Any, Any]) -> Any:
    return value.get("type")


def test_keys_are_redacted_in_kind() -> None:
    seats = {"a": 0, "jane@example.com": {"joe@example.com": "the joe@example.com"}, "x y": 1}
    reading = read_arguments({"seats": seats, "same": {"a@b.cd": 1, "a@c.de": 2}})
    changed = {
        part.name: replace(part, text="the [MAIL]" if " " in part.text else "[MAIL]")
        for part in reading.content.texts
        if "@" in part.text
    }
    new = reading.rebuild(changed)
    assert list(new["seats"].items()) == [
        ("a", 0),
        ("[MAIL]", {"[MAIL]": "the [MAIL]"}),
        ("x y", 1),
    ]
    assert new["same"] == {"[MAIL]": 1, "[MAIL] 2": 2}
    assert "jane@example.com" in seats


class Open(BaseModel, extra="allow"):
    pass


@pytest.mark.parametrize("value", [{("a", "a text"): 1}, Open(**{"a text": 1})])
def test_a_key_that_cannot_be_changed_stops_the_call(value: Any) -> None:
    reading = read_arguments({"value": value})
    (part,) = reading.content.texts
    with pytest.raises(ContentError, match="key") as caught:
        reading.rebuild({part.name: replace(part, text="")})
    assert "text" not in str(caught.value)


class Question(BaseModel):
    text: str

    @cached_property
    def loud(self) -> str:
        return self.text.upper()


@dataclass(frozen=True)
class Asked:
    first: str
    text: str = field(init=False, default="one")
    more: InitVar[str] = "more"

    @cached_property
    def loud(self) -> str:
        return self.text.upper()


@pytest.mark.parametrize("value", [Question(text="one"), Asked("first")])
def test_what_a_record_works_out_of_its_text_is_worked_out_anew(value: Any) -> None:
    assert value.loud == "ONE"
    reading = read_arguments({"value": value})
    changed = {p.name: replace(p, text="[x]") for p in reading.content.texts if p.text == "one"}
    new = reading.rebuild(changed)["value"]
    assert (new.text, new.loud) == ("[x]", "[X]")
    assert (value.text, value.loud) == ("one", "ONE")
