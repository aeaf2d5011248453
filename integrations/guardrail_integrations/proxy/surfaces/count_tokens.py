"""Anthropic's token counting: the body of a Messages call, and a number for an answer."""

from __future__ import annotations

from typing import Any

from guardrail_integrations.proxy.reading.extraction import Extraction
from guardrail_integrations.proxy.reading.surface import Surface, anthropic_error
from guardrail_integrations.proxy.surfaces import messages


def answer(root: Any, found: Extraction) -> None:
    """A count: nothing to read."""


surface = Surface(
    "count_tokens",
    "/messages/count_tokens",
    messages.read,
    answer,
    anthropic_error,
    messages.MessageStream,
    marker=messages.surface.marker,
    answers_text=False,
)
