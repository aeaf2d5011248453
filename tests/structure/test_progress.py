"""An answer followed while it comes: partial objects, and the end of hope."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from typing import Annotated, Any, Literal, TypedDict

import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from guardrail.structure import Progress, Shape, shape_of
from guardrail.structure.mend import Anything
from guardrail.structure.reader import Reader, Unreadable
from tests.structure.documents import cut, fitting, values
from tests.structure.test_reading import TEXT, Badge, Invoice, Item, Point


def fed(output: Any, *pieces: str) -> Progress:
    progress = Progress(shape_of(output))
    for piece in pieces:
        progress.feed(piece)
    return progress


@given(values, st.data())
def test_chunks_read_like_the_whole(document: Any, data: st.DataObject) -> None:
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans()), indent=1)
    reader = Reader(Anything())
    for chunk in data.draw(cut(text)):
        reader.feed(chunk)
    assert json.dumps(reader.finish()) == json.dumps(document)


@given(st.text("{}[]\",:\\/'“” \n\tau1e-.+0NnTtrFfalse*", max_size=30), st.data())
def test_chunks_end_like_the_whole(text: str, data: st.DataObject) -> None:
    def ends(pieces: list[str]) -> Any:
        reader = Reader(Anything())
        try:
            for piece in pieces:
                reader.feed(piece)
            return json.dumps(reader.finish()), list(reader.slips)
        except Unreadable as error:
            return error.path

    assert ends(data.draw(cut(text))) == ends([text])


@settings(max_examples=200)
@given(fitting(), st.data())
def test_a_document_that_fits_is_never_given_up(
    pair: tuple[dict[str, Any], Any], data: st.DataObject
) -> None:
    schema, document = pair
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans()))
    progress = Progress(Shape(schema))
    for chunk in data.draw(cut(text)):
        progress.feed(chunk)
        assert progress.problem is None
        assert progress.partial is None or _begins(progress.partial, document)
    if isinstance(document, (dict, list)):
        assert progress.partial == document


def _begins(partial: Any, whole: Any) -> bool:
    """Whether a partial document is one from which the whole can grow."""
    if isinstance(partial, dict) and isinstance(whole, dict):
        last = list(partial)[-1:]
        return list(partial) == list(whole)[: len(partial)] and all(
            _begins(value, whole[key]) if [key] == last else value == whole[key]
            for key, value in partial.items()
        )
    if isinstance(partial, list) and isinstance(whole, list):
        return len(partial) <= len(whole) and all(map(_begins, partial, whole))
    if isinstance(partial, str) and isinstance(whole, str):
        return whole.startswith(partial)
    return partial == whole


@settings(max_examples=200)
@given(fitting(), fitting(), st.data())
def test_what_is_given_up_does_not_fit(
    one: tuple[dict[str, Any], Any], other: tuple[dict[str, Any], Any], data: st.DataObject
) -> None:
    shape, text = Shape(one[0]), json.dumps(other[1])
    progress = Progress(shape)
    for chunk in data.draw(cut(text)):
        progress.feed(chunk)
    if progress.problem is not None:
        assert not shape.read(text).fits


def test_partial_objects_are_typed_as_far_as_they_go() -> None:
    progress = Progress(shape_of(Invoice))
    seen = []
    for char in TEXT:
        if progress.feed(char):
            seen.append(progress.partial)
    assert all(isinstance(invoice, Invoice) for invoice in seen)
    assert seen[0].vendor is None
    assert [i.vendor for i in seen][1:4] == ["H", "Ho", "Hof"]
    assert {i.day for i in seen} == {None, date(2026, 11, 2)}
    assert {i.kind for i in seen} == {None, "bill"}
    assert [i.items for i in seen][-1] == [Item(name="tea", price=2.5)]
    assert seen[-1] == Invoice(**json.loads(TEXT))
    names = [i.items[0].name for i in seen if i.items]
    assert list(dict.fromkeys(names)) == [None, "t", "te", "tea"]


def test_partial_objects_of_other_types() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]
        says: str

    class Dog(BaseModel):
        kind: Literal["dog"]
        tricks: list[str] = []

    class Medal(typing_extensions.TypedDict):
        name: str

    class Owner(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]
        home: Point | None = None
        badges: dict[str, Medal] = {}
        full_name: str = Field(alias="fullName")

    partial = fed(Owner, '{"fullName": "A', ' B", "pet": {"kind": "dog", "tricks": ["si').partial
    assert partial.full_name == "A B"
    assert type(partial.pet) is Dog
    assert partial.pet.tricks == ["si"]
    partial = fed(Owner, '{"home": {"x": 1', ', "y"').partial
    assert partial.home == Point(1, 0)
    partial = fed(Owner, '{"badges": {"a": {"name": "n', '"').partial
    assert partial.badges == {"a": {"name": "n"}}
    assert fed(Badge, '{"na', 'me": "b').partial == {"name": "b"}
    assert fed(list[Point], '[{"x": 1}, {"x"').partial == [Point(1), Point(None, 0)]
    assert fed(tuple[int, str], '[1, "a').partial == [1, "a"]


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    a: str
    b: list[int] = dataclasses.field(default_factory=list)


def test_frozen_and_slotted_dataclasses() -> None:
    assert fed(Slot, '{"a": "x').partial == Slot("x", [])
    assert fed(Slot, '{"a": "x", "b": [1, 2]}').partial == Slot("x", [1, 2])


@pytest.mark.parametrize(
    ("viable", "last", "problem"),
    [
        ('{"vendor": ', "3", "$.vendor: a text is expected"),
        ('{"kind": "', "x", '$.kind: one of "bill", "receipt" is expected'),
        ('{"kind": "bill', "s", '$.kind: one of "bill", "receipt" is expected'),
        ('{"items": [{"price": -1', ",", "$.items[0].price: must be at least 0"),
        ('{"items": [{"price": 1}', ",\n", None),
        ('{"items": [{"price": 1', "}", '$.items[0]: "name" is missing'),
        ('{"items": ', "{", "$.items: a list is expected"),
        (f'{{"items": [{{"name": "{"x" * 40}', "x", "$.items[0].name: must have at most 40 characters"),
        ('{"vendor": "a", "vendor', '"', "$.vendor: this key is given twice"),
        ('{"vendor": "a" ', "x", "$: a comma is expected at character 15"),
        ('{"tip": ', "N", None),
        ('{"tip": N', "a", "$.tip: NaN and Infinity are no values of JSON"),
        ('{"vendor": "\\ud800', "x", "$.vendor: half of a surrogate pair stands in a string"),
        ("", "[", None),
        ('{"day": "2026-02-3', '1"', "$.day: must be a valid date"),
        ("[[[ ", '{"vendor": 1', None),
    ],
)  # fmt: skip
def test_hope_ends_as_soon_as_it_can(viable: str, last: str, problem: str | None) -> None:
    if viable.startswith('{"items": [{"price": 1}'):
        viable = viable.replace("1}", '1, "name": ""}')
    progress = fed(Invoice, viable)
    assert progress.problem is None
    progress.feed(last)
    assert (progress.problem and str(progress.problem)) == problem
    if problem:
        assert progress.label in ("invalid_json", "invalid_value")
        assert not progress.feed('{"vendor": "b"')


def test_alternatives_are_struck_out_by_what_came_before() -> None:
    schema = {
        "anyOf": [
            {"properties": {"a": {"const": 1}, "b": {"type": "string"}}, "required": ["a"]},
            {"properties": {"a": {"const": 2}, "b": {"type": "array"}}, "required": ["a"]},
        ],
        "type": "object",
    }
    assert fed(schema, '{"a": 1, "b": "').problem is None
    assert fed(schema, '{"a": 2, "b": [').problem is None
    assert str(fed(schema, '{"a": 2, "b": "').problem) == "$.b: a list is expected"
    assert str(fed(schema, '{"a": 3,').problem) == "$.a: 1 is expected"


def test_a_recursive_schema_is_followed() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "additionalProperties": False,
            }
        },
    }
    deep = '{"children": [' * 20
    assert fed(schema, deep).problem is None
    problem = fed(schema, deep + "1").problem
    assert problem is not None
    assert problem.path == "$" + ".children[0]" * 20
    assert "no such key" in str(fed(schema, '{"children": [{"nam', "x").problem)


def test_prose_before_the_document() -> None:
    progress = fed(Invoice, "Here ", "is {it", '}:\n```json\n{"ven', 'dor": "x')
    assert progress.problem is None
    assert progress.partial.vendor == "x"
    fenced = fed(Invoice, "``", "`js", 'on\n{"vendor": "', "y")
    assert fenced.partial.vendor == "y"
    assert str(fed(Invoice, '```json\n{"vendor": 1').problem) == "$.vendor: a text is expected"


def test_a_long_stream_costs_the_same_at_its_end() -> None:
    class Many(BaseModel):
        points: list[Point]

    progress = Progress(shape_of(Many))
    progress.feed('{"points": [')
    for number in range(20_000):
        progress.feed(f'{{"x": {number}, ')
        progress.feed('"y": 0},')
    assert len(progress.partial.points) == 20_000


class Loose(TypedDict, total=False):
    a: int


def test_keys_that_are_optional_may_be_null() -> None:
    assert fed(Loose, '{"a": null}').problem is None
    assert shape_of(Loose).read('{"a": null}').value == {}


def test_a_long_text_costs_the_same_at_its_end() -> None:
    for before in ("", "So: "):
        progress = Progress(shape_of({"type": "object", "properties": {"a": {"type": "string"}}}))
        progress.feed(before + '{"a": "')
        for _ in range(200_000):
            progress.feed("tests")
        assert len(progress.partial["a"]) == 1_000_000
        progress.feed('"}')
        assert progress.complete
