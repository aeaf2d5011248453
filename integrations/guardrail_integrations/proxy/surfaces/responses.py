"""OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from guardrail.hosting import Delta, Role, name_of
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.media.data_urls import data_url
from guardrail_integrations.proxy.media.files import Remote
from guardrail_integrations.proxy.reading.deltas import Piece, exchanged, strings, told
from guardrail_integrations.proxy.reading.extraction import Extraction, Unscreenable
from guardrail_integrations.proxy.reading.surface import Surface, openai_error, sse, usage_from
from guardrail_integrations.proxy.surfaces.chat import ROLES, file
from guardrail_integrations.proxy.verdicts.refusals import Refusal

_CONTROL = frozenset(
    """model stream stream_options tool_choice metadata service_tier user safety_identifier
    prompt_cache_key prompt_cache_retention include truncation previous_response_id conversation
    reasoning""".split()
)
# Fields of items that name, type or sign; no model reads or writes text there.
_LABELS = frozenset(
    """type id role status call_id name index encrypted_content file_id container_id created_by
    server_label phase logprobs annotations namespace""".split()
)
# Fields of an answer that tell of it, or say again what was asked.
_ABOUT = frozenset(
    """id object created_at completed_at model status error incomplete_details instructions metadata
    parallel_tool_calls temperature tool_choice tools top_p usage background conversation
    max_output_tokens max_tool_calls previous_response_id prompt prompt_cache_key
    prompt_cache_retention reasoning safety_identifier service_tier text top_logprobs truncation
    user store billing input_messages kv_transfer_params""".split()
)


def read(root: Any, found: Extraction) -> None:
    """The parts of a request."""
    for key, value in root.items():
        if key == "input":
            _input(value, (key,), found)
        elif key in ("instructions", "tools", "text"):
            found.rest(value, (key,), "system")
        elif key == "prompt" and isinstance(value, dict):
            variables = value.get("variables")
            for name, given in variables.items() if isinstance(variables, dict) else ():
                found.content(given, (key, "variables", name), "user", "typed", _block)
            found.others(value, ("id", "version", "variables"), (key,))
        elif key not in _CONTROL and isinstance(value, (str, dict, list)):
            found.rest(value, (key,))


def _input(value: Any, path: Path, found: Extraction) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _item(item, (*path, index), found)
    else:
        found.text(value, path)


def _item(item: Any, path: Path, found: Extraction) -> None:
    if not isinstance(item, dict):
        found.rest(item, path)
        return
    kind = item.get("type", "message")
    if kind == "message":
        given = item.get("role")
        role: Role = ROLES.get(given, "user") if isinstance(given, str) else "user"
        source = "tool" if role == "tool" else "typed"
        found.content(item.get("content"), (*path, "content"), role, source, _block)
        found.others(item, _LABELS | {"content"}, path, role, source)
    elif isinstance(kind, str) and kind.startswith("input_"):
        _block(item, path, found, "user", "typed")
    elif isinstance(kind, str) and kind.endswith("_output"):
        output: Path = (*path, "output")
        found.content(item.get("output"), output, "tool", "tool", _block)
        found.others(item, _LABELS | {"output"}, path, "tool", "tool")
    elif kind == "image_generation_call":
        if isinstance(item.get("result"), str):
            found.picture_base64(item["result"], (*path, "result"), None, "assistant", "typed")
        found.others(item, _LABELS | {"result"}, path, "assistant")
    else:
        # calls and results of tools that run at the upstream, and what is not known yet
        role = "assistant" if kind == "reasoning" or str(kind).endswith("_call") else "tool"
        found.others(item, _LABELS, path, role, "tool" if role == "tool" else "typed")


def _block(block: Any, path: Path, found: Extraction, role: Role, source: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind in ("input_image", "computer_screenshot"):
        address, identity = block.get("image_url"), block.get("file_id")
        if address is not None:
            found.picture_url(address, (*path, "image_url"), role, source)
        elif isinstance(identity, str):
            name = name_of(path)

            def write(data: bytes, kind: str) -> Mapping[Path, Any]:
                kept = {key: value for key, value in block.items() if key != "file_id"}
                return {path: {**kept, "image_url": data_url(data, kind)}}

            found.remote.append(Remote("file", identity, name, role, source, write))
        found.others(block, ("type", "image_url", "file_id", "detail"), path, role, source)
    elif kind == "input_file":
        file(block, path, found, role, source)
    elif kind == "input_audio":
        found.skip("audio", path)
    elif kind == "input_video":
        found.skip("video", path)
    elif kind in ("input_text", "output_text", "text", "refusal", "summary_text"):
        found.others(block, _LABELS, path, role, source)
    elif isinstance(kind, str) and role != "tool":
        found.skip("other", path)
    else:
        found.rest(block, path, role, source)


def answer(root: Any, found: Extraction) -> None:
    """The texts and pictures of an answer."""
    found.usage = usage_from(root.get("usage"))
    status = root.get("status")
    found.finish_reason = status if isinstance(status, str) else None
    for key, value in root.items():
        if key == "output" and isinstance(value, list):
            _output(value, found)
        elif key not in _ABOUT:  # output_text of some gateways, output_messages of vLLM
            found.rest(value, (key,), "assistant", "model")


def _output(output: list[Any], found: Extraction) -> None:
    for index, item in enumerate(output):
        path: Path = ("output", index)
        if not isinstance(item, dict):
            found.rest(item, path, "assistant", "model")
            continue
        for key, value in item.items():
            inner: Path = (*path, key)
            if key == "content" and isinstance(value, list):
                for place, block in enumerate(value):
                    _answered(block, (*inner, place), found)
            elif key == "result" and item.get("type") == "image_generation_call":
                if isinstance(value, str):
                    found.picture_base64(value, inner, None, "assistant", "model")
            elif key not in _LABELS:
                found.rest(value, inner, "assistant", "model")


def _answered(block: Any, path: Path, found: Extraction) -> None:
    if isinstance(block, dict):
        if block.get("logprobs"):
            found.shadows.append((path, (*path, "logprobs")))
        found.others(block, _LABELS, path, "assistant", "model")
    else:
        found.rest(block, path, "assistant", "model")


class ResponseStream:
    """The events of a streamed answer. Those at the end of a part say its text once more."""

    def __init__(self) -> None:
        self.unheard: list[tuple[Unscreenable, str]] = []
        self._response: Mapping[str, Any] | None = None
        self._created = False
        self._number = -1

    def delta(self, data: Any) -> Delta:
        """See surface.Stream."""
        if not isinstance(data, dict):
            return Delta()
        response = data.get("response")
        about: Mapping[str, Any] = response if isinstance(response, dict) else {}
        if about and self._response is None:
            self._response = about
        pieces = tuple(_pieces(data))
        if data.get("type") in _SOUND:
            self.unheard.append(("audio", str(data["type"])))
            pieces = ()
        texts, pictures = told(pieces, self.unheard, _results(data, pieces))
        done = data.get("type") in ("response.completed", "response.incomplete", "response.failed")
        status, model, identity = about.get("status"), about.get("model"), about.get("id")
        return Delta(
            texts,
            usage_from(about.get("usage")),
            status if done and isinstance(status, str) else None,
            model if isinstance(model, str) else None,
            identity if isinstance(identity, str) else None,
            tuple(_ends(data, texts)),
            pictures,
        )

    def sent(self, data: Any) -> None:
        """See surface.Stream."""
        if isinstance(data, dict):
            self._created = self._created or data.get("type") == "response.created"
            number = data.get("sequence_number")
            self._number = number if isinstance(number, int) else self._number + 1

    def rewrite(self, data: Any, new: Mapping[str, str | bytes]) -> Mapping[Path, Any]:
        """See surface.Stream. Log probabilities would spell out what was taken away."""
        changes: dict[Path, Any] = {}
        for path, said in exchanged(_pieces(data), new):
            changes[path] = said
            for end in range(len(path)):
                holder = _at(data, path[:end])
                if isinstance(holder, dict) and holder.get("logprobs"):
                    changes[(*path[:end], "logprobs")] = []
        return changes

    def refused(self, refusal: Refusal) -> Iterator[bytes]:
        """The response ends as incomplete, for `content_filter`."""
        response = dict(self._response or {})
        response.setdefault("id", refusal.record)
        response.setdefault("object", "response")
        response.setdefault("created_at", 0)
        response.setdefault("model", refusal.model)
        response |= {"output": [], "status": "in_progress"}
        if not self._created:
            yield self._event("response.created", {"response": response})
        details = {"reason": "content_filter"}
        response |= {"status": "incomplete", "incomplete_details": details}
        yield self._event("response.incomplete", {"response": response})

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """See surface.Stream."""
        about = {"code": refusal.code, "message": refusal.message, "param": refusal.param or None}
        yield self._event("error", about)

    def _event(self, kind: str, about: Mapping[str, Any]) -> bytes:
        self._number += 1
        return sse({"type": kind, "sequence_number": self._number, **about}, kind)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _ends(data: Mapping[str, Any], pieces: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The texts that are complete: what is said as a whole, and what a `done` event closes."""
    kind = str(data.get("type"))
    if not kind.endswith(".delta"):
        yield from (key for key, _ in pieces)
    if kind.endswith(".done"):
        yield f"{_place(data)}/{kind.removesuffix('.done')}.delta/*"


