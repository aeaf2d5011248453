"""What a model returned, in any of the usual forms, and the way back into the same form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from guardrail.content import Content, Image, Limits, Part, Reply, Text, Usage, ending, name_of
from guardrail.errors import ContentError
from guardrail.reading.pictures import from_text, image_of
from guardrail.reading.tree import (
    TOO_DEEP,
    Path,
    at,
    comes_from,
    first_values,
    is_label,
    is_list,
    is_record,
    items,
    keys_said,
    put,
)
from guardrail.reading.tree import field as get

# Keys of answers that name or type things, where no more than a word stands under them.
_LABELS = frozenset(
    """id object type role model system_fingerprint service_tier finish_reason stop_reason status
    name call_id tool_call_id item_id file_id container_id obfuscation format provider""".split()
)
# Keys under which nothing is said by the model, or what the request said.
_BESIDE = frozenset(
    """created stop_sequence index logprobs usage signature encrypted_content container created_at
    completed_at incomplete_details metadata parallel_tool_calls temperature tool_choice tools
    top_p max_output_tokens previous_response_id reasoning_effort truncation user instructions
    background conversation prompt_cache_key safety_identifier top_logprobs score token prompt
    prompt_logprobs prompt_token_ids token_ids moderation caller stop_details
    content_filter_results prompt_filter_results encrypted_index""".split()
)
_PICTURE_URL = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/]+={0,2}", re.ASCII)
SPELT_OUT = ("logprobs", "token_ids")  # would tell what was taken out of the text beside them

ASIDE = frozenset("reasoning_content reasoning thinking refusal".split())  # beside the answer


@dataclass(frozen=True)
class Answer:
    """An answer read as parts."""

    reply: Reply
    _value: Any
    _paths: Mapping[str, Path]
    _write: Callable[[Any, Mapping[str, Part]], Any] | None = None
    _pictures: Mapping[str, Callable[[Image], Any]] = field(default_factory=dict)

    def rebuild(self, changed: Mapping[str, Part]) -> Any:
        """The answer with the changed parts, of the same type; the original is not modified."""
        if self._write is not None:
            return self._write(self._value, changed)
        new = [
            (self._paths[name], part.text if isinstance(part, Text) else self._pictures[name](part))
            for name, part in changed.items()
        ]
        value = without_spelling(self._value, [path for path, _ in new])
        for path, said in sorted(new, key=lambda one: first_values(one[0])):
            value = put(value, path, said)
        return value


def read_answer(value: Any, *, processor: Any = None, limits: Limits | None = None) -> Answer:
    """Read what a model call returned. Pictures in it are data URLs, and the base64 in which
    OpenAI's clients have them.

    Strings, the objects of the OpenAI and Anthropic clients (or dicts of their shape), pipeline
    results, structured output (dicts, dataclasses, pydantic models), and tokens where a
    `processor` or tokenizer is given. Raises ContentError for anything else.
    """
    if comes_from(value, "torch") or comes_from(value, "numpy"):
        return _from_tokens(value, processor)
    if _is_token_list(value):
        return _from_tokens(value, processor)
    try:
        found = list(_texts(value, (), "output"))
    except RecursionError:
        raise ContentError("output", "unreadable_answer", TOO_DEEP) from None
    single = len(found) == 1
    limits = limits or Limits()
    parts: list[Part] = []
    paths, written, ended = {}, {}, ending(finish_reason_of(value))
    for index, (path, text) in enumerate(found):
        name = "output" if single else f"output/{index}"
        if not single and path[-1:] and path[-1] in ASIDE:
            name += f"/{path[-1]}"
        paths[name] = path
        head = before_picture(value, path, text)
        if head is None:
            parts.append(Text(text, name, "assistant", "model", ended=ended))
            continue
        picture = from_text(head + text, name, limits)
        parts.append(image_of(picture, name, "assistant", "model", limits))
        written[name] = partial(_without, head, picture.write)
    return Answer(reply_of(value, parts), value, paths, _pictures=written)


def before_picture(value: Any, path: Path, text: str) -> str | None:
    """What makes a data URL of a string that is a picture; None for any other string."""
    if _PICTURE_URL.fullmatch(text):
        return ""
    key = path[-1] if path else ""
    bare = key in ("b64_json", "partial_image_b64") or (
        key == "result" and get(at(value, path[:-1]), "type") == "image_generation_call"
    )
    return "data:image/png;base64," if bare and text else None


def _without(head: str, write: Callable[[Image], Any], image: Image) -> str:
    return str(write(image)).removeprefix(head)


def without_spelling(value: Any, changed: Iterable[Path]) -> Any:
    """A client's answer without the log probabilities around texts that were changed: they spell
    out what was taken away."""
    for path in changed:
        for end in range(len(path)):
            holder = at(value, path[:end])
            for key in SPELT_OUT if _is_dict_or_record(holder) else ():
                if get(holder, key):
                    none: Any = [] if is_list(get(holder, key)) else None
                    value = put(value, (*path[:end], key), none)
    return value


def passed_over(key: Any, item: Any) -> bool:
    """Whether what a client's answer has under a key is nothing that the model says."""
    if key in _LABELS:
        return not isinstance(item, str) or is_label(item)
    return key in _BESIDE


