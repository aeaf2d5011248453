"""What a call is made of: parts of text and pictures, and the reply that comes back."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from guardrail.image import Picture

Role = Literal["system", "user", "assistant", "tool"]
Ending = Literal["whole", "cut_off", "refused"]

_CUT_OFF = frozenset(
    """length max_tokens max_output_tokens model_length incomplete
    model_context_window_exceeded""".split()
)
_REFUSED = frozenset("refusal content_filter safety recitation prohibited_content".split())


def ending(finish_reason: str | None) -> Ending:
    """How an answer ended, from the reason in the model's words."""
    reason = (finish_reason or "").lower()
    return "cut_off" if reason in _CUT_OFF else "refused" if reason in _REFUSED else "whole"


_FIELD = re.compile(r"(?!\d)[\w$][\w$-]*+")
_TOKEN = re.compile(r"(?=[a-zA-Z]*\d)[a-zA-Z\d]{16}")  # of a key or an account, by its look
LONGEST_FIELD = 40  # characters of a key that stands in a name as it is
_NAMING = os.urandom(32)


def name_of(path: Iterable[str | int]) -> str:
    """The name of the part at a path of keys and indices, which no other part has.

    Names stand in records, traces and errors. A key that may say something (see `says`) is there
    as `key-` and a digest of it that differs from process to process.
    """
    return "/".join([_named(step) for step in path])


def says(key: str) -> bool:
    """Whether a key may say something: it is no plain word, a long one, or like a token."""
    size = len(key)
    if size < 16 and key.isidentifier():
        return False
    plain = size <= LONGEST_FIELD and _FIELD.fullmatch(key) and not key.startswith("key-")
    return not plain or _TOKEN.search(key) is not None


def _named(step: str | int) -> str:
    if isinstance(step, int):
        return str(step)
    if not says(step):
        return step
    key = step.encode("utf-8", "surrogatepass")
    return "key-" + hashlib.blake2b(key, digest_size=8, key=_NAMING).hexdigest()


class Box(NamedTuple):
    """A rectangle in pixels of the picture as displayed (EXIF orientation applied)."""

    x0: int
    y0: int
    x1: int
    y1: int


class Region(NamedTuple):
    """Where the characters `start` to `end` of a text stand in the picture it was read from."""

    start: int
    end: int
    box: Box
    frame: int = 0


@dataclass(frozen=True)
class Limits:
    """Bounds on what a call may hold. They are checked before memory is spent on decoding."""

    max_images: int = 16
    max_image_mb: float = 20.0  # MiB of the encoded file
    max_image_mpx: float = 50.0  # million pixels of one frame
    max_frames: int = 8  # frames looked at, spread over an animation
    max_visual_tokens: int | None = None  # over all pictures, see Picture.visual_tokens
    max_text_chars: int = 1_000_000  # over all text parts
    max_texts: int = 10_000  # text parts, which are looked at one by one


@dataclass(frozen=True)
class Text:
    """A piece of text in a call.

    `name` is unique in the call ("prompt", "messages/2/content/0", "images/0#ocr"). `source` says
    how the text came in: "typed", "tool", "model", "key" (of a dict), "field" (beside the content
    of a message), "declared" (what tools and forms of an answer say of themselves), or "image:ocr",
    "image:qr" ... for text read from a picture, whose name is then `origin` and whose characters
    `regions` place in it; `answered` says that this picture is part of an answer. `ended` says of a
    model's text whether the model brought it to its end.
    """

    text: str = field(repr=False)
    name: str = "prompt"
    role: Role = "user"
    source: str = "typed"
    origin: str | None = None
    regions: tuple[Region, ...] = ()
    ended: Ending = "whole"
    answered: bool = False

    @classmethod
    def of(cls, text: str, name: str, role: Role, source: str) -> Text:
        """A text without more to it, made in a fraction of the time."""
        made = object.__new__(cls)
        made.__dict__.update(_PLAIN, text=text, name=name, role=role, source=source)
        return made

    def boxes(self, start: int, end: int) -> tuple[tuple[Box, int], ...]:
        """Boxes (with their frame) that cover the characters `start` to `end` in the picture.

        A region set horizontally is cut along x in proportion to the characters, with one
        character of margin to each side, since widths differ; any other is covered whole.
        """
        found = []
        for region in self.regions:
            first, last = max(start, region.start), min(end, region.end)
            if first >= last:
                continue
            x0, y0, x1, y1 = region.box
            length = region.end - region.start
            if x1 - x0 >= y1 - y0 and length > 0:
                step = (x1 - x0) / length
                left = x0 + int((first - region.start - 1) * step)
                right = x0 + int((last - region.start + 1) * step) + 1
                x0, x1 = max(x0, left), min(x1, right)
            found.append((Box(x0, y0, x1, y1), region.frame))
        return tuple(found)


