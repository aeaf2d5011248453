"""OpenAI's Embeddings, and the multimodal inputs that vLLM and others take here."""

from __future__ import annotations

from typing import Any

from guardrail_integrations.proxy.found import Found
from guardrail_integrations.proxy.surface import Surface, openai_error
from guardrail_integrations.proxy.surfaces import chat
from guardrail_integrations.proxy.surfaces.completions import texts_or_tokens


def read(root: Any, found: Found) -> None:
    """The parts of a request."""
    texts_or_tokens(root.get("input"), ("input",), found, found.rest)
    chat.read({key: value for key, value in root.items() if key != "input"}, found)


def answer(root: Any, found: Found) -> None:
    """Vectors: nothing to read."""


surface = Surface(
    "embeddings", "/embeddings", read, answer, openai_error, chat.ChatStream, answers_text=False
)
