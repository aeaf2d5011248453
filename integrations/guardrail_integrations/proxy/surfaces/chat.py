"""OpenAI's Chat Completions, as vLLM, SGLang, Ollama, llama.cpp, TGI and gateways speak it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from guardrail.hosting import Delta, Role, call_numbers
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.media.data_urls import data_url
from guardrail_integrations.proxy.reading.deltas import Piece, exchanged, strings, told
from guardrail_integrations.proxy.reading.extraction import Extraction, Unscreenable
from guardrail_integrations.proxy.reading.surface import Surface, openai_error, sse, usage_from
from guardrail_integrations.proxy.verdicts.refusals import Refusal

# Fields that no model reads as text.
CONTROL = frozenset(
    """model user stream stream_options tool_choice function_call metadata stop service_tier
    modalities audio logit_bias reasoning_effort safety_identifier prompt_cache_key
    prompt_cache_retention verbosity store""".split()
)
_MESSAGE = frozenset(("role", "content", "tool_calls", "function_call", "tool_call_id", "audio"))
# Fields in which servers take numbers in place of a text: vLLM, SGLang and TensorRT-LLM.
TOKENS = frozenset(("prompt_token_ids", "input_ids", "prompt_embeds", "input_embeds"))
# Fields of an answer that tell of it.
_ABOUT = frozenset(
    """id object created model system_fingerprint service_tier usage provider prompt_logprobs
    prompt_token_ids prompt_filter_results timings metadata request_id x_groq
    kv_transfer_params""".split()
)
# Fields of a choice that tell of it.
_OF_CHOICE = frozenset(
    """index finish_reason stop_reason content_filter_results content_filter_offsets""".split()
)
# Fields of a choice that spell its text: by log probabilities, and in vLLM by numbers of tokens.
_SPELLED = ("logprobs", "token_ids")
# The same beside the text of llama.cpp's own form.
_SPELLED_BARE = ("tokens", "completion_probabilities")
_TEXT_BLOCKS = ("text", "refusal", "input_text", "output_text", "thinking")  # vLLM takes them all
ROLES: Mapping[Any, Role] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def read(root: Any, found: Extraction) -> None:
    """The parts of a request."""
    for key, value in root.items():
        if key == "messages" and isinstance(value, list):
            for index, message in enumerate(value):
                _message(message, ("messages", index), found)
        elif key in ("tools", "functions", "response_format"):
            found.rest(value, (key,), "system")
        elif key in TOKENS and value:
            found.skip("tokens", (key,))
        elif key not in CONTROL and isinstance(value, (str, dict, list)):
            found.rest(value, (key,))


def _message(message: Any, path: Path, found: Extraction) -> None:
    if not isinstance(message, dict):
        found.rest(message, path)
        return
    given = message.get("role")
    known = isinstance(given, str) and (given == "user" or given in ROLES)
    role: Role = ROLES.get(given, "user") if known else "user"
    source = "tool" if role == "tool" else "typed"
    content = message.get("content")
    if isinstance(content, list):
        for index, block in enumerate(content):
            _block(block, (*path, "content", index), found, role, source)
    elif content is not None:
        found.text(content, (*path, "content"), role, source)
    if not known or len(message) > ("role" in message) + ("content" in message):
        calls = message.get("tool_calls")
        for index, call in enumerate(calls if isinstance(calls, list) else ()):
            _called(call, (*path, "tool_calls", index), found)
        if message.get("function_call"):
            found.rest(message["function_call"], (*path, "function_call"), role, source)
        found.others(message, _MESSAGE, path, role, source)


def _called(call: Any, path: Path, found: Extraction) -> None:
    """A call of a tool that the model made earlier."""
    if isinstance(call, dict):
        found.others(call, ("id", "type", "index"), path, "assistant")
    else:
        found.rest(call, path, "assistant")


def _block(block: Any, path: Path, found: Extraction, role: Role, source: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind in _TEXT_BLOCKS:
        found.others(block, ("type",), path, role, source)
    elif kind == "image_url" or (kind == "input_image" and block.get("image_url")):
        image = block.get("image_url")
        inner: Path = (*path, "image_url")
        if isinstance(image, dict):
            found.picture_url(image.get("url"), (*inner, "url"), role, source)
            found.others(image, ("url", "detail"), inner, role, source)
        else:
            found.picture_url(image, inner, role, source)
        found.others(block, ("type", "image_url", "uuid"), path, role, source)
    elif kind in ("input_audio", "audio_url", "audio"):
        found.skip("audio", path)
    elif kind in ("video_url", "video", "input_video"):
        found.skip("video", path)
    elif kind == "file":
        file(block.get("file"), (*path, "file"), found, role, source)
    elif isinstance(kind, str):
        found.skip("other", path)
    else:
        found.rest(block, path, role, source)


def file(value: Any, path: Path, found: Extraction, role: Role, source: str) -> None:
    """A file by its bytes, its id or its address."""
    if not isinstance(value, dict):
        found.skip("file", path)
        return
    data, address = value.get("file_data"), value.get("file_url")

    def write(data: bytes, kind: str) -> Mapping[Path, Any]:
        kept = {key: item for key, item in value.items() if key not in ("file_url", "file_id")}
        named = {"filename": "file.pdf", **kept}
        return {path: {**named, "file_data": data_url(data, kind)}}

    if isinstance(data, str) and data[:5].lower() == "data:":
        found.file_url(data, (*path, "file_data"), role, source)
    elif isinstance(address, str):
        found.named_file("url", address, path, role, source, write)
    elif isinstance(value.get("file_id"), str):
        found.named_file("file", value["file_id"], path, role, source, write)
    else:
        found.skip("file", path)
    if isinstance(value.get("filename"), str):
        found.text(value["filename"], (*path, "filename"), role, source)


def answer(root: Any, found: Extraction) -> None:
    """The texts of an answer."""
    found.usage = usage_from(root.get("usage"))
    for key, value in root.items():
        if key == "choices" and isinstance(value, list):
            _choices(value, found)
        elif key in _SPELLED_BARE and "content" in root:
            found.shadows.append((("content",), (key,)))
        elif key not in _ABOUT and isinstance(value, (str, dict, list)):
            found.rest(value, (key,), "assistant", "model")


def _choices(choices: list[Any], found: Extraction) -> None:
    for place, choice in enumerate(choices):
        if not isinstance(choice, dict):
            found.rest(choice, ("choices", place), "assistant", "model")
            continue
        path: Path = ("choices", place)
        if found.finish_reason is None and isinstance(choice.get("finish_reason"), str):
            found.finish_reason = choice["finish_reason"]
        found.shadows += [(path, (*path, key)) for key in _SPELLED if choice.get(key)]
        for key, value in choice.items():
            if key == "message" and isinstance(value, dict):
                _answered(value, (*path, key), found)
            elif key not in _OF_CHOICE and key not in _SPELLED:
                found.rest(value, (*path, key), "assistant", "model")


def _answered(message: Mapping[str, Any], path: Path, found: Extraction) -> None:
    for key, value in message.items():
        if value is None or key == "role":
            continue
        if key == "tool_calls" and isinstance(value, list):
            for index, call in enumerate(value):
                function = call.get("function") if isinstance(call, dict) else None
                inner: Path = (*path, key, index)
                if isinstance(function, dict):
                    arguments = function.get("arguments")
                    found.text(arguments, (*inner, "function", "arguments"), "assistant", "model")
                    call = {k: v for k, v in call.items() if k not in ("id", "type", "function")}
                found.rest(call, inner, "assistant", "model")
        elif key == "audio" and isinstance(value, dict):
            found.skip("audio", (*path, key))
            found.text(value.get("transcript"), (*path, key, "transcript"), "assistant", "model")
        else:
            found.rest(value, (*path, key), "assistant", "model")


# Fields inside of others that are said at once.
_WHOLE = frozenset("type name id format signature".split())
_PIECES = frozenset(("text", "delta", "message"))
_BESIDE = "beside"  # what is said beside the messages, such as sources that were searched


class ChatStream:
    """The chunks of a streamed answer."""

    empty: Mapping[str, Any] = MappingProxyType({"delta": {}})
    kind = "chat.completion.chunk"

    def __init__(self) -> None:
        self.unheard: list[tuple[Unscreenable, str]] = []
        self._last: Mapping[str, Any] = {}
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._open: dict[str, set[str]] = {}  # what each choice is saying

    def delta(self, data: Any) -> Delta:
        """See surface.Stream."""
        if not isinstance(data, dict):
            return Delta()
        choices, usage = data.get("choices"), data.get("usage")
        finish, ends = None, []
        self._last = data
        for choice in choices if isinstance(choices, list) else ():
            reason = choice.get("finish_reason") if isinstance(choice, dict) else None
            if isinstance(choice, dict) and isinstance(choice.get("index"), int):
                self._seen.add(choice["index"])
            if isinstance(reason, str):
                finish = reason
                ends.append(f"choices/{choice.get('index', 0)}/*")
        pieces = [*_pieces(data)]
        texts, pictures = told(pieces, self.unheard)
        ends += [name for name, *_ in pieces if name.startswith(_BESIDE)]  # said as a whole
        ends += self._over(texts)
        return Delta(
            texts,
            usage_from(usage),
            finish,
            data.get("model") if isinstance(data.get("model"), str) else None,
            data.get("id") if isinstance(data.get("id"), str) else None,
            tuple(ends),
            pictures,
        )

    def _over(self, texts: Iterable[tuple[str, str]]) -> Iterator[str]:
        """The texts that nothing more is added to, once a choice says something else: reasoning is
        over when the answer begins. Calls of tools may take turns. What waited for more of them
        would hold back all that comes behind."""
        saying: dict[str, set[str]] = {}
        for key, text in texts:
            if not text or not key.startswith("choices/"):
                continue
            _, number, field = key.split("/", 2)
            steps = field.split("/")
            if len(steps) > 1 and steps[-1] in _WHOLE:
                yield key
            else:
                said = "/".join(steps[:3]) if steps[0] == "content" else steps[0]
                saying.setdefault(number, set()).add(said)
        for number, fields in saying.items():
            before = self._open.get(number, set())
            for over in before - fields - {"tool_calls"}:
                yield f"choices/{number}/{over}"
                if over != "content":  # behind which blocks of it stand, each with its own text
                    yield f"choices/{number}/{over}/*"
            self._open[number] = fields | (before & {"tool_calls"})

    def sent(self, data: Any) -> None:
        """See surface.Stream."""
        choices = data.get("choices") if isinstance(data, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("finish_reason"):
                index = choice.get("index", 0)
                if isinstance(index, int):
                    self._finished.add(index)

    def rewrite(self, data: Any, new: Mapping[str, str | bytes]) -> Mapping[Path, Any]:
        """See surface.Stream. Log probabilities, and numbers of tokens, would spell out what was
        taken away."""
        changes: dict[Path, Any] = {}
        for path, said in exchanged(_pieces(data), new):
            changes[path] = said
            holder: Path = path[:2] if path[0] == "choices" else ()
            spelled = data["choices"][holder[1]] if holder else data
            for key in _SPELLED if holder else _SPELLED_BARE:
                if spelled.get(key):
                    changes[(*holder, key)] = None
        return changes

    def refused(self, refusal: Refusal) -> Iterator[bytes]:
        """Every choice that is still open ends with `content_filter`."""
        frame = {
            key: self._last[key]
            for key in ("id", "object", "created", "model", "system_fingerprint")
            if key in self._last
        }
        frame.setdefault("id", refusal.record)
        frame.setdefault("object", self.kind)
        frame.setdefault("created", 0)
        frame.setdefault("model", refusal.model)
        for index in sorted((self._seen or {0}) - self._finished):
            choice = {"index": index, **self.empty, "logprobs": None}
            yield sse({**frame, "choices": [{**choice, "finish_reason": "content_filter"}]})
        yield sse("[DONE]")

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """See surface.Stream."""
        yield sse(openai_error(refusal).decode())


def _pieces(data: Any) -> Iterator[Piece]:
    """Each piece of text in a chunk: what it continues, where it stands, and what it says.
    llama.cpp streams completions without choices on paths without /v1."""
    choices = data.get("choices")
    if choices is None and isinstance(data.get("content"), str):
        yield "content", ("content",), data["content"]
    for place, choice in enumerate(choices if isinstance(choices, list) else ()):
        if not isinstance(choice, dict):
            continue
        name = f"choices/{choice.get('index', 0)}"
        path: Path = ("choices", place)
        if isinstance(choice.get("text"), str):
            yield f"{name}/text", (*path, "text"), choice["text"]
        if isinstance(choice.get("delta"), dict):
            yield from _message_pieces(choice["delta"], name, (*path, "delta"))
        if isinstance(choice.get("message"), dict):  # all of it once more, as some gateways send
            yield from _message_pieces(choice["message"], f"{name}/message", (*path, "message"))
        for key, value in choice.items():
            if key not in _PIECES and key not in _OF_CHOICE and key not in _SPELLED:
                yield from strings(value, f"{_BESIDE}/{name}/{key}", (*path, key))
    for key, value in data.items():
        known = key == "choices" or key in _ABOUT or key in _SPELLED_BARE
        if not known and isinstance(value, (dict, list)):
            yield from strings(value, f"{_BESIDE}/{key}", (key,))


def _message_pieces(message: Mapping[str, Any], name: str, path: Path) -> Iterator[Piece]:
    for key, value in message.items():
        inner: Path = (*path, key)
        if key == "role" or value is None:
            continue
        if isinstance(value, str):
            yield f"{name}/{key}", inner, value
        elif key == "tool_calls" and isinstance(value, list):
            yield from _call_pieces(value, f"{name}/{key}", inner)
        else:
            yield from strings(value, f"{name}/{key}", inner)


def _call_pieces(calls: list[Any], name: str, path: Path) -> Iterator[Piece]:
    for place, number in enumerate(call_numbers(calls)):
        call = calls[place]
        for key, value in call.items() if isinstance(call, dict) else ():
            if key not in ("id", "type", "index"):
                yield from strings(value, f"{name}/{number}/{key}", (*path, place, key))


surface = Surface(
    "chat",
    "/chat/completions",
    read,
    answer,
    openai_error,
    ChatStream,
    counts_on_request=True,
    keeps_answers=True,
)
