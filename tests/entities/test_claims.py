"""What sentences claim, and above all what they do not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_detectors.entities.claims import Claim, claims, presumed
from guardrail_detectors.entities.lexicon import plural, singular

HERE = Path(__file__).parent


def cases(name: str) -> list[tuple[str, str]]:
    lines = (HERE / name).read_text("utf-8").splitlines()
    pairs = (line.split(" | ") for line in lines if line and not line.startswith("#"))
    return [(sentence, said) for sentence, said in pairs]


def shown(claim: Claim) -> str:
    number = [] if claim.count is None else [str(claim.count)]
    return " ".join([*number, *claim.colours, claim.name])


DENIED = cases("not_claimed.txt")


def test_there_are_hundreds_of_sentences_that_claim_nothing() -> None:
    assert len(DENIED) >= 200


@pytest.mark.parametrize(("sentence", "denied"), DENIED, ids=[s for s, _ in DENIED])
def test_what_is_denied_doubted_or_asked_is_not_claimed(sentence: str, denied: str) -> None:
    said = {tail for claim in claims(sentence) for tail in claim.tails}
    assert not said & set(denied.split(", "))


@pytest.mark.parametrize(("sentence", "said"), cases("claimed.txt"))
def test_what_is_claimed_is_found_with_colours_and_numbers(sentence: str, said: str) -> None:
    assert "; ".join(map(shown, claims(sentence))) == said


def test_places_are_those_of_the_name_the_colour_and_the_number() -> None:
    text = "There are two dark blue cups."
    (claim,) = claims(text)
    assert text[claim.start : claim.end] == "dark blue cups"
    assert claim.colour_at is not None
    assert text[slice(*claim.colour_at)] == "blue"
    assert claim.count_at is not None
    assert text[slice(*claim.count_at)] == "two"


@pytest.mark.parametrize(
    ("question", "held"),
    [
        ("What colour is the dog?", "dog"),
        ("Why is the man holding an umbrella?", "man; umbrella"),
        ("Is there a dog?", ""),
        ("Are there any cats?", ""),
        ("How many dogs are on the couch?", "couch"),
        ("If there is a dog, what colour is the collar?", ""),
        ("Describe the red car.", "red car"),
        ("I have a dog. Its name is Rex.", ""),
        ("Where is the woman's handbag?", "handbag"),
        ("Please describe this picture.", ""),
    ],
)
def test_what_a_question_takes_for_granted(question: str, held: str) -> None:
    assert "; ".join(map(shown, presumed(question))) == held


WORDS = "a the no not dog cats red two is are and or of , . ? if could \n * “ ” x's 3 like".split(
    " "
)


@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_every_text_is_read_and_places_lie_in_it(text: str) -> None:
    for claim in [*claims(text), *presumed(text)]:
        assert 0 <= claim.start < claim.end <= len(text)
        assert claim.words


@given(st.text(max_size=200))
def test_any_characters_are_read(text: str) -> None:
    for claim in claims(text):
        assert text[claim.start : claim.end].strip()


def test_time_grows_with_length_alone() -> None:
    sentence = "There is no dog, no cat, or a bird that could be red, on the "
    times = []
    for size in (200, 800):
        began = time.process_time()
        claims(sentence * size + ".")
        times.append(time.process_time() - began)
    assert times[1] < 60 * max(times[0], 0.01)


@pytest.mark.parametrize(
    ("many", "one"),
    [("buses", "bus"), ("people", "person"), ("knives", "knife"), ("cherries", "cherry"),
     ("dogs", "dog"), ("boxes", "box"), ("sheep", "sheep"), ("benches", "bench")],
)  # fmt: skip
def test_plurals(many: str, one: str) -> None:
    assert singular(many) == one
    assert plural(one) == many
