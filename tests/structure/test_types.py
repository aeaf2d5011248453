"""Python types as declared outputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field

from guardrail import SchemaError
from guardrail.structure import shape_of


class Part(TypedDict):
    name: str
    size: NotRequired[int]


class Whole(TypedDict, total=False):
    parts: list[Part]
    best: Part | None
    tag: Annotated[str, Field(max_length=3)]


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


def test_typed_dicts_inside_each_other() -> None:
    shape = shape_of(Whole)
    value = shape.read('{"parts": [{"name": "a"}], "best": null, "tag": "abc"}').value
    assert value == {"parts": [{"name": "a"}], "best": None, "tag": "abc"}
    problems = shape.read('{"parts": [{"size": 1}], "tag": "abcd"}').problems
    assert sorted(map(str, problems)) == [
        '$.parts[0]: "name" is missing',
        "$.tag: must have at most 3 characters",
    ]


def test_generics_unions_and_recursive_types() -> None:
    assert shape_of(Box[int]).read('{"content": 3}').value == Box[int](content=3)
    assert shape_of(Box[int] | None).read("null").value is None
    assert shape_of(Tree).read('{"name": "a", "children": [{"name": "b"}]}').value == Tree(
        "a", [Tree("b")]
    )
    assert shape_of(dict[str, list[int]]).read('{"a": [1]}').value == {"a": [1]}


def test_names_for_requests() -> None:
    assert shape_of(Box[int]).name == "Box_int"
    assert shape_of(list[Tree]).name == "list_Tree"
    assert shape_of(Literal["a"]).name == "Literal_a"
    assert shape_of({"title": "My form!", "type": "object"}).name == "My_form"
    assert shape_of({"type": "object"}).name == "answer"


class Backtracking(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    text: str = Field(pattern="(a+)+$")


class Compiled(BaseModel):
    text: Annotated[str, Field(pattern=re.compile("(a+)+$"))]


class Unknown:
    """No type of data."""


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Backtracking, "#: pattern: regex_engine='python-re' can take forever"),
        (Compiled, "#: pattern: give it as a string: compiled ones can take forever"),
        (Unknown, "#: Unknown cannot be read from JSON: Unable to generate pydantic-core schema"),
        (Callable[[int], int], "has no JSON Schema: Cannot generate a JsonSchema"),
    ],
)
def test_types_that_cannot_be_used(output: Any, said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        shape_of(output)
    assert said in str(caught.value)
