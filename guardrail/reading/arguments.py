"""The prompts and pictures in a call's arguments.

The rule: every string that does not stand under a control name (`model`, `api_key` ...) is text
of the call, and whatever can be a picture is one. What is neither plain data nor readable is an
error that names the argument, never passed on unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from numbers import Number
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any

from guardrail.content import Content, Limits, Part, Role, Text, name_of
from guardrail.errors import ContentError
from guardrail.reading import pictures
from guardrail.reading.tree import (
    TOO_DEEP,
    Path,
    at,
    is_list,
    is_record,
    items,
    put,
)
from guardrail.reading.tree import (
    field as get,
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTROL_NAMES = _names("""
    self cls model model_name model_id api_key base_url api_base api_version endpoint organization
    user_id session_id tenant response_format tool_choice tools functions stop stop_sequences seed
    device device_map dtype torch_dtype service_tier reasoning_effort truncation encoding_format
    logit_bias extra_headers extra_query timeout http_client client processor tokenizer modalities
    stream stream_options previous_response_id include generation_config return_tensors padding
    cache_control safety_identifier prompt_cache_key prompt_cache_retention verbosity
""")
MESSAGE_CONTROL = CONTROL_NAMES | _names("""
    role id type name status call_id tool_call_id tool_use_id media_type index model_config
""")
PICTURE_NAMES = _names("frame frames file files path paths file_path file_paths filename filenames")
_PICTURE_NAME = re.compile(
    r"(\w+_)?(image|img|picture|pic|photo|screenshot)s?(_?\d+)?"
    r"(_(path|file|filename|url|uri|src|base64|b64|bytes|data)s?)?",
    re.ASCII | re.IGNORECASE,
)
SYSTEM_NAMES = _names("system system_prompt system_message system_instruction instructions")
PROCESSED_NAMES = _names("""
    pixel_values pixel_values_videos input_ids inputs_embeds image_features image_embeds
""")
TEXT_BLOCKS = _names("text input_text output_text refusal thinking summary_text")
PICTURE_BLOCKS = _names("image_url input_image image")
RESULT_BLOCKS = _names("tool_result function_call_output custom_tool_call_output")
CALL_BLOCKS = _names("tool_use function_call custom_tool_call function")
UNSCREENABLE_BLOCKS = _names("""
    input_audio audio audio_url video video_url document file input_file
