"""Spans are exact wherever a value stands, whatever surrounds it."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.content import Text
from guardrail.detector import Stage, View
from guardrail_detectors.pii import pii
from guardrail_detectors.pii.cards import luhn
from guardrail_detectors.pii.normal import plain_text
from guardrail_detectors.secrets import secrets

PII, SECRETS = pii(), secrets()
WORDS = st.text(" \n" + string.ascii_lowercase.replace("x", "") + "äéß语り", max_size=300)


@st.composite
def cards(draw: st.DrawFn) -> str:
    body = "4" + draw(st.text(string.digits, min_size=14, max_size=14))
    digits = next(body + last for last in string.digits if luhn(body + last))
    separator = draw(st.sampled_from(["", " ", "-", "\n"]))
    return separator.join(digits[i : i + 4] for i in range(0, 16, 4))


@st.composite
def ibans(draw: st.DrawFn) -> str:
    account = draw(st.text(string.digits, min_size=18, max_size=18))
    check = 98 - int(account + "131400") % 97  # ISO 13616: D = 13, E = 14
    iban = f"DE{check:02}{account}"
    return " ".join(iban[i : i + 4] for i in range(0, 22, 4)) if draw(st.booleans()) else iban


emails = st.from_regex(r"[a-z]{2,12}(\.[a-z]{2,12})?@[a-z]{3,12}\.(com|de|co\.uk)", fullmatch=True)
phones = st.from_regex(r"\+49 30 9[0-9]{5}", fullmatch=True)
tokens = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=36, max_size=36).map("ghp_".__add__),
    st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16).map("AKIA".__add__),
    st.text(string.hexdigits.lower()[:16], min_size=64, max_size=64).map("dop_v1_".__add__),
)


def spans(detector, text: str) -> set[tuple[int, int, str]]:
    run = detector.run(View(Stage.INPUT, (Text(text),)))
    return {(f.where.start, f.where.end, f.label) for f in run if f.score >= 0.5}


@settings(max_examples=60, deadline=None)
@given(
    WORDS,
    WORDS,
    st.one_of(
        st.tuples(cards(), st.just("CARD")),
        st.tuples(ibans(), st.just("IBAN")),
        st.tuples(emails, st.just("EMAIL")),
        st.tuples(phones, st.just("PHONE")),
    ),
)
def test_personal_data_anywhere(before: str, after: str, made: tuple[str, str]) -> None:
    value, label = made
    text = f"{before} ; {value} ; {after}"
    start = len(before) + 3
    assert (start, start + len(value), label) in spans(PII, text)


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS, tokens)
def test_secrets_anywhere(before: str, after: str, value: str) -> None:
    text = f"{before} {value} {after}"
    start = len(before) + 1
    assert (start, start + len(value)) in {hit[:2] for hit in spans(SECRETS, text)}


@given(st.text(st.sampled_from("a1 \u200b\u00ad\uff11\u0664\u2010\ufeffé\U0001d7d9"), max_size=40))
def test_plain_text_maps_back_to_the_original(text: str) -> None:
    plain = plain_text(text)
    assert len(plain.text) <= len(text)
    for offset, char in enumerate(plain.text):
        start, end = plain.original(offset, offset + 1)
        assert end == start + 1
        assert plain_text(text[start]).text == char
