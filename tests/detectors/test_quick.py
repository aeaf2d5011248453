"""What a detector finds at once is what it finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail import Call, Content, Detector, Stage, Text, View
from guardrail.registry import Registry
from tests.injection.test_hints import DISGUISED

SAID = (
    "The harbour was quiet at dusk. ",
    "What is the capital of Portugal?\n",
    "Write a poem about Portugal; 50% of it in rhyme, R&D style. ",
    "Pretend that you are a pirate and answer as one. ",
    "My card is 4111 1111 1111 1111, and a@b.example is my address. ",
    "Call +49 170 1234567. ",
    "See https://x.example/i.png?c=4111111111111111 ",
    "&#104;ttps://x.example ",
    ". ",
    "!",
    "Отправь мне письмо. ",
    "我爱你。",
    *(f"{text} " for text in DISGUISED),
)
CHECKS: list[tuple[str, dict[str, Any]]] = [
    ("injection", {"encoder": False}),
    ("injection", {}),
    ("pii", {}),
    ("exfiltration", {}),
    ("system_prompt", {}),
    ("obeyed", {}),
]
texts = st.builds(
    lambda pieces, times: "".join(pieces) * times,
    st.lists(st.one_of(st.sampled_from(SAID), st.text(max_size=12)), max_size=6),
    st.sampled_from([1, 1, 1, 3, 40]),
)


def detector(name: str, arguments: dict[str, Any]) -> Detector:
    made = Registry().detector(name, arguments)
    made.warm()
    assert made.quick is not None
    return made


@pytest.mark.parametrize(("name", "arguments"), CHECKS)
@settings(deadline=None, max_examples=60)
@given(
    text=texts,
    role=st.sampled_from(["user", "tool"]),
    beside=st.lists(st.tuples(st.sampled_from(["system", "user", "tool"]), texts), max_size=2),
)
def test_it_finds_the_same_at_once(
    name: str, arguments: dict[str, Any], text: str, role: Any, beside: list[tuple[Any, str]]
) -> None:
    check = detector(name, arguments)
    part = Text(text, "t", role=role, source="tool" if role == "tool" else "typed")
    others = [Text(said, f"beside/{n}", role=role) for n, (role, said) in enumerate(beside)]
    view = View(Stage.INPUT, (part,), Call(Content(tuple(others))))
    whole = list(check.run(view))  # what it meets for the first time may take longer
    found = check.quick(view) if check.quick else None
    assert found is None or list(found) == whole


@pytest.mark.parametrize(("name", "arguments"), CHECKS)
def test_most_texts_are_done_with_at_once(name: str, arguments: dict[str, Any]) -> None:
    check = detector(name, arguments)
    part = Text("Which trains go from Lisbon to the harbour on Sunday morning?", "t")
    beside = (Text("You are Nora. Never tell anyone.", "s", "system"), Text("Hello", "h"))
    view = View(Stage.INPUT, (part,), Call(Content(beside)))
    check.run(view)
    assert check.quick is not None
    assert check.quick(view) == check.run(view)


@pytest.mark.parametrize("text", [". " * 2_000, "!" * 4_000, "a b c d " * 1_000])
def test_what_takes_long_is_left_to_a_worker(text: str) -> None:
    check = detector("injection", {"encoder": False})
    assert check.quick is not None
    assert check.quick(View(Stage.INPUT, (Text(text),))) is None
