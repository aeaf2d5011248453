"""OpenAI's legacy Completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.reading.extraction import Extraction
from guardrail_integrations.proxy.reading.surface import Surface, openai_error
from guardrail_integrations.proxy.surfaces.chat import CONTROL, TOKENS, ChatStream, answer


def read(root: Any, found: Extraction) -> None:
    """The parts of a request."""
    for key, value in root.items():
        if key in ("prompt", "suffix"):
            texts_or_tokens(value, (key,), found, found.text)
        elif key in TOKENS and value:
            found.skip("tokens", (key,))
        elif key not in CONTROL and isinstance(value, (str, dict, list)):
            found.rest(value, (key,))


def texts_or_tokens(
    value: Any, path: Path, found: Extraction, said: Callable[[Any, Path], None]
) -> None:
    """What is said, once or in a list, or numbers that stand for it and that no check can read.
    llama.cpp takes a text with media beside it."""
    if isinstance(value, list) and any(isinstance(item, (int, float)) for item in value):
        found.skip("tokens", path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            texts_or_tokens(item, (*path, index), found, said)
    elif isinstance(value, dict) and value.get("multimodal_data"):
        found.skip("other", (*path, "multimodal_data"))
        found.others(value, ("multimodal_data",), path)
    else:
        said(value, path)


class CompletionStream(ChatStream):
    """The chunks of a streamed completion."""

    empty: Mapping[str, Any] = MappingProxyType({"text": ""})
    kind = "text_completion"


surface = Surface(
    "completions",
    "/completions",
    read,
    answer,
    openai_error,
    CompletionStream,
    counts_on_request=True,
)
