"""Edits of text, whole and in chunks."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guardrail import Content, Span, Text
from guardrail.edit import apply, cut_chunks, cut_text, cuts
from guardrail.verdict import Edit

texts = st.text(st.characters(exclude_characters="[]{"), max_size=40)


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    text = draw(texts)
    spans = draw(
        st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text))), max_size=4)
    )
    edits = [Edit(Span("p", min(a, b), max(a, b)), "[X]") for a, b in spans if a != b]
    return text, edits


@given(edited())
def test_nothing_of_a_span_survives_and_all_else_does(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    covered = {i for edit in edits for i in range(edit.where.start, edit.where.end)}
    new = cut_text(text, cuts(edits, "p", text))
    kept = "".join(char for i, char in enumerate(text) if i not in covered)
    assert new.replace("[X]", "") == kept
    assert ("[X]" in new) == bool(edits)


@given(edited(), st.data())
def test_chunks_join_to_the_edited_whole(case: tuple[str, list[Edit]], data: st.DataObject) -> None:
    text, edits = case
    points = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    bounds = [0, *points, len(text)]
    chunks = [text[a:b] for a, b in pairwise(bounds)]
    changes = cuts(edits, "p", text)
    new = cut_chunks(chunks, changes)
    assert len(new) == len(chunks)
    assert "".join(new) == cut_text(text, changes)


def test_only_the_parts_with_edits_are_changed() -> None:
    content = Content((Text("a b", name="p"), Text("c", name="q")))
    assert apply(content, [Edit(Span("p", 0, 1), "*")]) == {"p": Text("* b", name="p")}
