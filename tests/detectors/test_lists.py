"""Word lists, expressions and addresses: what is found, and exactly where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail import Detector, Span, Stage, Text, View
from guardrail_detectors.keywords import keywords
from guardrail_detectors.normalise import CodePoints, folded, plain, utf8
from guardrail_detectors.regexes import regex
from guardrail_detectors.urls import ascii_host, urls

any_text = st.text(st.characters(codec=None), max_size=60)  # lone surrogates too


def found(detector: Detector, text: str) -> list[tuple[str, str]]:
    """Labels with the characters they stand on."""
    hits = []
    for finding in detector.run(View(Stage.INPUT, (Text(text),))):
        assert isinstance(finding.where, Span)
        assert 0 <= finding.where.start < finding.where.end <= len(text)
        hits.append((finding.label, text[finding.where.start : finding.where.end]))
    return hits


def texts(detector: Detector, text: str) -> list[str]:
    return [hit for _, hit in found(detector, text)]


WORDS = keywords(words=["bad", "Straße", "炸弹", "so bad news", "C++", "naïve"])


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("bad bad badly", ["bad", "bad"]),
        ("BAD-tempered", ["BAD"]),
        ("eine STRASSE weiter", ["STRASSE"]),
        ("so bad\n  news", ["so bad\n  news"]),
        ("做炸弹吗", ["炸弹"]),
        ("ba\u200bd", ["ba\u200bd"]),
        ("ｂａｄ", ["ｂａｄ"]),
        ("we use C++ here", ["C++"]),
        ("naive and NAÏVE", ["naive", "NAÏVE"]),
        ("b a d", []),
        ("embad", []),
        ("", []),
    ],
)
def test_words_are_found_as_people_read_them(text: str, hits: list[str]) -> None:
    assert texts(WORDS, text) == hits


def test_parts_of_words_count_when_asked() -> None:
    assert texts(keywords(words=["bad"], whole_words=False), "embadding") == ["bad"]


def test_a_list_needs_words() -> None:
    for arguments in ({}, {"words": []}, {"words": [" "]}):
        with pytest.raises(ValueError, match="empty"):
            keywords(**arguments)
    with pytest.raises(ValueError, match="cannot be read"):
        keywords(file="no-such-file.txt")


@given(st.lists(st.sampled_from(["plum", "pear"]), max_size=5), any_text)
def test_every_word_is_found_wherever_it_stands(words: list[str], between: str) -> None:
    text = f" {between} ".join(["", *words, ""])
    detector = keywords(words=["plum", "pear"])
    assert texts(detector, text).count("plum") >= words.count("plum")
    assert texts(detector, text).count("pear") >= words.count("pear")


NUMBERS = regex(patterns={"ORDER": r"#\d{4,}", "CODE": r"\b[A-Z]{3}-\d{2}\b"})


def test_expressions_are_found_by_label() -> None:
    assert found(NUMBERS, "é #12345 ABC-12 \ud800 #99999") == [
        ("ORDER", "#12345"),
        ("ORDER", "#99999"),
        ("CODE", "ABC-12"),
    ]
    assert found(regex(patterns=["x+"], ignore_case=True), "aXxb") == [("regex", "Xx")]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(a)\1", "back-references"),
        (r"(?<=a)b", "look-around"),
        (r"(", "patterns.0"),
        (r"(?:a{900}){900}", "too large"),
    ],
)
def test_expressions_that_are_not_linear_are_refused(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        regex(patterns=[pattern])


def test_an_expression_that_would_explode_elsewhere_ends_here() -> None:
    assert found(regex(patterns=[r"(a+)+b"]), "a" * 100_000) == []


LINKS = urls(allow=["good.example", "*.fine.example"], deny=["bad.fine.example"])


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("see https://good.example/a?b=c.", []),
        ("see http://sub.good.example", [("url_denied", "http://sub.good.example")]),
        ("x.fine.example/path and fine.example/", []),
        ("(https://bad.fine.example/x)", [("url_denied", "https://bad.fine.example/x")]),
        (
            "![i](https://evil.example/p.png?d=1)",
            [("url_denied", "https://evil.example/p.png?d=1")],
        ),
        (
            "https://good.example@evil.example/login",
            [
                ("url_credentials", "https://good.example@evil.example/login"),
                ("url_denied", "https://good.example@evil.example/login"),
            ],
        ),
        ("http://127.0.0.1:8080/x", [("url_denied", "http://127.0.0.1:8080/x")]),
        ("click javascript:alert(1)", [("url_active", "javascript:alert(1)")]),
        ("HTTPS://GOOD.EXAMPLE/", []),
        ("https://g\u200bood.example/", []),
        ("www.evil.com, really", [("url_denied", "www.evil.com")]),
        ("write to a.b@mail.example or read file.py, e.g. 3.5", []),
    ],
)
def test_addresses_are_held_against_the_lists(text: str, hits: list[tuple[str, str]]) -> None:
    assert found(LINKS, text) == hits


def test_hosts_in_other_scripts_have_one_form() -> None:
    assert ascii_host("BÜCHER.example.") == "xn--bcher-kva.example"
    assert found(urls(deny=["xn--bcher-kva.example"]), "http://bücher.example/") == [
        ("url_denied", "http://bücher.example/")
    ]
    assert found(urls(deny=["bücher.example"]), "http://xn--bcher-kva.example/") != []


@pytest.mark.parametrize("host", ["", "http://x", "a:1", "*"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        urls(allow=[host])


@given(any_text)
def test_any_text_is_taken(text: str) -> None:
    for detector in (WORDS, NUMBERS, LINKS):
        found(detector, text)


@given(any_text, st.data())
def test_normalised_text_knows_its_way_back(text: str, data: st.DataObject) -> None:
    for read in (plain(text), folded(text)):
        if read.text:
            start = data.draw(st.integers(0, len(read.text) - 1))
            end = data.draw(st.integers(start + 1, len(read.text)))
            first, last = read.span(start, end)
            assert 0 <= first < last <= len(text)
    whole = plain(text)
    again = plain(whole.text)
    assert set(again.text) <= set(plain(again.text).text) | set(whole.text)


@given(any_text, st.data())
def test_bytes_and_code_points_agree(text: str, data: st.DataObject) -> None:
    point, encoded = CodePoints(text), utf8(text)
    for cut in data.draw(st.lists(st.integers(0, len(text)), max_size=5)):
        assert point(len(utf8(text[:cut]))) == cut
    assert point(len(encoded)) == len(text)
