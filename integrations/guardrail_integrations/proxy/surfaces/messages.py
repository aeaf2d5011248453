"""Anthropic's Messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from guardrail.hosting import Delta, Role, name_of
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.media.data_urls import encoded, media_type
from guardrail_integrations.proxy.media.files import Remote
from guardrail_integrations.proxy.reading.deltas import Piece, exchanged, strings, told
from guardrail_integrations.proxy.reading.extraction import Extraction, Unscreenable
from guardrail_integrations.proxy.reading.surface import Surface, anthropic_error, sse, usage_from
from guardrail_integrations.proxy.verdicts.refusals import Refusal

_CONTROL = frozenset(
    """model stream metadata stop_sequences tool_choice service_tier container thinking betas
    inference_geo speed""".split()
)
# Fields of blocks that name, type or sign; no model reads or writes text there.
_LABELS = frozenset(
    """type id name tool_use_id cache_control signature data encrypted_content encrypted_index
    file_id media_type index caller""".split()
)
_SHOWN: Path = ("content_block", "source", "data")  # where an event has a picture


def read(root: Any, found: Extraction) -> None:
    """The parts of a request."""
    for key, value in root.items():
        if key == "system":
            found.content(value, (key,), "system", "typed", _block)
        elif key == "messages" and isinstance(value, list):
            for index, message in enumerate(value):
                _message(message, (key, index), found)
        elif key in ("tools", "output_format", "output_config", "mcp_servers"):
            found.rest(value, (key,), "system")
        elif key not in _CONTROL and isinstance(value, (str, dict, list)):
            found.rest(value, (key,))


def _message(message: Any, path: Path, found: Extraction) -> None:
    if not isinstance(message, dict):
        found.rest(message, path)
        return
    roles: Mapping[Any, Role] = {"assistant": "assistant", "system": "system"}
    given = message.get("role")
    role: Role = roles.get(given, "user") if isinstance(given, str) else "user"
    found.content(message.get("content"), (*path, "content"), role, "typed", _block)
    found.others(message, ("role", "content"), path, role)


def _block(block: Any, path: Path, found: Extraction, role: Role, source: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind in ("text", "thinking", "compaction"):
        found.others(block, _LABELS, path, role, source)
    elif kind == "image":
        _picture(block.get("source"), (*path, "source"), found, role, source)
        found.others(block, ("type", "source", "cache_control"), path, role, source)
    elif kind == "document":
        _document(block.get("source"), (*path, "source"), found, role, source)
        found.others(block, ("type", "source", "cache_control", "citations"), path, role, source)
    elif kind == "redacted_thinking":
        return
    elif kind == "container_upload":
        found.skip("file", path)
    elif isinstance(kind, str) and kind.endswith(("tool_result", "search_result", "fetch_result")):
        found.content(block.get("content"), (*path, "content"), "tool", "tool", _block)
        found.others(block, _LABELS | {"content", "is_error"}, path, "tool", "tool")
    elif isinstance(kind, str) and kind.endswith("tool_use"):
        found.others(block, _LABELS, path, "assistant")
        found.numbers(block.get("input"), (*path, "input"), "assistant", source)
    elif isinstance(kind, str) and role != "tool":
        found.skip("other", path)
    else:
        found.rest(block, path, role, source)


def _picture(value: Any, path: Path, found: Extraction, role: Role, source: str) -> None:
    if not isinstance(value, dict):
        found.rest(value, path, role, source)
    elif value.get("type") == "base64" and isinstance(value.get("data"), str):
        typed: Path | None = (*path, "media_type") if "media_type" in value else None
        found.picture_base64(value["data"], (*path, "data"), typed, role, source)
    elif value.get("type") in ("url", "file"):
        _named(value, path, found, role, source, picture=True)
    else:
        found.skip("other", path)


def _named(
    value: Mapping[str, Any],
    path: Path,
    found: Extraction,
    role: Role,
    source: str,
    *,
    picture: bool,
) -> None:
    """A source that names an address or an uploaded file."""

    def write(data: bytes, kind: str) -> Mapping[Path, Any]:
        return {path: {"type": "base64", "media_type": kind, "data": encoded(data)}}

    url = value.get("type") == "url"
    address = value.get("url" if url else "file_id")
    if not isinstance(address, str):
        found.skip("other", path)
        return
    kind: Literal["url", "file"] = "url" if url else "file"
    found.remote.append(Remote(kind, address, name_of(path), role, source, write, picture))


def _document(value: Any, path: Path, found: Extraction, role: Role, source: str) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        found.text(value.get("data"), (*path, "data"), role, source)
    elif kind == "base64" and isinstance(value.get("data"), str):
        found.file_base64(
            value["data"], str(value.get("media_type")), (*path, "data"), role, source
        )
    elif kind == "content":
        found.content(value.get("content"), (*path, "content"), role, source, _block)
    elif kind in ("url", "file"):
        _named(value, path, found, role, source, picture=False)
    else:
        found.skip("file", path)


def answer(root: Any, found: Extraction) -> None:
    """The texts of an answer."""
    found.usage = usage_from(root.get("usage"))
    reason = root.get("stop_reason")
    found.finish_reason = reason if isinstance(reason, str) else None
    content = root.get("content")
    for index, block in enumerate(content if isinstance(content, list) else ()):
        path: Path = ("content", index)
        if not isinstance(block, dict):
            found.rest(block, path, "assistant", "model")
        elif (medium := _medium(block)) is not None:
            found.skip(medium, path)
        elif _shows(block):
            source, inner = block["source"], (*path, "source")
            typed: Path | None = (*inner, "media_type") if "media_type" in source else None
            found.picture_base64(source["data"], (*inner, "data"), typed, "assistant", "model")
            found.others(block, _LABELS | {"source"}, path, "assistant", "model")
        else:
            found.others(block, _LABELS, path, "assistant", "model")
            found.numbers(block.get("input"), (*path, "input"), "assistant", "model")


def _medium(block: Any) -> Unscreenable | None:
    """What of a block of an answer no check can look at."""
    kind = block.get("type") if isinstance(block, dict) else None
    media: tuple[Unscreenable, ...] = ("audio", "video")
    return next((medium for medium in media if medium == kind), None)


def _shows(block: Any) -> bool:
    """Whether a block of an answer is a picture. Claude makes none; gateways to others may."""
    source = block.get("source") if isinstance(block, dict) else None
    return (
        isinstance(source, dict)
        and block.get("type") == "image"
        and source.get("type") == "base64"
        and isinstance(source.get("data"), str)
    )


class MessageStream:
    """The events of a streamed answer."""

    def __init__(self) -> None:
        self.unheard: list[tuple[Unscreenable, str]] = []
        self._message: Mapping[str, Any] | None = None
        self._started = False
        self._open: set[int] = set()

    def delta(self, data: Any) -> Delta:
        """See surface.Stream."""
        if not isinstance(data, dict):
            return Delta()
        message = data.get("message")
        if data.get("type") == "message_start" and isinstance(message, dict):
            self._message = message
        about = message if isinstance(message, dict) else {}
        ended = data.get("delta")
        reason = ended.get("stop_reason") if isinstance(ended, dict) else None
        model, identity = about.get("model"), about.get("id")
        block = data.get("content_block")
        medium = _medium(block)
        if medium is not None:
            self.unheard.append((medium, f"content/{data.get('index', 0)}"))
        pieces = _pieces(data) if medium is None else ()
        texts, pictures = told(pieces, self.unheard, frozenset((_SHOWN,) if _shows(block) else ()))
        return Delta(
            texts,
            usage_from(data.get("usage") or about.get("usage")),
            reason if isinstance(reason, str) else None,
            model if isinstance(model, str) else None,
            identity if isinstance(identity, str) else None,
            (f"content/{data.get('index', 0)}/*",)
            if data.get("type") == "content_block_stop"
            else (),
            pictures,
        )

    def sent(self, data: Any) -> None:
        """See surface.Stream."""
        kind = data.get("type") if isinstance(data, dict) else None
        if kind == "message_start":
            self._started = True
        elif kind == "content_block_start":
            self._open.add(data.get("index", 0))
        elif kind == "content_block_stop":
            self._open.discard(data.get("index", 0))

    def rewrite(self, data: Any, new: Mapping[str, str | bytes]) -> Mapping[Path, Any]:
        """See surface.Stream."""
        changes: dict[Path, Any] = dict(exchanged(_pieces(data), new))
        shown = next((said for said in new.values() if isinstance(said, bytes)), None)
        if _SHOWN in changes and shown is not None:
            changes[(*_SHOWN[:-1], "media_type")] = media_type(shown)
        return changes

    def refused(self, refusal: Refusal) -> Iterator[bytes]:
        """The turn ends with the stop reason `refusal`."""
        if not self._started:
            message = dict(self._message or {})
            message |= {
                "id": message.get("id", refusal.record),
                "type": "message",
                "role": "assistant",
                "model": message.get("model", refusal.model),
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": message.get("usage", {"input_tokens": 0, "output_tokens": 0}),
            }
            yield sse({"type": "message_start", "message": message}, "message_start")
        for index in sorted(self._open):
            yield sse({"type": "content_block_stop", "index": index}, "content_block_stop")
        ending = {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_sequence": None},
            "usage": {"output_tokens": 0},
        }
        yield sse(ending, "message_delta")
        yield sse({"type": "message_stop"}, "message_stop")

    def failed(self, refusal: Refusal) -> Iterator[bytes]:
        """See surface.Stream."""
        yield sse(anthropic_error(refusal).decode(), "error")


def _pieces(data: Mapping[str, Any]) -> Iterator[Piece]:
    """Each piece of text in an event: what it continues, where it stands, and what it says."""
    name = f"content/{data.get('index', 0)}"
    key = "delta" if data.get("type") == "content_block_delta" else "content_block"
    holder = data.get(key)
    if not isinstance(holder, dict):
        message = data.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict):
                for field, value in block.items():
                    if field not in _LABELS:
                        path: Path = ("message", "content", index, field)
                        yield from strings(value, f"content/{index}/{field}", path)
        return
    for field, value in holder.items():
        if field in _LABELS:
            continue
        kind = "input" if field == "partial_json" else field
        if isinstance(value, str):
            yield f"{name}/{kind}", (key, field), value
        else:
            yield from strings(value, f"{name}/{kind}", (key, field))


surface = Surface(
    "messages",
    "/messages",
    read,
    answer,
    anthropic_error,
    MessageStream,
    marker=b'"data"',
)
