"""Quotes, numbers and names against the text of a picture; boxes; fields; languages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_detectors.entities.boxes import cited, in_pixels
from guardrail_detectors.entities.fields import claims_of, is_structured, leaves
from guardrail_detectors.entities.grounding import _distance, prepared, unread
from guardrail_detectors.entities.language import foreign_script, is_english

RECEIPT = """ACME Store
Invoice 10-2291
Date 03/11/2025
TOTAL $1,234.50
Tel (202) 555-0143
Thank you for shopping"""


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ('The receipt says "Thank you for shopping".', ""),
        ("The text says “Thank yeu for shoping”.", ""),
        ('The sign reads "No parking".', "No parking"),
        ("The total is 1234.50 dollars.", ""),
        ("The total is 1.234,50.", ""),
        ("The total is $1,235.50.", "1,235.50"),
        ("It is dated November 3, 2025.", ""),
        ("It is dated 2025-11-03.", ""),
        ("It is dated December 5, 2025.", "December 5, 2025"),
        ("The receipt was issued by Acme.", ""),
        ("The receipt was issued by Globex Corporation.", "Globex Corporation"),
        ("The phone number is +1 202 555 0143.", ""),
        ("The phone number is 202-555-0199.", "202-555-0199"),
        ("The invoice number is 10-2291.", ""),
        ("There are 350 people in the hall.", ""),
        ("He said hello to Bob.", ""),
    ],
)
def test_what_is_said_to_be_read_has_to_stand_there(answer: str, wrong: str) -> None:
    found = unread(answer, prepared([RECEIPT]))
    assert [answer[one.start : one.end] for one in found if one.score >= 0.5] == (
        [wrong] if wrong else []
    )


def test_a_picture_without_text_holds_no_quote() -> None:
    (one,) = unread('The label says "Best before".', prepared([]))
    assert one.score == 1.0


def naive(pattern: str, text: str) -> int:
    row = [0] * (len(text) + 1)
    for at, char in enumerate(pattern, 1):
        new = [at]
        for place, other in enumerate(text, 1):
            new.append(min(row[place] + 1, new[-1] + 1, row[place - 1] + (char != other)))
        row = new
    return min(row)


@given(st.text("ab c", min_size=1, max_size=12), st.text("ab c", max_size=30))
def test_distance_is_that_of_the_nearest_piece(pattern: str, text: str) -> None:
    assert _distance(pattern, text) == pytest.approx(naive(pattern, text) / len(pattern))


@given(st.text(max_size=300), st.text(max_size=100))
def test_any_answer_is_compared(answer: str, text: str) -> None:
    for one in unread(answer, prepared([text])):
        assert 0 <= one.start < one.end <= len(answer)
        assert 0 <= one.score <= 1


@pytest.mark.parametrize(
    ("answer", "box"),
    [
        ("The dog is at [10, 20, 110, 220].", (10, 20, 110, 220)),
        ("It is at (0.1, 0.2, 0.5, 0.9).", (0.1, 0.2, 0.5, 0.9)),
        ("<box>(5,6),(700,800)</box>", (5, 6, 700, 800)),
        ("from (1, 2) to (30, 40)", (1, 2, 30, 40)),
    ],
)
def test_boxes_are_read(answer: str, box: tuple[float, ...]) -> None:
    assert [one.numbers for one in cited(answer)] == [box]


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((10, 20, 110, 220), (10, 20, 110, 220)),
        ((0.5, 0.5, 1.0, 1.0), (160, 120, 320, 240)),
        ((500, 500, 1000, 1000), (160, 120, 320, 240)),
        ((0, 0, 1500, 900), None),
        ((-5, 0, 10, 10), None),
        ((50, 50, 20, 60), None),
    ],
)
def test_boxes_lie_in_the_picture_or_not(
    box: tuple[float, float, float, float], pixels: tuple[int, ...] | None
) -> None:
    assert in_pixels(box, 320, 240) == pixels


def named(text: str) -> list[str]:
    said = [(one.claim, one.box) for one in claims_of(text)]
    return [
        " ".join([str(c.count or ""), *c.colours, c.name, str(list(b)) if b else ""]).strip()
        for c, b in said
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"objects": ["dog", "red car"], "count": 2}', ["dog", "red car"]),
        ('[{"label": "dog", "bbox": [1, 2, 3, 4], "count": 2}]', ["2 dog [1.0, 2.0, 3.0, 4.0]"]),
        ('{"items": [{"name": "cup", "color": "red"}]}', ["red cup"]),
        ('{"objects": [{"name": "cat", "present": false}]}', []),
        ('{"objects": {"dog": 2, "cat": 0}}', ["2 dog"]),
        ('{"has_umbrella": true, "has_boat": false}', ["umbrella"]),
        ('{"caption": "There is no dog, but a cat."}', ["cat"]),
        ('```json\n{"detections": [{"class": "bus"}]}\n```', ["bus"]),
        ('{"title": "a dog"}', []),
    ],
)
def test_fields_of_structured_answers(answer: str, said: list[str]) -> None:
    assert is_structured(answer)
    assert named(answer) == said


def test_places_in_structured_answers() -> None:
    answer = '{"objects": ["traffic light"], "caption": "A red bus."}'
    places = [answer[one.claim.start : one.claim.end] for one in claims_of(answer)]
    assert places == ["traffic light", "red bus"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


def flat(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in flat(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in flat(inner)]
    return [value]


@given(VALUES, st.booleans())
def test_leaves_are_those_of_the_parser(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert [leaf.value for leaf in leaves(text)] == flat(value)


@given(st.text('{}[]":,dog \\01', max_size=60))
def test_broken_json_is_read_as_far_as_it_goes(text: str) -> None:
    for one in claims_of(text):
        assert 0 <= one.claim.start <= one.claim.end <= len(text)


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("A dog sits on a couch.", True),
        ("Two dogs, one cat, three birds", True),
        ("Ein Hund sitzt auf dem Sofa und eine Katze ist im Bild.", False),
        ("Un chien est assis sur le canapé.", False),
        ("El perro está en el sofá con una pelota.", False),
        ("Um cachorro e uma bola na praia", False),
        ("Il cane è sul divano con una palla", False),
        ("Een hond zit op de bank en kijkt naar het raam", False),
    ],
)
def test_languages_are_told_by_their_small_words(text: str, english: bool) -> None:
    assert is_english(text) == english


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("一只狗坐在沙发上", "han"),
        ("Собака на диване", "cyrillic"),
        ("كلب على الأريكة", "arabic"),
        ("A dog named 犬 lies there", None),
        ("🐕🐕 12", None),
    ],
)
def test_scripts(text: str, script: str | None) -> None:
    assert foreign_script(text, frozenset({"latin"})) == script


def test_a_script_that_the_model_knows_is_not_foreign() -> None:
    assert foreign_script("一只狗", frozenset({"latin", "han"})) is None
