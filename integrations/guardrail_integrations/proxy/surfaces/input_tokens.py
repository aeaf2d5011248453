"""The token counting of OpenAI's Responses: the body of a call, and a number for an answer."""

from __future__ import annotations

from guardrail_integrations.proxy.reading.surface import Surface, openai_error
from guardrail_integrations.proxy.surfaces import responses
from guardrail_integrations.proxy.surfaces.count_tokens import answer

surface = Surface(
    "input_tokens",
    "/responses/input_tokens",
    responses.read,
    answer,
    openai_error,
    responses.ResponseStream,
    answers_text=False,
)