""")
OTHER_BLOCKS = _names("redacted_thinking item_reference reasoning message")
KNOWN_BLOCKS = (
    TEXT_BLOCKS | PICTURE_BLOCKS | RESULT_BLOCKS | CALL_BLOCKS | UNSCREENABLE_BLOCKS | OTHER_BLOCKS
)

Write = Callable[[Any], Any]


@dataclass(frozen=True)
class Slot:
    """A part, where it stood, and how a changed part is written there."""

    part: Part
    path: Path
    write: Write


@dataclass
class Reading:
    """What was found in the arguments of a call, and the way back into them."""

    content: Content
    _arguments: Mapping[str, Any]
    _slots: Mapping[str, Slot]
    _files: list[FilePath] = field(default_factory=list)

    def rebuild(self, changed: Mapping[str, Part]) -> dict[str, Any]:
        """The arguments with the changed parts written back in the form they came in.

        What did not change is the very same object; nothing that was passed is modified.
        """
        arguments: Any = dict(self._arguments)
        for name, part in changed.items():
            slot = self._slots[name]
            new = slot.write(part)
            if isinstance(new, pictures.TemporaryPath):
                self._files.append(new.path)
                new = new.given
            row = slot.path[-1]
            if isinstance(row, _Row):
                batch = at(arguments, slot.path[:-1])
                arguments = put(arguments, slot.path[:-1], _with_row(batch, row, new))
            else:
                arguments = put(arguments, slot.path, new)
        return dict(arguments)

    def close(self) -> None:
        """Delete the temporary files that stand for covered pictures."""
        while self._files:
            self._files.pop().unlink(missing_ok=True)

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Row:
    """One picture of a batch array."""

    index: int


def _with_row(batch: Any, row: _Row, new: Any) -> Any:
    copied = batch.clone() if hasattr(batch, "clone") else batch.copy()
    copied[row.index] = new
    return copied


def read_arguments(
    arguments: Mapping[str, Any],
    *,
    only: Collection[str] | None = None,
    pictured: Collection[str] = (),
    limits: Limits | None = None,
) -> Reading:
    """Find every text and picture in the arguments, or in those that `only` names; strings under
    the names in `pictured` are pictures.

    Raises ContentError for what cannot be read: pictures at addresses, values already processed
    for a model, sound and video, objects of unknown kinds.
    """
    reader = _Reader(limits or Limits())
    try:
        if only is None:
            reader.fields(arguments, (), _Place())
        else:
            reader.named(arguments, (), frozenset(only), frozenset(pictured))
    except RecursionError:
        raise ContentError("arguments", "unreadable_argument", TOO_DEEP) from None
    content = Content(tuple(slot.part for slot in reader.slots))
    return Reading(content, arguments, {slot.part.name: slot for slot in reader.slots})


@dataclass(frozen=True)
class _Place:
    """What the surroundings say about a value."""

    name: str = ""
    role: Role = "user"
    source: str = "typed"
    picture: bool = False
    forced: bool = False  # named by the user: nothing is passed over

    def below(self, key: str | int) -> _Place:
        step = name_of((key,))
        return replace(self, name=f"{self.name}/{step}" if self.name else step)


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.slots: list[Slot] = []
        self._images = 0
        self._names: set[str] = set()

    def named(self, value: Any, path: Path, only: frozenset[str], pictured: frozenset[str]) -> None:
        """The arguments that the user named, also among the keywords of a `**` parameter."""
        for key, item in items(value):
            if key in only:
                place = _Place(forced=True, picture=key in pictured)
                self.argument(str(key), item, (*path, key), place)
            elif isinstance(item, Mapping) and not path:
                self.named(item, (key,), only, pictured)

    def fields(self, value: Any, path: Path, place: _Place) -> None:
        for key, item in items(value):
            self.argument(str(key), item, (*path, key), place)

    def argument(self, key: str, item: Any, path: Path, place: _Place) -> None:
        """A value by the name it stands under."""
        if key in PROCESSED_NAMES and item is not None:
            raise ContentError(key, "already_processed", pictures.WRAP_EARLIER)
        if key in CONTROL_NAMES and not place.forced:
            return
        below = replace(place.below(key), picture=place.picture or _names_pictures(key))
        if key in SYSTEM_NAMES:
            below = replace(below, role="system")
        self.value(item, path, below)

    def value(self, value: Any, path: Path, place: _Place) -> None:
        if value is None or isinstance(value, (bool, int, float, complex, Enum)):
            return
        if isinstance(value, str):
            self.string(value, path, place)
        elif pictures.is_picture_object(value):
            self.picture_object(value, path, place)
        elif _is_message(value):
            self.message(value, path, place)
        elif _is_block(value) and get(value, "type") in KNOWN_BLOCKS:
            self.block(value, path, place)
        elif isinstance(value, Mapping) or is_record(value):
            self.fields(value, path, place)
        elif is_list(value):
            for index, item in enumerate(value):
                self.value(item, (*path, index), place.below(index))
        elif (
            callable(value) or isinstance(value, (type, ModuleType, Number)) or _is_sentinel(value)
        ):
            return
        else:
            raise ContentError(
                place.name or "arguments",
                "unreadable_argument",
                f"{type(value).__name__} cannot be read: name the parameters that hold prompts "
                "and pictures, as in @guard(prompt=..., images=...)",
            )

    def string(self, value: str, path: Path, place: _Place) -> None:
        if place.picture or pictures.is_data_url(value):
            self.picture(pictures.from_text(value, place.name, self.limits), path, place)
        else:
            self.text(value, path, place)

    def text(self, value: str, path: Path, place: _Place) -> None:
        name = self._free(place.name)
        part = Text(value, name, place.role, place.source)
        self.slots.append(Slot(part, path, lambda changed: changed.text))

    def picture_object(self, value: Any, path: Path, place: _Place) -> None:
        count = pictures.pictures_in(value, place.name) if pictures.is_array(value) else None
        if count is None:
            self.picture(pictures.from_object(value, place.name, self.limits), path, place)
            return
        for index in range(count):
            found = pictures.from_object(value[index], place.name, self.limits)
            self.picture(found, (*path, _Row(index)), place)

    def picture(self, found: pictures.Found, path: Path, place: _Place) -> None:
        name = f"images/{self._images}"
        self._images += 1
        image = pictures.image_of(found, name, place.role, place.source, self.limits)
        self.slots.append(Slot(image, path, found.write))

    def message(self, message: Any, path: Path, place: _Place) -> None:
        """A turn of a chat, in the form of OpenAI, Anthropic or Hugging Face."""
        role = _role(get(message, "role"))
        source = "tool" if role == "tool" else place.source
        inner = replace(place, role=role, source=source, picture=False)
        for key, item in items(message):
            if key == "content" and isinstance(item, str):
                self.text(item, (*path, key), inner)
            elif key in ("content", "parts"):
                self.content(item, (*path, key), inner.below(key))
            elif key not in MESSAGE_CONTROL:
                self.value(item, (*path, key), inner.below(str(key)))

    def content(self, value: Any, path: Path, place: _Place) -> None:
        """The content of a message: a text, or a list of blocks."""
        if isinstance(value, str):
            self.text(value, path, place)
        elif is_list(value):
            for index, item in enumerate(value):
                below = place.below(index)
                if isinstance(item, str):
                    self.text(item, (*path, index), below)
                else:
                    self.block_or_value(item, (*path, index), below)
        elif value is not None:
            self.block_or_value(value, path, place)

    def block_or_value(self, value: Any, path: Path, place: _Place) -> None:
        if _is_block(value):
            self.block(value, path, place)
        else:
            self.value(value, path, place)

    def block(self, block: Any, path: Path, place: _Place) -> None:
        """A typed piece of a message's content."""
        kind = str(get(block, "type"))
        if kind in TEXT_BLOCKS:
            key = next((k for k in ("text", "thinking", "refusal") if get(block, k)), "text")
            self.value(get(block, key), (*path, key), place)
        elif kind in PICTURE_BLOCKS:
            self.picture_block(block, kind, path, place)
        elif kind in RESULT_BLOCKS:
            key = "content" if kind == "tool_result" else "output"
            inner = replace(place, role="tool", source="tool")
            self.content(get(block, key), (*path, key), inner)
        elif kind in CALL_BLOCKS:
            inner = replace(place, role="assistant")
            function = get(block, "function")
            if function is not None:
                self.value(
                    get(function, "arguments"),
                    (*path, "function", "arguments"),
                    inner.below("arguments"),
                )
            for key in ("input", "arguments"):
                self.value(get(block, key), (*path, key), inner.below(key))
        elif kind in ("redacted_thinking", "item_reference"):
            return
        elif kind == "reasoning":
            self.content(
                get(block, "summary"), (*path, "summary"), replace(place, role="assistant")
            )
        elif kind == "message":
            self.message(block, path, place)
        elif kind in UNSCREENABLE_BLOCKS:
            raise ContentError(place.name, "unscreenable", f"a {kind} block cannot be screened")
        else:
            raise ContentError(place.name, "unreadable", "a content block of an unknown type")

    def picture_block(self, block: Any, kind: str, path: Path, place: _Place) -> None:
        if get(block, "file_id"):
            raise ContentError(
                place.name, "remote_picture", "a picture by file id cannot be screened here"
            )
        source = get(block, "source")
        if source is not None:
            if get(source, "type") != "base64":
                raise ContentError(
                    place.name,
                    "remote_picture",
                    "a picture at an address or by file id cannot be screened here: pass its bytes",
                )
            self.value(get(source, "data"), (*path, "source", "data"), replace(place, picture=True))
            return
        for key in ("image_url", "image", "url", "path", "base64"):
            item = get(block, key)
            if item is None:
                continue
            inner = (*path, key)
            if get(item, "url") is not None:
                item, inner = get(item, "url"), (*inner, "url")
            self.value(item, inner, replace(place, picture=True))
            return
        if kind != "image":
            raise ContentError(place.name, "unreadable", f"a {kind} block without a picture")

    def _free(self, name: str) -> str:
        """`name`, or with a number behind it where two values would share it."""
        free, count = name or "text", 1
        while free in self._names:
            free, count = f"{name}~{count}", count + 1
        self._names.add(free)
        return free


def _names_pictures(key: str) -> bool:
    """Whether strings under a name are pictures: `image`, `img_path`, `input_image_1_url`."""
    return key in PICTURE_NAMES or _PICTURE_NAME.fullmatch(key) is not None


def _is_sentinel(value: Any) -> bool:
    """Whether a value stands for "not given", as `openai.NOT_GIVEN` does: false, and empty."""
    own = getattr(value, "__dict__", None)
    return own is not None and own.keys() <= {"__module__"} and not value


def _is_message(value: Any) -> bool:
    return isinstance(get(value, "role"), (str, Enum)) and any(
        get(value, key) is not None for key in ("content", "tool_calls", "parts")
    )


def _is_block(value: Any) -> bool:
    """Content blocks are told from other dicts by a `type` that names their kind."""
    kind = get(value, "type")
    return isinstance(kind, str) and (isinstance(value, Mapping) or is_record(value))


def _role(role: Any) -> Role:
    name = str(role.value if isinstance(role, Enum) else role)
    if name in ("system", "developer"):
        return "system"
    if name in ("tool", "function"):
        return "tool"
    return "assistant" if name in ("assistant", "model") else "user"
