"""The bodies of the proxy's own paths, and the OpenAPI document about them."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_Messages = Annotated[
    list[dict[str, Any]], Field(description="Turns of a chat, in the form of Chat Completions.")
]
_Pictures = Annotated[
    list[str], Field(description="Pictures, as data URLs or at http addresses.", max_length=1_000)
]
_String = Annotated[str, Field(max_length=10_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ScreenBody(_Body):
    """An input to screen."""

    prompt: _String | None = None
    system: _String | None = None
    tool: Annotated[_String | None, Field(description="The result of a tool.")] = None
    images: _Pictures | None = None
    messages: _Messages | None = None
    model: str | None = None


class CheckBody(ScreenBody):
    """An answer to check, with the input that it answers beside it."""

    output: Annotated[
        str | dict[str, Any] | list[Any],
        Field(description="The answer: a text, or JSON whose strings are looked at."),
    ]


class ModerationBody(_Body):
    """A call of OpenAI's Moderations."""

    input: str | list[str] | Annotated[list[dict[str, Any]], Field(min_length=1)]
    model: str | None = None


class RuleRow(_Body):
    """How one rule ended."""

    id: str
    status: Literal["passed", "hit", "skipped", "not_run", "error"]
    action: str
    would: str
    reason: str


class VerdictBody(_Body):
    """A verdict. `changed` holds the texts that the policy's edits change, by part."""

    id: str
    action: Literal["allow", "flag", "redact", "review", "block"]
    reason: str
    message: str
    rules: list[RuleRow]
    findings: list[dict[str, Any]]
    changed: dict[str, str]


class ErrorInner(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(_Body):
    """An error, in the form of OpenAI's API."""

    error: ErrorInner


class ModerationResult(_Body):
    """One result. Categories that no check of the policy covers are null."""

    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]
    category_applied_input_types: dict[str, list[str]]


class ModerationAnswer(_Body):
    """Results, one for each text, or one for texts and pictures given together."""

    id: str
    model: str
    results: list[ModerationResult]


class Health(_Body):
    """The process answers."""

    status: Literal["ok"]


class Ready(_Body):
    """Whether calls should be sent here, and if not, why."""

    status: Literal["ready", "not ready"]
    reasons: list[str]
    policy: dict[str, str]


_ERRORS = {
    "400": "The body cannot be used.",
    "405": "This path has no such method.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body's type or encoding is not supported.",
    "503": "A check could not be made, or too much is under way.",
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    schemas: dict[str, Any] = {}

    def ref(model: type[BaseModel]) -> dict[str, Any]:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
        return {"$ref": f"#/components/schemas/{model.__name__}"}

    def says(description: str, model: type[BaseModel]) -> dict[str, Any]:
        return {
            "description": description,
            "content": {"application/json": {"schema": ref(model)}},
        }

    def post(
        identity: str, summary: str, body: type[BaseModel], answer: type[BaseModel]
    ) -> dict[str, Any]:
        errors = {status: says(text, ErrorBody) for status, text in _ERRORS.items()}
        return {
            "post": {
                "operationId": identity,
                "summary": summary,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": ref(body)}},
                },
                "responses": {"200": says("The verdict.", answer), **errors},
            }
        }

    def get(identity: str, summary: str, answers: dict[str, Any]) -> dict[str, Any]:
        refused = {"405": says(_ERRORS["405"], ErrorBody)}
        return {
            "get": {
                "operationId": identity,
                "summary": summary,
                "responses": {**answers, **refused},
            }
        }

    paths = {
        "/v1/guard/screen": post("screen", "Screen an input.", ScreenBody, VerdictBody),
        "/v1/guard/check": post("check", "Check an answer.", CheckBody, VerdictBody),
        "/v1/moderations": post(
            "moderations", "OpenAI's Moderations.", ModerationBody, ModerationAnswer
        ),
        "/healthz": get("healthz", "The process answers.", {"200": says("It does.", Health)}),
        "/readyz": get(
            "readyz",
            "Models are loaded and checks find their test inputs.",
            {"200": says("Ready.", Ready), "503": says("Not ready.", Ready)},
        ),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "guardrail", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }
