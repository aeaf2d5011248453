"""OpenAI's Embeddings, and the multimodal inputs that vLLM and others take here."""

from __future__ import annotations

from functools import partial
from typing import Any

from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.reading.extraction import Extraction
from guardrail_integrations.proxy.reading.surface import Surface, openai_error, usage_from
from guardrail_integrations.proxy.surfaces import chat
from guardrail_integrations.proxy.surfaces.completions import texts_or_tokens

_PICTURES = ("image", "image_base64")  # as Jina and others take them


def read(root: Any, found: Extraction) -> None:
    """The parts of a request."""
    texts_or_tokens(root.get("input"), ("input",), found, partial(_item, found))
    chat.read({key: value for key, value in root.items() if key != "input"}, found)


def _item(found: Extraction, value: Any, path: Path) -> None:
    """A text, or an object that holds one or a picture, in base64 or at an address."""
    shown = [
        key for key in _PICTURES if isinstance(value, dict) and isinstance(value.get(key), str)
    ]
    for key in shown:
        if value[key][:5].lower() in ("data:", "http:", "https"):
            found.picture_url(value[key], (*path, key))
        else:
            found.picture_base64(value[key], (*path, key), None, "user", "typed")
    if shown:
        found.others(value, shown, path)
    else:
        found.rest(value, path)


def answer(root: Any, found: Extraction) -> None:
    """Vectors: nothing to read but how many tokens they took."""
    found.usage = usage_from(root.get("usage"))


surface = Surface(
    "embeddings", "/embeddings", read, answer, openai_error, chat.ChatStream, answers_text=False
)
