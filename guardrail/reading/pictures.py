"""Pictures in the forms that callers pass, and back into the same form."""

from __future__ import annotations

import base64
import binascii
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardrail.content import Image, Limits, Role
from guardrail.errors import ContentError, PictureError
from guardrail.image import damage, spread
from guardrail.reading.tree import comes_from

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image as Pillow

Write = Callable[[Image], Any]  # a changed picture in the form that it came in

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w=.+-]+)*),", re.ASCII)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

WRAP_EARLIER = (
    "it looks already processed for the model, so it cannot be screened: put the guard around "
    "the function that takes the picture before the processor"
)


@dataclass(frozen=True)
class Found:
    """An encoded picture, and how to write a changed one back."""

    data: bytes
    write: Write
    decoded: bool = False  # it was in memory as pixels, so no limit on the file applies


@dataclass(frozen=True)
class TemporaryPath:
    """A covered picture in a file of its own, to be deleted after the call."""

    path: Path
    given: str | Path


def is_picture_object(value: Any) -> bool:
    """Whether a value can only be a picture: bytes, a file, a path, a PIL image, an array."""
    return (
        isinstance(value, (bytes, bytearray, memoryview, Path))
        or _is_file(value)
        or is_pillow(value)
        or is_array(value)
    )


def is_pillow(value: Any) -> bool:
    """Whether a value is a PIL image."""
    return comes_from(value, "PIL") and hasattr(value, "getbands")


def is_array(value: Any) -> bool:
    """Whether a value is a numpy array or a torch tensor."""
    foreign = comes_from(value, "numpy") or comes_from(value, "torch")
    return foreign and hasattr(value, "ndim") and not isinstance(value, Number)


def is_data_url(text: str) -> bool:
    """Whether a string is a data URL of a picture or of bytes without a type."""
    found = _DATA_URL.match(text)
    return found is not None and (found[1] or "image/").startswith(("image/", "application/octet"))


def image_of(found: Found, name: str, role: Role, source: str, limits: Limits) -> Image:
    """The picture as a part of the call."""
    if found.decoded:
        limits = replace(limits, max_image_mb=float("inf"))
    return Image(found.data, name, role, source, limits)


def from_text(text: str, name: str, limits: Limits) -> Found:
    """A picture given as a data URL, a path or base64."""
    if text[:5].lower() == "data:":
        return _from_data_url(text, name)
    if _REMOTE.match(text):
        raise ContentError(
            name,
            "remote_picture",
            "a picture at an address cannot be screened here: fetch it and pass its bytes",
        )
    if len(text) < 4_096 and "\0" not in text and Path(text).is_file():
        return from_object(Path(text), name, limits, path_as_text=True)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise ContentError(name, "unreadable", "neither a file, a data URL nor base64 of a picture")
    return Found(data, lambda image: base64.b64encode(image.data).decode("ascii"))


