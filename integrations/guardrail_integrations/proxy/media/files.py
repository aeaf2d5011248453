"""The files of a call, and the pictures and files that it only names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from guardrail import Image, Text
from guardrail.hosting import Part, Role, of_pictures
from guardrail_integrations.proxy.formats.json_splice import Path

# bytes and their media type to what is written for them, and where
Write = Callable[[bytes, str], Mapping[Path, Any]]


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
