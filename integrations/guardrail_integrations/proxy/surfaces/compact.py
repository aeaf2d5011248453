"""The compaction of a conversation by OpenAI's Responses: the body of a call, and items for an
answer."""

from __future__ import annotations

from guardrail_integrations.proxy.reading.surface import Surface, openai_error
from guardrail_integrations.proxy.surfaces import responses

surface = Surface(
    "compact",
    "/responses/compact",
    responses.read,
    responses.answer,
    openai_error,
    responses.ResponseStream,
)