def _from_data_url(text: str, name: str) -> Found:
    found = _DATA_URL.match(text)
    if found is None or not found[2].lower().endswith(";base64"):
        raise ContentError(name, "unreadable", "a data URL that is not in base64")
    try:
        data = base64.b64decode(text[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ContentError(name, "unreadable", "a data URL whose base64 is damaged") from None
    head = found[0]
    return Found(data, lambda image: head + base64.b64encode(image.data).decode("ascii"))


def from_object(value: Any, name: str, limits: Limits, *, path_as_text: bool = False) -> Found:
    """A picture given as bytes, a file, a path, a PIL image, or an array of one picture."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        kind = type(value)
        return Found(bytes(value), lambda image: kind(image.data))
    if isinstance(value, Path):
        return _from_path(value, name, path_as_text)
    if _is_file(value):
        return _from_file(value, name)
    if is_pillow(value):
        return _from_pillow(value, name, limits)
    return _from_array(value, name)


def _is_file(value: Any) -> bool:
    return isinstance(value, BytesIO) or (
        hasattr(value, "read") and hasattr(value, "seek") and hasattr(value, "tell")
    )


def _from_path(path: Path, name: str, as_text: bool) -> Found:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContentError(
            name, "unreadable", f"the file cannot be read: {error.strerror}"
        ) from None

    def write(image: Image) -> Any:
        with tempfile.NamedTemporaryFile(suffix=path.suffix, delete=False) as file:
            file.write(image.data)
        written = Path(file.name)
        return TemporaryPath(written, str(written) if as_text else written)

    return Found(data, write)


def _from_file(file: Any, name: str) -> Found:
    try:
        position = file.tell()
        data = file.read()
        file.seek(position)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is closed, or cannot be read twice"
        raise ContentError(name, "unreadable", f"the file cannot be read: {reason}") from None
    if not isinstance(data, bytes):
        raise ContentError(name, "unreadable", "a file opened as text: open it in binary mode")
    return Found(data, lambda image: BytesIO(image.data))


def _from_pillow(picture: Any, name: str, limits: Limits) -> Found:
    mode = picture.mode
    if not all(picture.size):
        raise PictureError(name, "empty", "a picture without pixels")

    def write(image: Image) -> Any:
        return image.picture.rgb().convert(mode)

    with damage(name):
        return Found(_tiff(picture, *_frames(picture, limits.max_frames)), write, decoded=True)


def _frames(picture: Any, most: int) -> list[Pillow.Image]:
    """The other frames of an animation to look at: with the one shown, at most `most`."""
    count = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    if count == 1 or most <= 1:
        return []
    shown, frames = picture.tell(), spread(count, most)
    if shown not in frames:
        frames = spread(count, most - 1)
    copies = []
    picture.seek(count - 1)  # Pillow (13.0) goes back in an animated PNG from its end alone
    for frame in frames:
        if frame != shown:
            picture.seek(frame)
            copies.append(picture.copy())
    picture.seek(shown)
    return copies


def _tiff(picture: Pillow.Image, *others: Pillow.Image) -> bytes:
    """Uncompressed, which is quick, and exact for every mode that it can hold."""
    out = BytesIO()
    if others:
        first, *rest = (frame.convert("RGBA") for frame in (picture, *others))
        first.save(out, "TIFF", save_all=True, append_images=rest)
        return out.getvalue()
    try:
        picture.save(out, "TIFF")
    except OSError:
        out = BytesIO()
        picture.convert("RGBA" if picture.has_transparency_data else "RGB").save(out, "TIFF")
    return out.getvalue()


def pictures_in(value: Any, name: str) -> int | None:
    """How many pictures an array holds: None for one, a count for a batch.

    Raises ContentError for arrays that are no pictures: tokens, or values normalised for a model.
    """
    shape = tuple(value.shape)
    if len(shape) == 4:
        return int(shape[0])
    if len(shape) in (2, 3):
        return None
    raise ContentError(
        name, "already_processed", f"an array of {len(shape)} dimensions: {WRAP_EARLIER}"
    )


def _from_array(value: Any, name: str) -> Found:
    from PIL import Image as Pillow

    array = _as_numpy(value)
    upright, restore = _channels_last(array)
    pixels = _as_bytes(upright, name)
    picture = Pillow.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)

    def write(image: Image) -> Any:
        before, after = _rgb_of(picture), _rgb_of(image.picture.rgb())
        new = _where_changed(upright, before, after)
        return _like(value, restore(new))

    return Found(_tiff(picture), write, decoded=True)


def _as_numpy(value: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    if comes_from(value, "torch"):
        tensor = value.detach().cpu()
        return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)
    return np.asarray(value)


def _channels_last(
    array: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, Any], Callable[[Any], Any]]:
    """The array as height, width, channels, and the way back."""
    import numpy as np

    if array.ndim == 2:
        return array[..., None], lambda new: new[..., 0]
    if array.shape[0] in (1, 3, 4) and array.shape[-1] not in (1, 3, 4):
        return np.moveaxis(array, 0, -1), lambda new: np.moveaxis(new, -1, 0)
    return array, lambda new: new


def _as_bytes(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    import numpy as np

    if array.shape[-1] in (1, 3, 4) and array.size:
        if array.dtype == np.uint8:
            return np.ascontiguousarray(array)
        if array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
            return np.ascontiguousarray((array * 255).round().astype(np.uint8))
    raise ContentError(
        name,
        "already_processed",
        f"an array of {array.dtype} {array.shape} is no picture of bytes or of floats from 0 to 1: "
        + WRAP_EARLIER,
    )


def _rgb_of(picture: Pillow.Image) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(picture.convert("RGB"))


def _where_changed(
    array: np.ndarray[Any, Any], before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """`array` with the new colours where they differ, its other values untouched."""
    import numpy as np

    changed = (before != after).any(axis=-1)
    new = array.copy()
    colours = after[changed].astype(np.float64)
    if array.shape[-1] == 1:
        colours = colours.mean(axis=-1, keepdims=True)
    if array.dtype.kind == "f":
        colours = colours / 255
    bands = colours.shape[-1]
    new[changed, :bands] = colours.astype(array.dtype)
    return new


def _like(value: Any, array: np.ndarray[Any, Any]) -> Any:
    import numpy as np

    if comes_from(value, "torch"):
        tensor = sys.modules["torch"].from_numpy(np.ascontiguousarray(array))
        return tensor.to(device=value.device, dtype=value.dtype)
    return array
