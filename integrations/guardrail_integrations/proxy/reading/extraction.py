"""What a surface finds in a body: parts, where each stands, and what cannot be screened."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from guardrail import Content, Image, Limits, Text, Usage
from guardrail.hosting import LONGEST_FIELD, Part, Reply, Role, name_of
from guardrail_integrations.proxy.formats.json_body import BadJson, JsonBody
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.interfaces import Buffer
from guardrail_integrations.proxy.media.data_urls import (
    data_url,
    decoded,
    encoded,
    media_type,
    read_prefix,
    split_data_url,
)
from guardrail_integrations.proxy.media.files import Document, File, Remote, Write
from guardrail_integrations.proxy.media.pictures import Pictures
from guardrail_integrations.proxy.verdicts.refusals import refused

MAX_DEPTH = 100
_NO_USAGE = Usage()

_MEDIA: Mapping[str, Literal["picture", "audio", "video"]] = {
    "image_url": "picture",
    "video_url": "video",
    "audio_url": "audio",
    "input_audio": "audio",
}

# Fields that are text whatever they say: no model is shown a picture for a data URL in them.
_TEXTS = frozenset(
    """content text refusal reasoning reasoning_content thinking arguments description
    instructions""".split()
)
# Fields whose value is one word for a surface that knows them.
_LABELS = frozenset("role type name id call_id tool_call_id tool_use_id".split())
_LONG_NUMBER = 100_000_000
_SPACES = re.compile(rb"\s")
_SPACE = re.compile(r"\s")

Block = Callable[[Any, Path, "Extraction", Role, str], None]
Unscreenable = Literal["audio", "video", "file", "tokens", "other"]


class Extraction:
    """Collects what a surface finds. Names of parts are their paths in the body; see `name_of`."""

    def __init__(self, body: JsonBody, limits: Limits, seen: Pictures) -> None:
        self.body, self.limits = body, limits
        self.seen = seen
        self.parts: list[Part] = []
        self.paths: dict[str, Path] = {}
        self.pictures: dict[str, Write] = {}
        self.files: dict[str, File] = {}  # by the name of each part that was read from one
        self.remote: list[Remote] = []
        self.documents: list[Document] = []
        self.unscreenable: list[tuple[Unscreenable, str]] = []
        self.shadows: list[tuple[Path, Path]] = []  # where a changed text stands, what repeats it
        self.model: str | None = None
        self.stream = False
        self.parameters: dict[str, Any] = {}
        self.usage = _NO_USAGE
        self.finish_reason: str | None = None
        self.response_id: str | None = None

    def text(self, value: Any, path: Path, role: Role = "user", source: str = "typed") -> None:
        """A string that is text of the call; anything else is looked through for strings."""
        if not isinstance(value, str):
            self.rest(value, path, role, source)
        elif value:
            name = name_of(path)
            self.paths[name] = path
            self.parts.append(Text.of(self.body.text(value), name, role, source))

    def rest(self, value: Any, path: Path, role: Role = "user", source: str = "typed") -> None:
        """Whatever no surface knows: each string in it is text, each data URL a picture, since an
        upstream may read what we do not know."""
        if len(path) > MAX_DEPTH:
            raise BadJson("the body is nested too deeply")
        if isinstance(value, str):
            if value[:11].lower() == "data:image/":
                self._shown(value, path, role, source)
            else:
                self.text(value, path, role, source)
        elif isinstance(value, dict):
            kind, data = value.get("media_type"), value.get("data")
            if isinstance(kind, str) and isinstance(data, str) and kind.lower()[:6] == "image/":
                # as Messages write a picture
                typed, bare = (*path, "media_type"), (*path, "data")
                self.picture_base64(data, bare, typed, role, source)
                value = {key: item for key, item in value.items() if key != "data"}
            for key, item in value.items():
                if len(key) > LONGEST_FIELD:
                    self._key(key, path, role, source)
                if key in _MEDIA and item is not None:
                    self._media(key, item, (*path, key), role, source)
                else:
                    self.rest(item, (*path, key), role, source)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.rest(item, (*path, index), role, source)

    def _shown(self, value: str, path: Path, role: Role, source: str) -> None:
        """A data URL of a picture where no surface looks for one. Words may stand in one that is
        not plain base64, behind the picture, and who takes it for text reads them."""
        is_text = bool(path) and path[-1] in _TEXTS
        if is_text and source != "model":
            self.text(value, path, role, source)
            return
        _, payload, in_base64 = self._data_url(value, name_of(path))
        if in_base64 and not _SPACES.search(payload):
            self.picture_url(value, path, role, source)
            return
        self.text(value, path, role, source)
        if not is_text:
            self.skip("other", path)

    def numbers(self, value: Any, path: Path, role: Role, source: str) -> None:
        """The long numbers in what a tool is called with are text too: a card's may be one."""
        if isinstance(value, dict):
            for key, item in value.items():
                self.numbers(item, (*path, key), role, source)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.numbers(item, (*path, index), role, source)
        elif isinstance(value, int) and value >= _LONG_NUMBER:
            self.text(str(value), path, role, source)

    def content(self, value: Any, path: Path, role: Role, source: str, block: Block) -> None:
        """What a message or a tool's result holds: a text, a block, or several."""
        if isinstance(value, list):
            for index, one in enumerate(value):
                block(one, (*path, index), self, role, source)
        elif isinstance(value, dict):
            block(value, path, self, role, source)
        elif value is not None:
            self.text(value, path, role, source)

    def _media(self, key: str, value: Any, path: Path, role: Role, source: str) -> None:
        """A picture, sound or film where no surface looks for one."""
        kind = _MEDIA[key]
        if kind != "picture":
            self.skip(kind, path)
        elif isinstance(value, dict) and "url" in value:
            self.picture_url(value["url"], (*path, "url"), role, source)
            self.others(value, ("url", "detail"), path, role, source)
        else:
            self.picture_url(value, path, role, source)

    def label(self, value: Any, path: Path, role: Role, source: str) -> None:
        """A role, name or id, which templates of models write out: one with spaces is text."""
        if not isinstance(value, str) or _SPACE.search(value):
            self.rest(value, path, role, source)

    def others(
        self,
        value: Mapping[str, Any],
        known: Collection[str],
        path: Path,
        role: Role = "user",
        source: str = "typed",
    ) -> None:
        """The fields of an object that are not known, and labels that are none."""
        for key, item in value.items():
            if len(key) > LONGEST_FIELD:
                self._key(key, path, role, source)
            if key not in known and item is not None:
                self.rest(item, (*path, key), role, source)
            elif key in _LABELS:
                self.label(item, (*path, key), role, source)

    def _key(self, key: str, path: Path, role: Role, source: str) -> None:
        """The long name of a field, such as a tool's parameter, is text that a model reads. It
        cannot be exchanged: a rule that would change it stops the call."""
        if _SPACE.search(key):
            name = f"{name_of(path)}#key{len(self.parts)}"
            self.parts.append(Text.of(self.body.text(key), name, role, source))

    def picture_url(
        self, value: Any, path: Path, role: Role = "user", source: str = "typed"
    ) -> None:
        """A picture as a data URL or at an address."""
        if not isinstance(value, str):
            self.rest(value, path, role, source)
            return
        name = name_of(path)

        def write(data: bytes, kind: str) -> Mapping[Path, Any]:
            return {path: data_url(data, kind)}

        if value[:5].lower() == "data:":
            _, payload, in_base64 = self._data_url(value, name)
            if in_base64:
                image: Image = self.seen.image(payload, name, role, source, self.limits)
            else:
                image = Image(unquote_to_bytes(bytes(payload)), name, role, source, self.limits)
            self._picture(image, write)
        elif source == "model":  # who reads the answer fetches it, not we
            self.text(value, path, role, source)
            self.skip("other", path)
        else:
            self.remote.append(Remote("url", value, name, role, source, write))

    def picture_base64(
        self, value: str, path: Path, type_path: Path | None, role: Role, source: str
    ) -> None:
        """A picture as bare base64, with its media type beside it."""
        name = name_of(path)

        def write(data: bytes, kind: str) -> Mapping[Path, Any]:
            changes: dict[Path, Any] = {path: encoded(data)}
            if type_path is not None:
                changes[type_path] = kind
            return changes

        payload = self._payload(value)[1]
        self._picture(self.seen.image(payload, name, role, source, self.limits), write)

    def _picture(self, image: Image, write: Write) -> None:
        self.parts.append(image)
        self.pictures[image.name] = write

    def file_url(self, value: str, path: Path, role: Role, source: str) -> None:
        """A file as a data URL."""
        name = name_of(path)
        kind, payload, in_base64 = self._data_url(value, name)
        data = decoded(payload, name) if in_base64 else unquote_to_bytes(bytes(payload))

        def write(data: bytes, kind: str) -> Mapping[Path, Any]:
            return {path: data_url(data, kind)}

        self.documents.append(Document(data, kind, name, role, source, write))

    def file_base64(self, value: str, kind: str, path: Path, role: Role, source: str) -> None:
        """A file as bare base64."""
        name = name_of(path)
        data = decoded(self._payload(value)[1], name)

        def write(data: bytes, _: str) -> Mapping[Path, Any]:
            return {path: encoded(data)}

        self.documents.append(Document(data, kind.lower(), name, role, source, write))

    def named_file(
        self,
        kind: Literal["url", "file"],
        address: str,
        path: Path,
        role: Role,
        source: str,
        write: Write,
    ) -> None:
        """A file that the body only names."""
        self.remote.append(Remote(kind, address, name_of(path), role, source, write, picture=False))

    def _data_url(self, value: str, name: str) -> tuple[str, Buffer, bool]:
        """The media type of a data URL (RFC 2397), what it holds, and whether in base64."""
        before, payload = self._payload(value)
        if not before:
            return split_data_url(value, name)
        kind, in_base64 = read_prefix(before)
        return kind, payload, in_base64

    def _payload(self, value: str) -> tuple[str, Buffer]:
        return self.body.payload(value) or ("", value.encode("utf-8", "surrogatepass"))

    def skip(self, kind: Unscreenable, path: Path) -> None:
        """Something that no check can look at; the policy says what follows."""
        self.unscreenable.append((kind, name_of(path)))

    def settings(self, root: Mapping[str, Any]) -> None:
        """The model, whether a stream is asked for, and the plain parameters."""
        model = root.get("model")
        self.model = model if isinstance(model, str) else None
        self.stream = root.get("stream") is True
        self.parameters = {
            key: value for key, value in root.items() if isinstance(value, (bool, int, float))
        }

    def identify(self, root: Mapping[str, Any]) -> None:
        """The model that has answered, and the id of its answer."""
        model, identity = root.get("model"), root.get("id")
        self.model = model if isinstance(model, str) else None
        self.response_id = identity if isinstance(identity, str) else None

    def reply(self, content: Content) -> Reply:
        """An answer of this content, with what it tells of itself."""
        return Reply(content, self.usage, self.finish_reason, self.model, self.response_id)

    def changes(self, changed: Mapping[str, Part]) -> dict[Path, Any]:
        """What is written where for parts that changed. Raises Refused where that cannot be."""
        changes: dict[Path, Any] = {}
        files = {id(file): file for name, file in self.files.items() if name in changed}
        for file in files.values():
            changes.update(file.changed(changed))
        for name, part in changed.items():
            if name in self.files:
                continue
            if name not in self.paths and name not in self.pictures:
                message = f"{name}: the policy asks for a change that cannot be made there."
                raise refused(400, "policy_violation", message, name)
            if isinstance(part, Text):
                changes[self.paths[name]] = part.text
            elif isinstance(part, Image):
                changes.update(self.pictures[name](part.data, media_type(part.data)))
        for place, repeats in self.shadows:
            if any(path[: len(place)] == place for path in changes):
                changes[repeats] = None
        return changes
