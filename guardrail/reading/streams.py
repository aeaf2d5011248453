"""One chunk of a streamed answer, in any of the usual forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guardrail.errors import ContentError
from guardrail.flow.stream import Delta
from guardrail.reading.answers import finish_reason_of, usage_of
from guardrail.reading.tree import Path, is_list, put
from guardrail.reading.tree import field as get


def read_delta(chunk: Any) -> Delta:
    """The pieces of text in a chunk, with what it tells of usage and the end.

    Strings, chat and completion chunks, Responses events and Anthropic events, as client objects
    or dicts. A piece's key names the text that it continues. Raises ContentError for other kinds.
    """
    if isinstance(chunk, str):
        return Delta((("output", chunk),))
    message = get(chunk, "message") or get(chunk, "response")
    usage = usage_of(get(chunk, "usage") or get(message, "usage"))
    return Delta(
        tuple((key, text) for key, _, text in _pieces(chunk)),
        usage,
        finish_reason_of(chunk) or finish_reason_of(message)
        if message
        else finish_reason_of(chunk),
        _string(get(chunk, "model") or get(message, "model")),
        _string(get(message, "id") or get(chunk, "id")),
        tuple(_ends(chunk)),
    )


def write_delta(chunk: Any, texts: Mapping[str, str]) -> Any:
    """A chunk of the same type with the named pieces exchanged.

    Where a chunk holds several pieces of one text, the first takes all of the new one.
    """
    left = dict(texts)
    for key, path, _ in list(_pieces(chunk)):
        if key in texts:
            chunk = put(chunk, path, left.pop(key, ""))
    return chunk


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _pieces(chunk: Any) -> Iterator[tuple[str, Path, str]]:
    if isinstance(chunk, str):
        yield "output", (), chunk
        return
    choices, kind = get(chunk, "choices"), get(chunk, "type")
    if is_list(choices):
        for place, choice in enumerate(choices):
            yield from _choice(choice, ("choices", place))
    elif isinstance(kind, str):
        yield from _event(chunk, kind)
    else:
        raise ContentError(
            "output", "unreadable_chunk", f"a chunk of type {type(chunk).__name__} cannot be read"
        )


def _choice(choice: Any, path: Path) -> Iterator[tuple[str, Path, str]]:
    index = get(choice, "index") or 0
    name = "output" if index == 0 else f"output/{index}"
    text = get(choice, "text")
    if isinstance(text, str):
        yield name, (*path, "text"), text
    delta = get(choice, "delta")
    for key in ("content", "refusal", "reasoning_content", "reasoning"):
        piece = get(delta, key)
        if isinstance(piece, str):
            yield name if key == "content" else f"{name}/{key}", (*path, "delta", key), piece
    for place, call in enumerate(get(delta, "tool_calls") or ()):
        arguments = get(get(call, "function"), "arguments")
        if isinstance(arguments, str):
            number = get(call, "index") or 0
            inner = (*path, "delta", "tool_calls", place, "function", "arguments")
            yield f"{name}/tool_calls/{number}", inner, arguments


def _ends(chunk: Any) -> Iterator[str]:
    """The texts that nothing more is added to after this chunk."""
    choices, kind = get(chunk, "choices"), get(chunk, "type")
    for choice in choices if is_list(choices) else ():
        index = get(choice, "index") or 0
        name = "output" if index == 0 else f"output/{index}"
        delta = get(choice, "delta")
        calls = [get(call, "index") or 0 for call in get(delta, "tool_calls") or ()]
        over = bool(get(choice, "finish_reason"))
        if over or calls or get(delta, "content"):
            yield from (f"{name}/reasoning_content", f"{name}/reasoning")
        if over or calls:
            yield from (name, f"{name}/refusal")
        if over:
            yield f"{name}/tool_calls/*"
        elif calls:  # the calls come one after the other
            yield from (f"{name}/tool_calls/{number}" for number in range(min(calls)))
    if isinstance(kind, str) and not is_list(choices):
        yield from _event_ends(chunk, kind)


def _event_ends(event: Any, kind: str) -> Iterator[str]:
    where = _where(event)
    if kind == "content_block_stop":
        yield f"output/{where}/*"
    elif kind in ("message_stop", "response.completed", "response.incomplete"):
        yield "output/*"
    elif kind.endswith(".done"):
        yield f"output/{where}/{kind.removesuffix('done')}delta"
    if not kind.endswith("delta"):  # a text that is said as a whole is over at once
        yield f"output/{where}/{kind}/*"


def _where(event: Any) -> str:
    return "/".join(
        str(get(event, key) or 0)
        for key in ("index", "output_index", "content_index", "summary_index")
        if get(event, key) is not None
    )


def _event(event: Any, kind: str) -> Iterator[tuple[str, Path, str]]:
    """Events of Anthropic's Messages and of OpenAI's Responses."""
    where = _where(event)
    if kind == "content_block_delta":
        delta = get(event, "delta")
        for key in ("text", "partial_json", "thinking"):
            piece = get(delta, key)
            if isinstance(piece, str):
                yield f"output/{where}/{key}", ("delta", key), piece
        return
    delta = get(event, "delta")
    if isinstance(delta, str):
        yield f"output/{where}/{kind}", ("delta",), delta
        return
    yield from _repeated(event, (), f"output/{where}/{kind}")


_REPEATS = (
    "text",
    "arguments",
    "refusal",
    "content",
    "output",
    "part",
    "item",
    "response",
    "content_block",
    "message",
    "summary",
    "input",
    "snapshot",
    "thinking",
    "output_text",
)


def _repeated(value: Any, path: Path, key: str) -> Iterator[tuple[str, Path, str]]:
    """Events that say a text again as a whole, such as those at the end of a part."""
    for name in _REPEATS:
        item = get(value, name)
        if isinstance(item, str):
            yield f"{key}/{name}", (*path, name), item
        elif is_list(item):
            for index, inner in enumerate(item):
                if isinstance(inner, str):
                    yield f"{key}/{name}/{index}", (*path, name, index), inner
                else:
                    yield from _repeated(inner, (*path, name, index), f"{key}/{name}/{index}")
        elif item is not None:
            yield from _repeated(item, (*path, name), f"{key}/{name}")
