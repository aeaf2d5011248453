"""What the events of a streamed answer say: pieces of text, and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from guardrail import ContentError
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.interfaces import UpstreamError
from guardrail_integrations.proxy.media.data_urls import (
    data_url,
    decoded,
    encoded,
    media_type,
    read_data_url,
)
from guardrail_integrations.proxy.reading.extraction import Unscreenable

Piece = tuple[str, Path, str]  # what it continues, where it stands, and what it says

# Fields that hold the base64 of a picture, and nothing else.
_BASE64 = frozenset(("partial_image_b64", "b64_json"))
# Fields whose text goes on in the next event: how one of their pieces begins says nothing.
_CONTINUED = frozenset(
    """content text refusal reasoning reasoning_content arguments delta partial_json thinking input
    code""".split()
)


def strings(value: Any, name: str, path: Path) -> Iterator[Piece]:
    """Every string in a value."""
    if isinstance(value, str):
        yield name, path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, f"{name}/{key}", (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, f"{name}/{index}", (*path, index))


def told(
    pieces: Iterable[Piece],
    unheard: list[tuple[Unscreenable, str]],
    bare: frozenset[Path] = frozenset(),
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, bytes], ...]]:
    """The texts and the pictures among the pieces of an event, each with its key; sound is added
    to `unheard`.

    A picture is a data URL of one, or base64 in a field that holds no other, or at one of the
    paths `bare`. Raises UpstreamError for one that cannot be decoded.
    """
    texts, pictures = [], []
    for key, path, value in pieces:
        field = path[-1]
        if field in _CONTINUED:
            texts.append((key, value))
        elif field == "data" and "audio" in path:
            unheard.append(("audio", key))
        elif field in _BASE64 or path in bare or value[:11].lower() == "data:image/":
            pictures.append((key, _picture(value, key)))
        else:
            texts.append((key, value))
    return tuple(texts), tuple(pictures)


def _picture(value: str, key: str) -> bytes:
    try:
        if value[:5].lower() == "data:":
            return read_data_url(value, key)[0]
        return decoded(value.encode("utf-8", "surrogatepass"), key)
    except ContentError as error:
        raise UpstreamError("garbage", f"a picture of the answer: {error.code}") from None


def exchanged(
    pieces: Iterable[Piece], new: Mapping[str, str | bytes]
) -> Iterator[tuple[Path, str]]:
    """What is written where so that the pieces say what is `new`: texts, and bytes of pictures.

    Where an event holds several pieces of one text, the first takes all of the new one.
    """
    left = dict(new)
    for key, path, value in pieces:
        if key not in new:
            continue
        said = left.pop(key, "")
        if isinstance(said, str):
            yield path, said
        elif value[:5].lower() == "data:":
            yield path, data_url(said, media_type(said))
        else:
            yield path, encoded(said)
