"""One chunk of a streamed answer, in any of the usual forms."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from guardrail.content import Limits, name_of
from guardrail.errors import ContentError
from guardrail.flow.stream import Delta
from guardrail.reading.answers import (
    before_picture,
    finish_reason_of,
    passed_over,
    usage_of,
    without_spelling,
)
from guardrail.reading.pictures import from_text
from guardrail.reading.tree import Path, is_list, is_record, items, put
from guardrail.reading.tree import field as get


def read_delta(chunk: Any) -> Delta:
    """The pieces of text and the pictures in a chunk, with what it tells of usage and the end.

    Strings, chat and completion chunks, Responses events and Anthropic events, as client objects
    or dicts. A piece's key names the text that it continues. Raises ContentError for other kinds.
    """
    if isinstance(chunk, str):
        return Delta((("output", chunk),))
    parts, pictures = [], []
    for key, path, text in _pieces(chunk):
        head = before_picture(chunk, path, text)
        if head is None:
            parts.append((key, text))
        else:
            pictures.append((key, from_text(head + text, "output", Limits()).data))
    message = get(chunk, "message") or get(chunk, "response")
    usage = usage_of(get(chunk, "usage") or get(message, "usage"))
    return Delta(
        tuple(parts),
        usage,
        finish_reason_of(chunk) or finish_reason_of(message)
        if message
        else finish_reason_of(chunk),
        _string(get(chunk, "model") or get(message, "model")),
        _string(get(message, "id") or get(chunk, "id")),
        tuple(_ends(chunk)),
        tuple(pictures),
    )


def write_delta(
    chunk: Any, texts: Mapping[str, str], pictures: Mapping[str, bytes] = MappingProxyType({})
) -> Any:
    """A chunk of the same type with the named pieces and pictures exchanged.

    Where a chunk holds several pieces of one text, the first takes all of the new one.
    """
    left, paths = dict(texts), []
    for key, path, text in list(_pieces(chunk)):
        if key in pictures:
            head = text[: text.find(",") + 1]  # of a data URL
            chunk = put(chunk, path, head + b64encode(pictures[key]).decode("ascii"))
        elif key in texts:
            chunk = put(chunk, path, left.pop(key, ""))
            paths.append(path)
    return without_spelling(chunk, paths)


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
        yield from _beside(chunk)
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
    for holder, prefix in (("delta", name), ("message", f"{name}/message")):
        for key, item in _fields(get(choice, holder)):
            inner = (*path, holder, key)
            if key == "content" and isinstance(item, str):
                yield prefix, inner, item
            elif key == "tool_calls" and is_list(item):
                for place, number in enumerate(call_numbers(item)):
                    name = f"{prefix}/tool_calls/{number}"
                    yield from _call(item[place], name, (*inner, place))
            elif not passed_over(key, item):
                yield from _said(item, inner, f"{prefix}/{key}")


def _beside(chunk: Any) -> Iterator[tuple[str, Path, str]]:
    """What a chat chunk says beside the messages, such as sources that were searched."""
    for key, item in _fields(chunk):
        if key != "choices" and not passed_over(key, item):
            yield from _said(item, (key,), f"beside/{name_of((str(key),))}")
    for place, choice in enumerate(get(chunk, "choices")):
        for key, item in _fields(choice):
            if key not in ("text", "delta", "message") and not passed_over(key, item):
                name = f"beside/{get(choice, 'index') or 0}/{name_of((str(key),))}"
                yield from _said(item, ("choices", place, key), name)


def call_numbers(calls: Sequence[Any]) -> list[str]:
    """What tells the tool calls of a chunk apart: Gemini numbers none of them, and Ollama has given
    all of them the same number."""
    numbers: list[str] = []
    for place, call in enumerate(calls):
        given = get(call, "index")
        number = str(place if given is None else given)
        numbers.append(f"{number}+{place}" if number in numbers else number)
    return numbers


def _call(call: Any, name: str, path: Path) -> Iterator[tuple[str, Path, str]]:
    """A piece of a tool call; its arguments are what most of them are asked for."""
    arguments = get(get(call, "function"), "arguments")
    if isinstance(arguments, str):
        yield name, (*path, "function", "arguments"), arguments
    for key, inner, text in _said(call, path, name):
        if inner != (*path, "function", "arguments"):
            yield key, inner, text


def _ends(chunk: Any) -> Iterator[str]:
    """The texts that nothing more is added to after this chunk."""
    choices, kind = get(chunk, "choices"), get(chunk, "type")
    if is_list(choices):
        yield from (key for key, _, _ in _beside(chunk))
    for choice in choices if is_list(choices) else ():
        index = get(choice, "index") or 0
        name = "output" if index == 0 else f"output/{index}"
        delta = get(choice, "delta")
        if get(delta, "annotations"):
            yield f"{name}/annotations/*"
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
    if get(get(event, "delta"), "citation") is not None:
        yield f"output/{where}/citation/*"
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
        yield from _said(get(event, "delta"), ("delta",), f"output/{where}")
        return
    delta = get(event, "delta")
    if isinstance(delta, str):
        yield f"output/{where}/{kind}", ("delta",), delta
    for key, item in _fields(event):
        if key != "delta" or not isinstance(item, str):
            yield from _said({key: item}, (), f"output/{where}/{kind}")


def _fields(value: Any) -> Iterable[tuple[Any, Any]]:
    return items(value) if isinstance(value, Mapping) or is_record(value) else ()


def _said(value: Any, path: Path, key: str) -> Iterator[tuple[str, Path, str]]:
    """Every text in a value, such as those that an event says again as a whole."""
    if isinstance(value, str):
        yield key, path, value
    elif is_list(value):
        for index, item in enumerate(value):
            yield from _said(item, (*path, index), f"{key}/{index}")
    else:
        for name, item in _fields(value):
            if not passed_over(name, item):
                yield from _said(item, (*path, name), f"{key}/{name_of((str(name),))}")
