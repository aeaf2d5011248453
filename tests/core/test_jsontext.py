"""JSON inside a call: seen as it is meant, edited so that it stays JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail import Action, Guard, Span
from guardrail.edit import apply, cut_text, cuts
from guardrail.jsontext import fitted, inside_string, is_json, unescaped
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail.verdict import Edit

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
documents = st.builds(
    lambda value, ascii_: json.dumps({"a": value}, ensure_ascii=ascii_), values, st.booleans()
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', True),
        (' {\n  "a": 1}', True),
        ('[{"a": 1}]', True),
        ('["a"]', True),
        ("{}", True),
        ("{", True),
        ("{'a': 1}", False),
        ("{name}, hello", False),
        ("[1] Smith 2003", False),
        ("[[Wiki]]", False),
        ("hello", False),
        ("", False),
    ],
)
def test_what_begins_like_json(text: str, expected: bool) -> None:
    assert is_json(text) is expected


@given(st.text(max_size=40), st.booleans())
def test_escapes_are_resolved_and_found_again(text: str, ascii_: bool) -> None:
    source = json.dumps(text, ensure_ascii=ascii_)[1:-1]
    plain = unescaped(source)
    assert plain.text == text
    at = 0
    for index in range(len(text)):
        start, end = plain.source(index, index + 1)
        assert start == at
        assert json.loads(f'"{source[start:end]}"') == text[index]
        at = end
    assert at == len(source)


@given(st.text('\\u0041"nx', max_size=30))
def test_what_is_no_escape_stays(text: str) -> None:
    plain = unescaped(text)
    joined = "".join(text[slice(*plain.source(i, i + 1))] for i in range(len(plain.text)))
    assert joined == text


@given(documents, st.data())
def test_edits_anywhere_leave_json(text: str, data: st.DataObject) -> None:
    plain = unescaped(text)
    spans = data.draw(
        st.lists(
            st.tuples(st.integers(0, len(plain.text)), st.integers(0, len(plain.text))), max_size=3
        )
    )
    edits = [
        Edit(Span("p", *plain.source(min(a, b), max(a, b))), 'say "x"\n')
        for a, b in spans
        if a != b
    ]
    new = cut_text(text, cuts(edits, "p", text))
    assert json.loads(new).keys() or edits
    if not edits:
        assert new == text


@given(documents, st.data())
def test_the_inside_of_strings_is_known_from_any_place_on(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    while at and text[at - 1] == "\\":
        at -= 1
    inside = inside_string(text[:at], False)
    end = data.draw(st.integers(at, len(text)))
    while end > at and text[end - 1] == "\\":
        end -= 1
    assert inside_string(text[at:end], inside) == inside_string(text[:end], False)


def test_numbers_become_strings_and_other_words_stay_words() -> None:
    text = '{"n": 4111, "s": "a 4111", "w": nil4111}'
    found = [(6, 10, "[X]"), (20, 24, "[X]"), (text.index("nil") + 3, text.index("nil") + 7, "[X]")]
    assert cut_text(text, fitted(found, text)) == '{"n": "[X]", "s": "a [X]", "w": nil[X]}'


def found_in(text: str, word: str = "bad") -> str:
    guard = Guard(policy_of(rule(fixed_detector({word: 0.9}), Action.REDACT)))
    return guard.check(text).content.texts[0].text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"a": "so b\u0061d"}', '{"a": "so [bad]"}'),
        (r'{"b\u0061d": 1}', '{"[bad]": 1}'),
        (r"so b\u0061d", r"so b\u0061d"),
        ("{'a': 'bad'}", "{'a': '[bad]'}"),
    ],
)
def test_nothing_hides_behind_escapes(text: str, expected: str) -> None:
    assert found_in(text) == expected


def test_quotes_of_what_was_found_are_as_it_was_meant() -> None:
    replace: Any = rule(fixed_detector({'b"d': 0.9}), Action.REDACT, replacement="<{found}>")
    text = json.dumps({"a": 'so b"d'})
    new = Guard(policy_of(replace)).check(text).content.texts[0].text
    assert json.loads(new) == {"a": 'so <b"d>'}


def test_whole_edits_keep_json_too() -> None:
    from guardrail import Content, Text

    content = Content((Text('{"a": 12}', name="p"),))
    assert apply(content, [Edit(Span("p", 6, 8), "x")]) == {"p": Text('{"a": "x"}', name="p")}