def _place(data: Mapping[str, Any]) -> str:
    return "/".join(str(data[key]) for key in _PLACE if key in data)


_PLACE = ("output_index", "content_index", "summary_index")
_SOUND = ("response.audio.delta", "response.output_audio.delta")
# Fields of events in which the model says something.
_SAID = frozenset("""delta text arguments refusal input code part item partial_image_b64""".split())


def _results(data: Mapping[str, Any], pieces: Iterable[Piece]) -> frozenset[Path]:
    """Where pictures that were made stand, as bare base64."""
    return frozenset(
        path
        for _, path, _ in pieces
        if path[-1] == "result" and _at(data, path[:-1]).get("type") == "image_generation_call"
    )


def _pieces(data: Mapping[str, Any]) -> Iterator[Piece]:
    """Each piece of text in an event: what it continues, where it stands, and what it says."""
    kind = data.get("type")
    place = _place(data)
    for key in data:
        if key in _SAID:
            yield from _said(data[key], f"{place}/{kind}/{key}", (key,))
    response = data.get("response")
    for key, value in response.items() if isinstance(response, dict) else ():
        if key not in _ABOUT:
            yield from _said(value, f"{kind}/{key}", ("response", key))


def _said(value: Any, name: str, path: Path) -> Iterator[Piece]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in _LABELS:
                yield from _said(item, f"{name}/{key}", (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _said(item, f"{name}/{index}", (*path, index))
    else:
        yield from strings(value, name, path)


surface = Surface(
    "responses",
    "/responses",
    read,
    answer,
    openai_error,
    ResponseStream,
    keeps_answers=True,
)
