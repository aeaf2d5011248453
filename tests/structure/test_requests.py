"""What requests say of a declared output, and that real clients send and take it."""

from __future__ import annotations

import json
from typing import Any, Literal

import anthropic
import jsonschema
import openai
import pytest
from hypothesis import given, settings
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field

from guardrail import Guard, SchemaError
from guardrail.structure import shape_of
from guardrail.testing import policy_of
from guardrail_integrations.strict import strict_schema
from guardrail_integrations.structured import output_request
from tests.posts import in_json, posts
from tests.structure.documents import fitting
from tests.structure.test_reading import TEXT, Invoice, Point


class Shelf(BaseModel):
    name: str = Field(min_length=1)
    points: list[Point] = []
    inner: Shelf | None = None
    kind: Literal["a", "b"] = "a"


def test_the_strict_dialect_asks_for_everything() -> None:
    form = output_request(Shelf, "openai")["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == (
        "json_schema",
        "Shelf",
        True,
    )
    schema = form["json_schema"]["schema"]
    waiting, seen = [schema], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        if isinstance(one, dict):
            waiting += one.values()
            if one.get("type") == "object":
                seen += 1
                assert one["additionalProperties"] is False
                assert one["required"] == list(one["properties"])
            assert not one.keys() & {"default", "minLength", "oneOf", "allOf"}
            assert "$ref" not in one or len(one) == 1
    assert seen == 3  # the root stands once more among the definitions
    jsonschema.Draft202012Validator.check_schema(schema)
    both = strict_schema(shape_of(Invoice).schema), to_strict_json_schema(Invoice)
    ours, theirs = (set(one["$defs"]["Item"]["required"]) for one in both)
    assert ours == theirs


@settings(max_examples=60, deadline=None)
@given(fitting())
def test_what_the_strict_dialect_allows_is_read_back(pair: tuple[dict[str, Any], Any]) -> None:
    schema = {"type": "object", "properties": {"it": pair[0]}, "required": []}
    schema |= {"$defs": pair[0].get("$defs", {})}
    try:
        asked = strict_schema(shape_of(schema).schema)
    except SchemaError:
        return
    for document in ({"it": pair[1]}, {"it": None}):
        if jsonschema.Draft202012Validator(asked).is_valid(document):
            assert shape_of(schema).read(json.dumps(document)).fits


@pytest.mark.parametrize(
    ("output", "service", "said"),
    [
        (dict[str, int], "openai", "#: additionalProperties: the strict dialect names"),
        (tuple[int, str], "openai", "#/properties/value: prefixItems: the strict dialect has no lists"),
        ({"type": "object", "not": {}}, "openai-responses", "#: not: the strict dialect does not have"),
        ({"type": "object"}, "openai", "#: properties: the strict dialect has no objects of any keys"),
        (set[int], "vllm", "#: uniqueItems: items that differ cannot be held to"),
    ],
)  # fmt: skip
def test_what_a_service_cannot_hold_to_is_told(output: Any, service: Any, said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        output_request(output, service)
    assert said in str(caught.value)
    assert output_request(output, service, strict=False)


def test_outputs_that_are_no_objects_are_wrapped() -> None:
    schema = output_request(list[int], "anthropic")["tools"][0]["input_schema"]
    assert schema["properties"] == {"value": {"type": "array", "items": {"type": "integer"}}}
    assert (
        output_request(list[int], "vllm")["extra_body"]["structured_outputs"]["json"]["type"]
        == "array"
    )
    assert (
        output_request(list[Shelf], "openai")["response_format"]["json_schema"]["name"]
        == "list_Shelf"
    )


def test_an_unknown_service() -> None:
    with pytest.raises(ValueError, match="there is no service 'gpt'; there are: openai"):
        output_request(Invoice, "gpt")  # type: ignore[arg-type]


def test_the_openai_client() -> None:
    def answer(asked: dict[str, Any]) -> Any:
        wrong = len(asked["messages"][-1]["content"]) < 20
        message = {"role": "assistant", "content": TEXT.replace("2.5", '"x"') if wrong else TEXT}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
        }

    with posts(lambda post: in_json(answer(post.json))) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none")
        create = Guard(policy_of())(client.chat.completions.create, output=Invoice)
        value = create(
            model="m",
            messages=[{"role": "user", "content": "read it"}],
            **output_request(Invoice, "openai"),
        )
    assert value == Invoice.model_validate_json(TEXT)
    asked = [post.json for post in server.posts]
    assert len(asked) == 2
    assert asked[0]["response_format"]["json_schema"]["name"] == "Invoice"
    assert "$.items[0].price: a number is expected" in asked[1]["messages"][-1]["content"]


def test_the_anthropic_client() -> None:
    def answer(asked: dict[str, Any]) -> Any:
        name = asked["tool_choice"]["name"]
        block = {"type": "tool_use", "id": "t", "name": name, "input": json.loads(TEXT)}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [block],
            "stop_reason": "tool_use",
            "usage": usage,
        }

    with posts(lambda post: in_json(answer(post.json))) as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="none")
        create = Guard(policy_of())(client.messages.create, output=Invoice)
        value = create(
            model="m",
            max_tokens=100,
            messages=[{"role": "user", "content": "read it"}],
            **output_request(Invoice, "anthropic"),
        )
    assert value == Invoice.model_validate_json(TEXT)
    asked = server.posts[0].json
    assert asked["tools"][0]["input_schema"]["required"] == ["vendor", "day", "kind", "items"]
