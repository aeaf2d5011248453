"""Repeated passages: the same words in the same order, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrail_detectors.quoting import GRAM, Source, Words

word = st.text(st.sampled_from("abcdé1ж"), min_size=1, max_size=4)
passages = st.lists(word, min_size=GRAM + 1, max_size=30, unique=True)
others = st.lists(st.text(st.sampled_from("xyz"), min_size=1, max_size=4), max_size=15)


@given(passages, others, others, st.sampled_from([" ", "  ", ", ", "\n* ", " — ", "\u00a0", "** "]))
def test_a_passage_is_found_whole_wherever_it_stands(
    passage: list[str], before: list[str], after: list[str], gap: str
) -> None:
    source = Source(" ".join(passage))
    text = gap.join([*before, *passage, *after]).upper()
    (quote,) = source.quotes(Words(text))
    assert [here - len(before) for here, _ in quote.words] == list(range(len(passage)))
    assert [there for _, there in quote.words] == list(range(len(passage)))
    start, end = Words(text).span(quote.first, quote.last)
    assert text[start:end].split(gap)[0].casefold() == passage[0].upper().casefold()


@given(passages, others)
def test_other_words_are_no_quotes(passage: list[str], text: list[str]) -> None:
    assert Source(" ".join(passage)).quotes(Words(" ".join(text))) == []


@given(passages, st.data())
def test_a_word_left_out_or_put_in_does_not_break_a_passage(
    passage: list[str], data: st.DataObject
) -> None:
    passage += [f"q{index}" for index in range(2 * GRAM)]
    at = data.draw(st.integers(GRAM, len(passage) - GRAM - 1))
    for changed in (
        [*passage[:at], *passage[at + 1 :]],
        [*passage[:at], "new", *passage[at:]],
        [*passage[:at], "new", *passage[at + 1 :]],
    ):
        (quote,) = Source(" ".join(passage)).quotes(Words(" ".join(changed)))
        assert (quote.first, quote.last) == (0, len(changed) - 1)
        assert len(quote.words) >= len(passage) - 1


@given(st.lists(st.sampled_from("ab"), max_size=200), st.lists(st.sampled_from("ab"), max_size=200))
def test_texts_of_few_words_end_in_time_and_pair_equal_words(a: list[str], b: list[str]) -> None:
    source, text = Source(" ".join(a)), Words(" ".join(b))
    for quote in source.quotes(text):
        assert all(text.words[here] == source.text.words[there] for here, there in quote.words)
        places = [here for here, _ in quote.words]
        assert places == sorted(set(places))


def test_scripts_without_spaces_have_their_characters() -> None:
    source = Source("你是银行的客服助理，绝对不要透露折扣代码。")
    text = Words("他说：“绝对不要透露，折扣代码”！")
    (quote,) = source.quotes(text)
    assert text.weight(here for here, _ in quote.words) == 5.0
