"""Personal data is found to the character; ordinary texts are left alone."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from guardrail.content import Text
from guardrail.detector import Stage, View
from guardrail_detectors.pii import pii
from guardrail_detectors.pii.labels import LABELS
from guardrail_detectors.secrets import secrets

_spec = importlib.util.spec_from_file_location("pii_texts", Path(__file__).parent / "texts.py")
assert _spec is not None
assert _spec.loader is not None
texts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(texts)

DETECTOR = pii()


def found(text: str, detector=DETECTOR) -> list[tuple[str, str]]:
    findings = detector.run(View(Stage.INPUT, (Text(text, name="doc"),)))
    assert all(f.where.part == "doc" and 0 <= f.score <= 1 for f in findings)
    return [
        (text[f.where.start : f.where.end], f.label)
        for f in findings
        if f.score >= detector.spec.threshold
    ]


@pytest.mark.parametrize("text", texts.HARMLESS)
def test_ordinary_text_has_no_hits(text: str) -> None:
    assert found(text) == []
    assert found(text, secrets()) == []


def test_harmless_texts_have_no_hits_as_one_document() -> None:
    document = "\n\n".join(texts.HARMLESS)
    assert found(document) == []
    assert found(document, secrets()) == []


@pytest.mark.parametrize(("text", "expected"), texts.PERSONAL)
def test_personal_data_is_found_exactly(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.skipif(
    tuple(map(int, version("presidio-analyzer").split(".")[:3])) < (2, 2, 366),
    reason="the extra paddleocr holds presidio back; the tests of the wheel run these",
)
@pytest.mark.parametrize(("text", "expected"), texts.PERSONAL_NEWER)
def test_newer_formats_are_found_exactly(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


def test_only_chosen_entities() -> None:
    text = "ana@example.com, +49 30 901820, 4111 1111 1111 1111 cvv 123"
    assert found(text, pii(entities=["PHONE", "CARD_CVV"])) == [
        ("+49 30 901820", "PHONE"),
        ("123", "CARD_CVV"),
    ]
    assert pii(entities=["EMAIL"]).spec.labels == ("EMAIL",)
    assert pii().spec.labels == LABELS


def test_only_chosen_countries() -> None:
    text = "My SSN is 536-22-1849 and my DNI is 12345678Z"
    assert found(text, pii(countries=["es"])) == [("12345678Z", "NATIONAL_ID")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"entities": ["E-MAIL"]}, "entities: choose some of ADDRESS"),
        ({"entities": []}, "entities: choose some of"),
        ({"entities": ["PERSON"]}, "these need ner"),
        ({"countries": ["xx"]}, "countries: choose some of au"),
        ({"phone_regions": ["Germany"]}, "phone_regions: "),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pii(**arguments)


def test_a_missing_name_model_is_no_pass() -> None:
    from guardrail.errors import MissingExtra, NotRun

    with pytest.raises((MissingExtra, NotRun)):
        found("Ada Lovelace lives in London", pii(ner="no_such_model"))


def test_a_token_in_a_url_is_no_address() -> None:
    text = "git clone https://bot:ghp_A7bC9dE2fG4hJ6kL8mN1pQ3rS5tU7vW9xY2z@github.com/x/y"
    assert found(text) == []
    assert ("ghp_A7bC9dE2fG4hJ6kL8mN1pQ3rS5tU7vW9xY2z", "GITHUB_TOKEN") in found(text, secrets())


def test_long_texts_are_searched_to_the_end_and_across_blocks() -> None:
    text = "lorem ipsum dolor sit amet " * 3_000
    for place in (0, 4_090, 4_096, 8_180, 8_192, 40_000, len(text)):
        filled = (
            f"{text[:place]} mail ana.silva@example.com card 4111 1111 1111 1111 {text[place:]}"
        )
        assert found(filled) == [
            ("ana.silva@example.com", "EMAIL"),
            ("4111 1111 1111 1111", "CARD"),
        ]


def test_the_work_grows_with_the_length_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from guardrail_detectors.pii.recognizers import Recognizer

    looked_at: list[int] = []
    find = Recognizer.find

    def counting(self: Recognizer, text: str) -> list:
        looked_at.append(len(text))
        return find(self, text)

    monkeypatch.setattr(Recognizer, "find", counting)
    line = "a.b.c.d@ 12 3456-7890 AB12 1.2.3.4 :: passport ssn nhs 123456789 "
    sums = []
    for length in (20_000, 40_000):
        looked_at.clear()
        found((line * (length // len(line) + 1))[:length])
        sums.append(sum(looked_at))
        assert max(looked_at) < 6_000
    assert sums[1] < 2.5 * sums[0]


def test_threads_give_equal_results() -> None:
    documents = [text for text, _ in texts.PERSONAL]
    alone = [found(text) for text in documents]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(found, documents)) == alone
