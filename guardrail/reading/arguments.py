"""The prompts and pictures in a call's arguments.

The rule: every string is text of the call, unless it is a parameter of the call with a control
name (`model`, `api_key` ...) or a label where the known APIs have one, and whatever can be a
picture is one. What is neither plain data nor readable is an error that names the argument, never
passed on unseen.
"""

from __future__ import annotations

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
from guardrail.reading.names import (
    CALL_BLOCKS,
    CONTROL_NAMES,
    DATA_KEYS,
    DECLARED_NAMES,
    KNOWN_BLOCKS,
    LABELS,
    PICTURE_BLOCKS,
    PICTURE_KEYS,
    PROCESSED_NAMES,
    PROMPT_NAMES,
    REMOTE_NAMES,
    RESULT_BLOCKS,
    SIGNED,
    SPEAKERS,
    SYSTEM_NAMES,
    TEXT_BLOCKS,
    UNSCREENABLE_BLOCKS,
    names_pictures,
)
from guardrail.reading.tree import (
    TOO_DEEP,
    Path,
    at,
    first_values,
    is_label,
    is_list,
    is_record,
    items,
    keys_said,
    put,
)
from guardrail.reading.tree import (
    field as get,
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
        slots = [(self._slots[name], part) for name, part in changed.items()]
        for slot, part in sorted(slots, key=lambda one: first_values(one[0].path)):
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
    keywords: str | None = None,
    limits: Limits | None = None,
) -> Reading:
    """Find every text and picture in the arguments, or in those that `only` names; strings under
    the names in `pictured` are pictures. `keywords` names the argument that holds further ones,
    as a `**` parameter does.

    Raises ContentError for what cannot be read: pictures at addresses, values already processed
    for a model, sound and video, objects of unknown kinds.
    """
    reader = _Reader(limits or Limits())
    try:
        if only is None:
            reader.parameters(arguments, (), _Place(), keywords)
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
                self.parameter(str(key), item, (*path, key), _Place(picture=key in pictured))
            elif isinstance(item, Mapping) and not path:
                self.named(item, (key,), only, pictured)

    def parameters(
        self, arguments: Any, path: Path, place: _Place, keywords: str | None = None
    ) -> None:
        """The parameters of the call, or of a request that is handed over as a whole."""
        for key, item in items(arguments):
            inner = (*path, key)
            if key == keywords:
                self.parameters(item, inner, place.below(key))
            elif key in DECLARED_NAMES:
                below = replace(place.below(key), role="system", source="declared")
                self.declared(item, inner, below)
            elif key not in CONTROL_NAMES:
                whole = not path and isinstance(item, Mapping) and is_list(item.get("messages"))
                if whole:
                    self.parameters(item, inner, place.below(str(key)))
                else:
                    self.parameter(str(key), item, inner, place)

    def declared(self, value: Any, path: Path, place: _Place) -> None:
        """What tools and forms of an answer say of themselves; functions and classes say nothing
        that can be read."""
        if isinstance(value, Mapping):
            self.labelled(value, path, place, ())
        for index, item in enumerate(value if is_list(value) else ()):
            self.declared(item, (*path, index), place.below(index))

    def parameter(self, key: str, item: Any, path: Path, place: _Place) -> None:
        role: Role = "system" if key in SYSTEM_NAMES else place.role
        self.field(key, item, path, replace(place, role=role))

    def fields(self, value: Any, path: Path, place: _Place, read: Collection[Any] = ()) -> None:
        """What stands under the keys of a dict or record that are not `read` yet, and the keys."""
        for step, said in keys_said(value):
            self.text(said, (*path, step), replace(place.below(said), source="key"))
        for key, item in items(value):
            if key not in read:
                self.field(str(key), item, (*path, key), place)

    def field(self, key: str, item: Any, path: Path, place: _Place) -> None:
        """A value by the name it stands under."""
        if key in PROCESSED_NAMES and item is not None:
            raise ContentError(key, "already_processed", pictures.WRAP_EARLIER)
        if key in PROMPT_NAMES and _are_tokens(item):
            said = "tokens cannot be screened: pass the text, or name the parameters that hold it"
            raise ContentError(key, "tokens", said)
        if key in REMOTE_NAMES and item is not None:
            said = "a file at an address cannot be screened here: pass its bytes"
            raise ContentError(place.name, "remote_picture", said)
        picture = place.picture or names_pictures(key)
        self.value(item, path, replace(place.below(key), picture=picture))

    def labelled(self, value: Any, path: Path, place: _Place, read: Collection[Any]) -> None:
        """The fields beside those `read` in a message or block: labels are passed over where they
        are no more than one word."""
        labels = [
            key for key, item in items(value) if key in SIGNED or (key in LABELS and is_label(item))
        ]
        if place.role == "user" and place.source == "typed":
            place = replace(place, source="field")  # no place for a note to the model
        self.fields(value, path, place, [*read, *labels])

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
        elif _kind_of_data(value).startswith(("image/", "audio/", "video/", "application/")):
            self.inline(value, path, place)
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
        role = _role(_speaker(message))
        source = "tool" if role == "tool" else place.source
        inner = replace(place, role=role, source=source, picture=False)
        for key in ("content", "parts"):
            item = get(message, key)
            at_key = inner if isinstance(item, str) else inner.below(key)
            self.content(item, (*path, key), at_key)
        self.labelled(message, path, inner, ("content", "parts"))

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
        if kind in UNSCREENABLE_BLOCKS:
            raise ContentError(place.name, "unscreenable", f"a {kind} block cannot be screened")
        if kind in TEXT_BLOCKS:
            key = next((k for k in ("text", "thinking", "refusal") if get(block, k)), "text")
            self.value(get(block, key), (*path, key), place)
            self.labelled(block, path, place, (key,))
        elif kind in PICTURE_BLOCKS:
            self.picture_block(block, kind, path, place)
        elif kind in RESULT_BLOCKS:
            key = "content" if kind == "tool_result" else "output"
            inner = replace(place, role="tool", source="tool")
            self.content(get(block, key), (*path, key), inner)
            self.labelled(block, path, inner, (key,))
        elif kind in CALL_BLOCKS:
            self.call_block(block, path, replace(place, role="assistant"))
        elif kind == "redacted_thinking":
            self.labelled(block, path, place, ("data",))
        elif kind == "item_reference":
            self.labelled(block, path, place, ())
        elif kind == "reasoning":
            inner = replace(place, role="assistant")
            for key in ("summary", "content"):
                self.content(get(block, key), (*path, key), inner)
            self.labelled(block, path, inner, ("summary", "content"))
        elif kind == "message":
            self.message(block, path, place)
        else:
            raise ContentError(place.name, "unreadable", "a content block of an unknown type")

    def call_block(self, block: Any, path: Path, place: _Place) -> None:
        """A call of a tool that the model made earlier."""
        function, inner = get(block, "function"), (*path, "function")
        if not (isinstance(function, Mapping) or is_record(function)):
            self.labelled(block, path, place, ())
            return
        self.value(get(function, "arguments"), (*inner, "arguments"), place.below("arguments"))
        self.labelled(function, inner, place, ("arguments",))
        self.labelled(block, path, place, ("function",))

    def picture_block(self, block: Any, kind: str, path: Path, place: _Place) -> None:
        if get(block, "file_id"):
            raise ContentError(
                place.name, "remote_picture", "a picture by file id cannot be screened here"
            )
        source, pictured = get(block, "source"), replace(place, picture=True)
        if source is not None:
            if get(source, "type") != "base64":
                raise ContentError(
                    place.name,
                    "remote_picture",
                    "a picture at an address or by file id cannot be screened here: pass its bytes",
                )
            self.value(get(source, "data"), (*path, "source", "data"), pictured)
            self.labelled(source, (*path, "source"), place, ("data",))
        given = [key for key in PICTURE_KEYS if get(block, key) is not None]
        for key in given:
            item, inner = get(block, key), (*path, key)
            if get(item, "url") is not None:
                self.value(get(item, "url"), (*inner, "url"), pictured)
                self.labelled(item, inner, place, ("url",))
            else:
                self.value(item, inner, pictured)
        if source is None and not given and kind in ("image_url", "input_image"):
            raise ContentError(place.name, "unreadable", f"a {kind} block without a picture")
        self.labelled(block, path, place, ("source", *PICTURE_KEYS))

    def inline(self, value: Any, path: Path, place: _Place) -> None:
        """Data beside its media type, as Gemini and MCP write it."""
        if not _kind_of_data(value).startswith("image/"):
            raise ContentError(place.name, "unscreenable", "data of this type cannot be screened")
        for key in DATA_KEYS:
            self.value(get(value, key), (*path, key), replace(place, picture=True))
        self.labelled(value, path, place, DATA_KEYS)

    def _free(self, name: str) -> str:
        """`name`, or with a number behind it where two values would share it."""
        free, count = name or "text", 1
        while free in self._names:
            free, count = f"{name}~{count}", count + 1
        self._names.add(free)
        return free


def _is_sentinel(value: Any) -> bool:
    """Whether a value stands for "not given", as `openai.NOT_GIVEN` does: false, and empty."""
    own = getattr(value, "__dict__", None)
    return own is not None and own.keys() <= {"__module__"} and not value


def _are_tokens(value: Any) -> bool:
    while is_list(value) and value:
        value = value[0]
        if isinstance(value, int) and not isinstance(value, bool):
            return True
    return False


def _kind_of_data(value: Any) -> str:
    """The media type that a dict or record gives for the base64 or bytes in it."""
    if any(isinstance(get(value, key), (str, bytes)) for key in DATA_KEYS):
        for key in ("mime_type", "mimeType", "media_type", "mediaType"):
            if isinstance(kind := get(value, key), str):
                return kind.lower()
    return ""


def _speaker(message: Any) -> Any:
    """The role of a message, which the objects of LangChain have as their type."""
    role = get(message, "role")
    if role is None and is_record(message):
        role = SPEAKERS.get(str(get(message, "type")))
    return role


def _is_message(value: Any) -> bool:
    return isinstance(_speaker(value), (str, Enum)) and any(
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
