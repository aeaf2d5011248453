"""Whole answers under a schema: what fits, what is mended, what is refused, and why."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from guardrail.structure import Shape, shape_of
from guardrail.structure.mend import Anything
from guardrail.structure.parse import parse
from guardrail.structure.reader import Reader, Unreadable
from tests.structure.documents import fitting, texts, values


class Item(BaseModel):
    name: str = Field(max_length=40)
    price: float = Field(ge=0)
    qty: int = 1
    note: str | None = None


class Invoice(BaseModel):
    vendor: str
    day: date
    kind: Literal["bill", "receipt"]
    items: list[Item]
    tip: float | None = None


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Badge(TypedDict):
    name: str
    level: Literal[1, 2, 3]


GOOD: dict[str, Any] = {
    "vendor": "Hof Café",
    "day": "2026-11-02",
    "kind": "bill",
    "items": [{"name": "tea", "price": 2.5}],
}
TEXT = json.dumps(GOOD)


def test_every_kind_of_declaration_gives_its_value() -> None:
    invoice = shape_of(Invoice).read(TEXT)
    assert invoice.value == Invoice(**GOOD)
    assert invoice.label is None
    assert shape_of(Point).read('{"x": 3}').value == Point(3)
    assert shape_of(Badge).read('{"name": "a", "level": 2}').value == {"name": "a", "level": 2}
    assert shape_of(list[Point]).read('[{"x": 1, "y": 2}]').value == [Point(1, 2)]
    assert shape_of(Literal["cat", "dog"]).read('"dog"').value == "dog"
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert shape_of(schema).read('{"n": 1}').value == {"n": 1}


def test_a_shape_is_made_once() -> None:
    assert shape_of(Invoice) is shape_of(Invoice)
    assert shape_of({"type": "object"}) is shape_of({"type": "object"})


@pytest.mark.parametrize(
    ("dressed", "slips"),
    [
        (f"```json\n{TEXT}\n```", ["fence"]),
        (f"\ufeff  ```\n{TEXT}\n```  ", ["fence"]),
        (f"Here is the invoice:\n\n{TEXT}\n\nShall I go on?", ["prose"]),
        (f"{TEXT}\nThat is all.", ["prose"]),
        (f"<think>the {{first}} one [sic]</think>{TEXT}", ["prose"]),
        (TEXT.replace('"', "'"), ["quotes"]),
        (TEXT.replace('"vendor"', "“vendor”"), ["quotes"]),
        (TEXT[:-1] + ",}", ["trailing commas"]),
        (TEXT.replace("}]", "},]"), ["trailing commas"]),
        (TEXT.replace('"kind"', '// which\n/* one */ "kind"'), ["comments"]),
        (TEXT.replace('"vendor"', "vendor"), ["bare keys"]),
        (TEXT.replace(', "kind"', '\n"kind"'), ["missing commas"]),
        (TEXT[:-1] + ', "tip": None}', ["Python's literals"]),
        (TEXT.replace("Hof ", "Hof\n"), ["raw line breaks"]),
        (f"```json\n{{'vendor': 'x', {TEXT[TEXT.index(chr(34) + 'day') :]}", ["fence", "quotes"]),
    ],
)
def test_what_is_only_dressed_up_is_mended(dressed: str, slips: list[str]) -> None:
    reading = shape_of(Invoice).read(dressed)
    assert reading.label == "mended"
    assert list(reading.slips) == slips
    assert reading.value.kind == "bill"
    assert reading.value.items == [Item(name="tea", price=2.5)]


@pytest.mark.parametrize(
    ("answer", "label", "problem"),
    [
        ("", "invalid_json", "$: no JSON from character 0 on"),
        ("I cannot see an invoice.", "invalid_json", "$: no JSON from character 0 on"),
        (TEXT[:-1], "invalid_json", "$: it ends in the middle"),
        (TEXT[: TEXT.index("tea")], "invalid_json", "$: it ends in the middle"),
        (f"```json\n{TEXT[:-3]}\n```", "invalid_json", "$: a comma is expected at character 104"),
        (TEXT + TEXT.replace("tea", "milk"), "invalid_json", "$: one document is expected, there are 2"),
        (TEXT.replace("2.5", "NaN"), "invalid_json", "$: NaN and Infinity are no values of JSON"),
        (TEXT.replace("2.5", "1e999"), "invalid_json", "$: a number is too large"),
        (TEXT.replace("2.5", "1" * 5000), "invalid_json", "$: a number has more than 4300 digits"),
        (TEXT.replace('"day"', '"kind": "bill", "day"'), "invalid_json", "$: this key is given twice"),
        (TEXT.replace("Hof", "\\ud800"), "invalid_json", "$: half of a surrogate pair stands in a string"),
        (TEXT.replace("Hof", "\ud800"), "invalid_json", "$: half of a surrogate pair stands in a string"),
        ("[" * 200, "invalid_json", "$: no JSON from character 200 on"),
        ('{"a":' * 100_000, "invalid_json", "$: it is nested deeper than 100 levels"),
        (TEXT.replace("2.5", '"2.5"'), "invalid_value", "$.items[0].price: a number is expected"),
        (TEXT.replace("2.5", "-1"), "invalid_value", "$.items[0].price: must be at least 0"),
        (TEXT.replace("bill", "bil"), "invalid_value", '$.kind: one of "bill", "receipt" is expected'),
        (TEXT.replace("2026", "soon"), "invalid_value", "$.day: must be a valid date"),
        (TEXT.replace('"tea"', f'"{"x" * 41}"'), "invalid_value", "$.items[0].name: must have at most 40 characters"),
        (TEXT.replace('"vendor"', '"seller"'), "invalid_value", '$: "vendor" is missing'),
        (f"Sure: {TEXT.replace('2.5', 'null')}", "invalid_value", "$.items[0].price: a number is expected"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_where_and_why(answer: str, label: str, problem: str) -> None:
    reading = shape_of(Invoice).read(answer)
    assert reading.value is None
    assert (reading.label, str(reading.problems[0])) == (label, problem)


@pytest.mark.parametrize("end", range(len(TEXT)))
def test_an_answer_that_was_cut_off_is_never_mended(end: int) -> None:
    for text in (TEXT[:end], f"```json\n{TEXT[:end]}", f"Sure: {TEXT[:end]}"):
        cut_off = shape_of(Invoice).read(text, cut_off=True)
        assert (cut_off.label, cut_off.value) == ("cut_off", None)
        assert not shape_of(Invoice).read(text).fits


def test_a_whole_document_before_the_cut_is_taken() -> None:
    assert shape_of(Invoice).read(TEXT + "\n", cut_off=True).label is None
    assert shape_of(int).read("123", cut_off=True).label == "cut_off"


def test_the_detours_of_request_dialects_are_undone() -> None:
    nulls = TEXT[:-1] + ', "tip": null, "items": [{"name": "tea", "price": 1, "qty": null}]}'
    nulls = nulls.replace(', "items": [{"name": "tea", "price": 2.5}]', "", 1)
    reading = shape_of(Invoice).read(nulls)
    assert (reading.label, reading.slips) == ("mended", ("nulls",))
    assert reading.value.items[0].qty == 1
    wrapped = shape_of(list[int]).read('{"value": [1, 2]}')
    assert (wrapped.value, wrapped.slips) == ([1, 2], ("wrapped",))
    assert shape_of(Literal["cat", "dog"]).read("dog").value == "dog"


def test_nothing_of_the_answer_is_in_what_is_said_of_it() -> None:
    secret = "s3cr3t-value"

    def refuse(value: str) -> str:
        raise ValueError(f"bad: {value}")

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: Annotated[str, AfterValidator(refuse)] = "x"
        count: dict[str, int] = {}
        when: date | None = None
        code: Literal["a"] = "a"

    class Whole(BaseModel):
        text: str = ""

        @model_validator(mode="after")
        def refused(self) -> Whole:
            raise AssertionError(self.text)

    documents: list[tuple[Any, dict[str, Any]]] = [
        (Strict, {"name": secret}),
        (Strict, {"count": {secret: "x"}}),
        (Strict, {"count": {"a": secret}}),
        (Strict, {secret: 1}),
        (Strict, {"when": secret}),
        (Strict, {"code": secret}),
        (Whole, {"text": secret}),
    ]
    for output, document in documents:
        reading = shape_of(output).read(json.dumps(document))
        assert reading.label == "invalid_value"
        assert reading.problems
        assert secret not in str(reading.problems)
        assert secret not in repr(reading)


def test_types_read_as_json_says() -> None:
    class Kind(Enum):
        SMALL = "small"

    class Order(BaseModel):
        model_config = ConfigDict(strict=True)
        kind: Kind
        price: Decimal
        sizes: set[int]

    reading = shape_of(Order).read('{"kind": "small", "price": "1.10", "sizes": [1, 2]}')
    assert reading.value == Order(kind=Kind.SMALL, price=Decimal("1.10"), sizes={1, 2})


def test_a_tagged_union_names_the_branch_that_was_meant() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]
        lives: int

    class Dog(BaseModel):
        kind: Literal["dog"]
        tricks: list[str]

    class Pet(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]

    reading = shape_of(Pet).read('{"pet": {"kind": "dog", "tricks": [1]}}')
    assert [str(problem) for problem in reading.problems] == ["$.pet.tricks[0]: a text is expected"]


def test_ten_million_characters_end_quickly() -> None:
    shape = shape_of(Invoice)
    began = time.monotonic()
    for text in ("{" * 10_000_000, '{"a": "' + "x" * 10_000_000, "x {" * 300_000, "[1," * 300_000):
        assert not shape.read(text).fits
    assert time.monotonic() - began < 60


@given(values)
def test_the_lenient_reader_reads_json_as_json(document: Any) -> None:
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1)):
        reader = Reader(Anything())
        reader.feed(text)
        assert json.dumps(reader.finish()) == json.dumps(json.loads(text))
        assert not reader.slips


@given(fitting())
def test_a_document_that_fits_is_taken_as_it_is(pair: tuple[dict[str, Any], Any]) -> None:
    schema, document = pair
    reading = Shape(schema).read(json.dumps(document))
    assert reading.label is None
    assert reading.data == document


@given(fitting(), st.data())
def test_dress_changes_nothing_of_a_document(
    pair: tuple[dict[str, Any], Any], data: st.DataObject
) -> None:
    schema = {"type": "object", "properties": {"it": pair[0]}, "required": ["it"]}
    schema |= {"$defs": pair[0].get("$defs", {})}
    document = {"it": pair[1]}
    text = json.dumps(document)
    before = data.draw(st.sampled_from(["", "Sure! ", "```json\n", "```\n", "<b>so:</b>\n"]))
    after = data.draw(st.sampled_from(["", "\n```", " Done.", "\n\nAnything else?"]))
    reading = Shape(schema).read(before + text + after)
    assert reading.fits
    assert reading.data == document


@given(st.one_of(texts, st.text(), values.map(lambda v: repr(v))))
def test_no_text_makes_a_reading_fail(text: str) -> None:
    for output in (Invoice, int, list[str], {"type": ["object", "string"]}):
        reading = shape_of(output).read(text)
        assert reading.fits or reading.problems


@given(st.text("{}[]\",:\\/'“” \n\ta1e-.+uNnTtrFfalse*", max_size=40))
def test_the_lenient_reader_agrees_with_the_strict_one(text: str) -> None:
    try:
        strict = parse(text)
    except Unreadable:
        return
    reader = Reader(Anything())
    reader.feed(text)
    assert json.dumps(reader.finish()) == json.dumps(strict)
    assert not reader.slips
