"""What a surface finds in a body: parts, where each stands, and what cannot be screened."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import pybase64

from guardrail import ContentError, Image, Limits, Text, Usage
from guardrail.hosting import LONGEST_FIELD, Part, Role, name_of, of_pictures
from guardrail_integrations.proxy.interfaces import Buffer
from guardrail_integrations.proxy.json_body import BadJson, JsonBody
from guardrail_integrations.proxy.json_splice import Path
from guardrail_integrations.proxy.pictures import Pictures, decoded

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
_SPACES = re.compile(rb"\s")
_SPACE = re.compile(r"\s")

# bytes and their media type to what is written for them, and where
Write = Callable[[bytes, str], Mapping[Path, Any]]
Block = Callable[[Any, Path, "Found", Role, str], None]
Unscreenable = Literal["audio", "video", "file", "tokens", "other"]


@dataclass(frozen=True, slots=True)
class Remote:
    """A picture or file that the body only names: an address, or the id of an uploaded file.

    `write` says it again with the bytes in place of the name.
    """

    kind: Literal["url", "file"]
    address: str = field(repr=False)
    name: str
    role: Role
    source: str
    write: Write
    picture: bool = True


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the call, by its bytes."""

    data: bytes = field(repr=False)
    media_type: str
    name: str
    role: Role
    source: str
    write: Write


@dataclass(slots=True)
class File:
    """A file that was read into parts: a text, or pages."""

    document: Document
    pages: tuple[Image, ...] = ()

    def changed(self, changed: Mapping[str, Part]) -> Mapping[Path, Any]:
        """What is written where for parts that changed: pages become pictures without text."""
        for part in changed.values():
            if isinstance(part, Text) and part.name == self.document.name:
                return self.document.write(
                    part.text.encode("utf-8", "replace"), self.document.media_type
                )
        pages = [changed.get(page.name, page) for page in self.pages]
        data = of_pictures([page for page in pages if isinstance(page, Image)])
        return self.document.write(data, "application/pdf")


class Found:
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

    def others(
        self,
        value: Mapping[str, Any],
        known: Collection[str],
        path: Path,
        role: Role = "user",
        source: str = "typed",
    ) -> None:
        """The fields of an object that are not known."""
        for key, item in value.items():
            if len(key) > LONGEST_FIELD:
                self._key(key, path, role, source)
            if key not in known and item is not None:
                self.rest(item, (*path, key), role, source)

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
            return {path: f"data:{kind};base64,{encoded(data)}"}

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
            return {path: f"data:{kind};base64,{encoded(data)}"}

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
        return _data_url(before, payload) if before else _whole_data_url(value, name)

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


def data_url(value: str, name: str) -> tuple[bytes, str]:
    """The bytes and media type of a data URL (RFC 2397). Raises ContentError."""
    kind, payload, in_base64 = _whole_data_url(value, name)
    return decoded(payload, name) if in_base64 else unquote_to_bytes(bytes(payload)), kind


def _whole_data_url(value: str, name: str) -> tuple[str, Buffer, bool]:
    before, comma, after = value.partition(",")
    if not comma:
        raise ContentError(name, "bad_data_url", "a data URL without a comma")
    return _data_url(before + comma, after.encode("utf-8", "surrogatepass"))


def _data_url(before: str, payload: Buffer) -> tuple[str, Buffer, bool]:
    kind, *parameters = before[5:-1].split(";")
    in_base64 = bool(parameters) and parameters[-1].strip().lower() == "base64"
    return kind.strip().lower(), payload, in_base64


def encoded(data: bytes) -> str:
    """Bytes as base64."""
    return pybase64.b64encode_as_string(data)


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def media_type(data: bytes) -> str:
    """The media type of a picture by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return "image/avif" if data[8:12] in (b"avif", b"avis") else "image/heic"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "image/png")
