"""What a surface is: four functions for one API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from guardrail.hosting import Delta, Usage

if TYPE_CHECKING:
    from guardrail_integrations.proxy.reading.extraction import Extraction, Unscreenable
    from guardrail_integrations.proxy.verdicts.refusals import Refusal


class Stream(Protocol):
    """Reads and writes the stream of one answer. `unheard` is what no check can look at, as
    `delta` has come upon it."""

    unheard: list[tuple[Unscreenable, str]]

    def delta(self, data: Any) -> Delta:
        """What an event adds to the answer."""

    def sent(self, data: Any) -> None:
        """An event has been given to the client."""

    def rewrite(
        self, data: Any, new: Mapping[str, str | bytes]
    ) -> Mapping[tuple[str | int, ...], Any]:
        """What is written where in the event's data so that its pieces say the `new` texts, and
        show the new bytes of pictures."""

    def refused(self, refusal: Refusal) -> Iterator[bytes]:
        """The events that end the stream in place of the rest of the answer."""

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """The events that end the stream with an error."""


@dataclass(frozen=True)
class Surface:
    """One API. `path` is how its paths end.

    `read` finds the parts of a request's body, `answer` those of an answer's; `error` writes the
    native envelope of a refusal; `stream` makes a Stream for each streamed answer. `marker`
    stands before the base64 of pictures in bodies. Answers without text are read for their
    usage alone.
    `counts_on_request` says that a stream tells its usage only where `stream_options` ask for it,
    `keeps_answers` that an answer can be asked for again, by its id behind the path.
    """

    name: str
    path: str
    read: Callable[[Any, Extraction], None]
    answer: Callable[[Any, Extraction], None]
    error: Callable[[Refusal], bytes]
    stream: Callable[[], Stream]
    marker: bytes = b";base64,"
    answers_text: bool = True
    counts_on_request: bool = False
    keeps_answers: bool = False


def openai_error(refusal: Refusal) -> bytes:
    """An error as OpenAI's API writes it."""
    kind = "invalid_request_error" if refusal.status < 500 else "server_error"
    error: dict[str, Any] = {
        "message": refusal.message,
        "type": kind,
        "param": refusal.param or None,
        "code": refusal.code,
    }
    if refusal.record:
        error["guardrail"] = {"record": refusal.record, "rule": refusal.rule or None}
    return json.dumps({"error": error}, ensure_ascii=False).encode()


_ANTHROPIC_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def anthropic_error(refusal: Refusal) -> bytes:
    """An error as Anthropic's API writes it."""
    default = "invalid_request_error" if refusal.status < 500 else "api_error"
    error: dict[str, Any] = {
        "type": _ANTHROPIC_KINDS.get(refusal.status, default),
        "message": refusal.message,
        "code": refusal.code,
    }
    if refusal.record:
        error["guardrail"] = {"record": refusal.record, "rule": refusal.rule or None}
    body: dict[str, Any] = {"type": "error", "error": error}
    if refusal.record:
        body["request_id"] = refusal.record
    return json.dumps(body, ensure_ascii=False).encode()


def sse(data: Any, name: str = "") -> bytes:
    """An event with JSON data."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode() if name else f"data: {text}\n\n".encode()


def usage_from(usage: Any) -> Usage:
    """Token counts in the names of any of the APIs. Some gateways write both, one of them zero."""
    if not usage or not isinstance(usage, dict):
        return Usage()

    get = usage.get
    prompt = get("prompt_tokens_details") or get("input_tokens_details") or _NONE
    completion = get("completion_tokens_details") or get("output_tokens_details") or _NONE
    counts = (
        get("input_tokens") or get("prompt_tokens", get("input_tokens")),
        get("output_tokens") or get("completion_tokens", get("output_tokens")),
        get("cache_read_input_tokens", _in(prompt, "cached_tokens")),
        _in(completion, "reasoning_tokens"),
    )
    return Usage(*[count if isinstance(count, int) else None for count in counts])


_NONE: Mapping[str, Any] = {}


def _in(details: Any, name: str) -> Any:
    return details.get(name) if isinstance(details, dict) else None
