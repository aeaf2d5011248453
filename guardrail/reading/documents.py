"""The one document that an answer holds: its text, the arguments of its tool call, or its data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from guardrail.content import Ending, Reply, Text, ending
from guardrail.errors import ContentError
from guardrail.reading.answers import finish_reason_of, read_answer, reply_of
from guardrail.reading.tree import comes_from, is_list, is_record
from guardrail.reading.tree import field as get

# Keys of streamed texts (see `streams`): a tool call's arguments, and plain text.
_CALLED = re.compile(r"tool_calls/0$|/partial_json$|function_call_arguments\.delta$")
_SAID = re.compile(r"^output$|/text$|output_text\.delta$")


def read_document(value: Any, tool: str, *, processor: Any = None) -> Reply:
    """The reply with its document as its only text, named "output".

    A call of the tool named `tool` (else the only call) comes before text. Answers of the OpenAI,
    Anthropic and vLLM clients, chat messages, pipeline results, tokens with their `processor`
    (cut off where no token ends them), strings; anything else is data and stands for itself.
    Raises ContentError where there are several answers, or data that has no JSON form.
    """
    is_tokens = comes_from(value, "torch") or comes_from(value, "numpy")
    if is_tokens or (processor is not None and is_list(value)):
        text = _only(read_answer(value, processor=processor).reply.content.texts)
        return reply_of(value, [replace(text, ended=_ended_by(value, processor))])
    found = _document(value, tool)
    ended = ending(finish_reason_of(value) or _reason_of_vllm(value))
    if found is None:
        return reply_of(value, [Text("", "output", "assistant", "model", ended=ended)])
    text, refused = found
    ended = "refused" if refused else ended
    return reply_of(value, [Text(text, "output", "assistant", "model", ended=ended)])


def document_key(key: str) -> str | None:
    """What a streamed text is of the document: "called", "said", or nothing."""
    return "called" if _CALLED.search(key) else "said" if _SAID.search(key) else None


def _ended_by(tokens: Any, processor: Any) -> Ending:
    """Tokens that end in none that ends a sequence were cut off."""
    last: Any = tokens.reshape(-1).tolist() if hasattr(tokens, "reshape") else tokens
    while is_list(last) and last:
        last = last[-1]
    last = last.item() if hasattr(last, "item") else last
    special = getattr(getattr(processor, "tokenizer", processor), "all_special_ids", None)
    return "whole" if special is None or last in special else "cut_off"


def _only(found: Any) -> Any:
    if len(found) != 1:
        raise ContentError("output", "several_answers", f"one answer is expected, not {len(found)}")
    return found[0]


def _document(value: Any, tool: str) -> tuple[str, bool] | None:
    if isinstance(value, str):
        return value, False
    choices, outputs = get(value, "choices"), getattr(value, "outputs", None)
    if is_list(choices):
        choice = _only(choices)
        text = get(choice, "text")
        return (text, False) if isinstance(text, str) else _message(get(choice, "message"), tool)
    if is_list(outputs) and outputs and hasattr(outputs[0], "text"):  # vLLM
        return str(_only(outputs).text), False
    items = get(value, "output")
    if get(value, "object") == "response" and is_list(items):
        return _blocks([part for item in items for part in _parts(item)], tool)
    if isinstance(get(value, "role"), str):
        return _message(value, tool)
    first = value[0] if is_list(value) and value else None
    generated = get(first, "generated_text")
    if generated is not None:
        _only(value)
    if isinstance(generated, str):
        return generated, False
    if is_list(generated) and generated:
        return _message(generated[-1], tool)
    return _data(value), False


def _message(message: Any, tool: str) -> tuple[str, bool] | None:
    """A chat message, or Anthropic's answer, which has the same shape."""
    refusal = get(message, "refusal")
    if isinstance(refusal, str) and refusal:
        return refusal, True
    calls = [get(call, "function") for call in get(message, "tool_calls") or ()]
    if calls:
        return _arguments(_called(calls, tool), "arguments"), False
    content = get(message, "content")
    if isinstance(content, str):
        return content, False
    return _blocks(content, tool) if is_list(content) else None


def _parts(item: Any) -> list[Any]:
    """An item of the Responses API as blocks."""
    content = get(item, "content")
    return list(content) if is_list(content) and get(item, "type") == "message" else [item]


def _blocks(blocks: Any, tool: str) -> tuple[str, bool] | None:
    calls = [b for b in blocks if get(b, "type") in ("tool_use", "function_call")]
    if calls:
        call = _called(calls, tool)
        return _arguments(call, "input" if get(call, "type") == "tool_use" else "arguments"), False
    refusals = [get(b, "refusal") for b in blocks if get(b, "type") == "refusal"]
    if refusals:
        return str(refusals[0]), True
    texts = [get(b, "text") for b in blocks if get(b, "type") in ("text", "output_text")]
    return ("".join(filter(None, texts)), False) if texts else None


def _called(calls: list[Any], tool: str) -> Any:
    return _only([call for call in calls if get(call, "name") == tool] or calls)


def _arguments(call: Any, key: str) -> str:
    given = get(call, key)
    return given if isinstance(given, str) else _data(given)


def _data(value: Any) -> str:
    if not (isinstance(value, (Mapping, bool, int, float)) or is_list(value) or is_record(value)):
        raise ContentError(
            "output",
            "unreadable_answer",
            f"a {type(value).__name__} cannot be read: return the text, the client's own object, "
            "or plain data",
        )
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        plain = to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
        return json.dumps(plain, ensure_ascii=False)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        said = f"the answer has no JSON form ({type(error).__name__})"
        raise ContentError("output", "unreadable_answer", said) from None


def _reason_of_vllm(value: Any) -> str | None:
    outputs = getattr(value, "outputs", None)
    reason = getattr(outputs[0], "finish_reason", None) if is_list(outputs) and outputs else None
    return reason if isinstance(reason, str) else None