def reply_of(value: Any, parts: Sequence[Part]) -> Reply:
    """A reply of these parts, with what an answer of a client says beside them."""
    return Reply(
        Content(tuple(parts)),
        usage_of(get(value, "usage") or get(value, "usage_metadata")),
        finish_reason_of(value),
        _string(get(value, "model")),
        _string(get(value, "id")),
    )


UNKNOWN = Usage()


def usage_of(usage: Any) -> Usage:
    """Token counts in the names of either client."""
    if usage is None:
        return UNKNOWN

    def count(*names: str) -> int | None:
        for name in names:
            value: Any = usage
            for key in name.split("."):
                value = get(value, key)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        return None

    return Usage(
        count("input_tokens", "prompt_tokens"),
        count("output_tokens", "completion_tokens"),
        count(
            "cache_read_input_tokens",
            "prompt_tokens_details.cached_tokens",
            "input_tokens_details.cached_tokens",
        ),
        count(
            "completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"
        ),
    )


def finish_reason_of(value: Any) -> str | None:
    """Why the answer ended, in the model's words."""
    choices = get(value, "choices")
    first = choices[0] if is_list(choices) and choices else None
    for holder, key in (
        (first, "finish_reason"),
        (value, "stop_reason"),
        (value, "status"),
        (get(value, "delta"), "stop_reason"),
    ):
        reason = _string(get(holder, key))
        if reason is not None:
            return reason
    return None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any, path: Path, name: str, client: bool = False) -> Iterator[tuple[Path, str]]:
    """Every text of the answer with its place; a client's own labels are left out."""
    if value is None or isinstance(value, (bool, int, float)):
        return
    if isinstance(value, str):
        yield path, value
    elif _is_dict_or_record(value):
        client = client or _is_client_answer(value)
        for step, said in () if client else keys_said(value):
            yield (*path, step), said
        for key, item in items(value):
            if client and passed_over(key, item):
                continue
            inside = client and key not in ("input", "parsed")
            yield from _texts(item, (*path, key), f"{name}/{name_of((str(key),))}", inside)
    elif is_list(value):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index), f"{name}/{index}", client)
    else:
        wanted = "return the text, the client's own object, or plain data"
        if hasattr(value, "__await__"):
            wanted = "put the guard on a function written with async def"
        elif comes_from(value, "openai") or comes_from(value, "anthropic"):
            wanted = "guard the client's method `create`, with stream=True for a stream"
        raise ContentError(
            name, "unreadable_answer", f"a {type(value).__name__} cannot be read: {wanted}"
        )


def _is_dict_or_record(value: Any) -> bool:
    return isinstance(value, Mapping) or is_record(value)


def _is_client_answer(value: Any) -> bool:
    """Whether a value has the shape of a client's answer or of a chat message."""
    if comes_from(value, "openai") or comes_from(value, "anthropic"):
        return True
    if is_list(get(value, "choices")) or get(value, "object") == "response":
        return True
    return isinstance(get(value, "role"), str) and get(value, "content") is not None


def _is_token_list(value: Any) -> bool:
    if not is_list(value) or not value:
        return False
    first = value[0]
    if is_list(first) and first:
        first = first[0]
    is_tensor = comes_from(first, "torch") or comes_from(first, "numpy")
    return (isinstance(first, int) and not isinstance(first, bool)) or is_tensor


def _from_tokens(value: Any, processor: Any) -> Answer:
    if processor is None:
        raise ContentError(
            "output",
            "tokens",
            "the answer is tokens: give the processor, as in @guard(processor=...)",
        )
    rows = value
    if hasattr(value, "ndim") and value.ndim == 1:
        rows = value[None]
    elif is_list(value) and isinstance(value[0], int):
        rows = [value]
    decoded = processor.batch_decode(rows, skip_special_tokens=True)
    single = len(decoded) == 1
    texts = [
        Text(text, "output" if single else f"output/{index}", "assistant", "model")
        for index, text in enumerate(decoded)
    ]

    def write(_: Any, changed: Mapping[str, Part]) -> Any:
        """Tokens of the edited text, since tokens cannot be edited in place."""
        new = [changed.get(text.name, text) for text in texts]
        tokenizer = getattr(processor, "tokenizer", processor)
        strings = [part.text for part in new if isinstance(part, Text)]
        if is_list(value):
            ids = tokenizer(strings, add_special_tokens=False)["input_ids"]
            return ids[0] if isinstance(value[0], int) else ids
        kind = "pt" if comes_from(value, "torch") else "np"
        padded = tokenizer(
            strings, add_special_tokens=False, return_tensors=kind, padding=len(strings) > 1
        )["input_ids"]
        return padded[0] if value.ndim == 1 else padded

    return Answer(Reply(Content(tuple(texts))), value, {}, write)