@dataclass(frozen=True)
class Image:
    """An encoded picture in a call. Decoded when first needed, under `limits`."""

    data: bytes = field(repr=False)
    name: str = "images/0"
    role: Role = "user"
    source: str = "typed"
    limits: Limits = field(default=Limits(), repr=False, compare=False)

    @property
    def size(self) -> int:
        """The number of encoded bytes."""
        return len(self.data)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the encoded bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def digest(self, key: bytes) -> bytes:
        """Keyed BLAKE3 of the encoded bytes, 32 bytes long; kept, as every check asks for it."""
        kept: tuple[bytes, bytes] | None = self.__dict__.get("_digest")
        if kept is None or kept[0] != key:
            from blake3 import blake3

            kept = key, blake3(self.data, key=key).digest()
            self.__dict__["_digest"] = kept
        return kept[1]

    @cached_property
    def picture(self) -> Picture:
        """The opened picture; raises PictureError. Shared by all checks of one call."""
        from guardrail.image import open_picture

        return open_picture(self.data, part=self.name, limits=self.limits)


Part = Text | Image

_PLAIN = vars(Text(""))


@dataclass(frozen=True)
class Content:
    """The parts of a call in the order in which the model gets them."""

    parts: tuple[Part, ...] = ()

    @property
    def texts(self) -> tuple[Text, ...]:
        """The text parts, in order."""
        return tuple(part for part in self.parts if isinstance(part, Text))

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures, in order."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    def replace(self, changed: Mapping[str, Part]) -> Content:
        """The same content with the named parts exchanged."""
        if not changed:
            return self
        return Content(tuple(changed.get(part.name, part) for part in self.parts))


@dataclass(frozen=True)
class Context:
    """Whose call this is: a policy's `scope` looks at it."""

    route: str | None = None
    tenant: str | None = None
    user: str | None = None
    session: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Call:
    """One call to a model."""

    content: Content = Content()
    context: Context = Context()
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Usage:
    """Token counts as the model reports them; None where it does not."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def updated(self, newer: Usage) -> Usage:
        """The counts of `newer` where it has them."""
        if newer is self or newer == _UNKNOWN:
            return self
        return Usage(
            *(
                one if two is None else two
                for one, two in zip(vars(self).values(), vars(newer).values(), strict=True)
            )
        )

    def __add__(self, other: Usage) -> Usage:
        """The counts of two answers together."""
        if self == _UNKNOWN:
            return other
        return Usage(
            *(
                one if two is None else two + (one or 0)
                for one, two in zip(vars(self).values(), vars(other).values(), strict=True)
            )
        )


_UNKNOWN = Usage()


@dataclass(frozen=True)
class Reply:
    """What the model answered, as parts with the source "model"."""

    content: Content = Content()
    usage: Usage = Usage()
    finish_reason: str | None = None
    model: str | None = None
    response_id: str | None = None

    @property
    def text(self) -> str:
        """All texts of the answer, joined."""
        return "".join(part.text for part in self.content.texts)
