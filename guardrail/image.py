"""Opening pictures safely, and covering areas of them.

Bytes are checked first, then the header, then one frame is decoded: every limit holds before
the memory it guards is spent. Whatever is wrong with a picture ends as a PictureError.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING, Any

from guardrail.content import Image, Limits
from guardrail.errors import PictureError
from guardrail.image_bytes import MAX_FILE_FRAMES, end_of, what_else, without_texts
from guardrail.verdict import Area

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from PIL.ImageFile import ImageFile

# Pillow writes what stands in the metadata of a picture into its debug log.
if (_pillow_log := logging.getLogger("PIL")).level == logging.NOTSET:
    _pillow_log.setLevel(logging.INFO)

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
ANIMATION_BUDGET = 20  # an animation may hold this many times limits.max_image_mpx in all
VISUAL_PATCH = 28  # pixels a side of one visual token: Qwen2-VL, arXiv 2409.12191, section 2.1


class Picture:
    """An opened picture: the facts of its header, and its frames as RGB."""

    def __init__(self, data: bytes, part: str, limits: Limits) -> None:
        self._data, self._part, self._limits = data, part, limits
        self._lock = threading.RLock()
        with damage(part):
            try:
                self._read()
            except ValueError:
                # Pillow refuses texts that unpack too far, and the picture needs none of them.
                self._data = without_texts(data)
                if len(self._data) == len(data):
                    raise
                self._read()
        self.width, self.height = self._first.size

    def _read(self) -> None:
        self._file = _open(self._data, self._part)
        width, height = self._file.size
        _check_pixels(width, height, self._part, self._limits)
        self.format: str = self._file.format or ""
        self.mode: str = self._file.mode
        end, counted = end_of(self._data, self.format)
        self.trailing_bytes = max(0, len(self._data) - end) if end else 0
        self.frames: int = self._count_frames(counted)
        self._first = self._decode(0)
        self.transparent: bool = self._file.has_transparency_data

    @property
    def visual_tokens(self) -> int:
        """How many tokens a model of the Qwen2-VL kind spends on one frame: an estimate."""
        return ceil(self.width / VISUAL_PATCH) * ceil(self.height / VISUAL_PATCH)

    def info(self) -> Mapping[str, object]:
        """The facts that a record keeps."""
        return {
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "trailing_bytes": self.trailing_bytes,
        }

    def rgb(self, max_side: int | None = None, frame: int = 0) -> Pillow.Image:
        """A frame as shown on white, turned upright, in mode RGB.

        With `max_side` it is scaled down so that neither side is longer. The picture that comes
        without scaling is shared: copy it before drawing on it.
        """
        if frame == 0:
            shown = self._first
        else:
            with self._lock, damage(self._part):
                shown = self._decode(frame)
        if max_side is None or max(shown.size) <= max_side:
            return shown
        scale = max_side / max(shown.size)
        size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
        return shown.resize(size, reducing_gap=2.0)

    def over(self, background: int | None, frame: int = 0) -> Pillow.Image:
        """A frame as shown on a grey background (0 to 255), or with its transparency left out.

        The same as `rgb` where nothing is transparent.
        """
        from PIL import ImageOps

        with self._lock, damage(self._part):
            if not self.transparent:
                return self.rgb(frame=frame)
            self._seek(frame)
            self._file.load()
            return _to_rgb(ImageOps.exif_transpose(self._file), background)

    @property
    def deep(self) -> bool:
        """Whether it is grey of 16 or 32 bits, or of floats."""
        return _is_deep(self.mode)

    def clipped(self, frame: int = 0) -> Pillow.Image:
        """A frame as it looks to those who cut deep grey off at 255 instead of scaling it.

        Pillow's own conversion does so. The same as `rgb` where grey is not deep.
        """
        from PIL import ImageOps

        with self._lock, damage(self._part):
            if not self.deep:
                return self.rgb(frame=frame)
            self._seek(frame)
            self._file.load()
            return _deep_grey(ImageOps.exif_transpose(self._file), 255.0)

    def sampled(self) -> tuple[int, ...]:
        """The frames to look at: at most `limits.max_frames`, spread evenly, first and last."""
        return spread(self.frames, self._limits.max_frames)

    def durations(self) -> list[int]:
        """How long each frame is shown, in milliseconds."""
        with self._lock, damage(self._part):
            shown = []
            for frame in range(self.frames):
                self._seek(frame)
                self._file.load()
                shown.append(int(self._file.info.get("duration", 100)))
            return shown

    def _count_frames(self, counted: int | None) -> int:
        frames = counted or int(getattr(self._file, "n_frames", 1))
        if self.format == "MPO":
            return 1  # the further pictures of an MPO are previews and depth maps
        width, height = self._file.size
        budget = ANIMATION_BUDGET * self._limits.max_image_mpx
        size = frames * width * height / 1e6
        if frames > MAX_FILE_FRAMES or (frames > 1 and size > budget):
            raise PictureError(
                self._part,
                "too_many_frames",
                f"{frames} frames of {width}×{height}, over the limit of {MAX_FILE_FRAMES} frames"
                f" and {budget:g} million pixels ({ANIMATION_BUDGET} times limits.max_image_mpx)",
            )
        return frames

    def _seek(self, frame: int) -> None:
        if self.format == "PNG" and frame < self._file.tell():
            # Pillow (13.0) loses its place in an animated PNG on the way back.
            self._file = _open(self._data, self._part)
        self._file.seek(frame)
        _check_pixels(*self._file.size, self._part, self._limits)

    def _decode(self, frame: int) -> Pillow.Image:
        from PIL import ImageOps

        if self.frames > 1 or frame:
            self._seek(frame)
        self._file.load()
        upright = ImageOps.exif_transpose(self._file)
        shown = _to_rgb(upright)
        return shown.copy() if shown is self._file else shown


def spread(frames: int, most: int) -> tuple[int, ...]:
    """At most `most` of so many frames, spread evenly, the first and the last among them."""
    if frames <= most:
        return tuple(range(frames))
    if most <= 1:
        return (0,)
    return tuple(sorted({round(i * (frames - 1) / (most - 1)) for i in range(most)}))


def open_picture(data: bytes, *, part: str, limits: Limits) -> Picture:
    """Open an encoded picture. Raises PictureError, naming `part` and the limit."""
    if not data:
        raise PictureError(part, "empty", "no bytes")
    size = len(data) / 2**20
    if size > limits.max_image_mb:
        raise PictureError(
            part,
            "too_many_bytes",
            f"{size:.1f} MiB, over the limit of {limits.max_image_mb:g} (limits.max_image_mb)",
        )
    return Picture(data, part, limits)


def cover(image: Image, areas: Sequence[Area]) -> Image:
    """The picture with the areas painted black, in the same format, without its metadata.

    An area without boxes covers the whole picture. An animation is covered in every frame.
    Raises PictureError where the picture cannot be opened or written.
    """
    from PIL import ImageDraw

    picture = image.picture
    whole = (0, 0, picture.width, picture.height)
    boxes = [box for area in areas for box in (area.boxes or (whole,))]
    frames = []
    with damage(image.name):
        for index in range(picture.frames):
            frame = picture.rgb(frame=index).copy()
            pen = ImageDraw.Draw(frame)
            for x0, y0, x1, y1 in boxes:
                pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=(0, 0, 0))
            frames.append(frame)
        data = encoded(picture, frames)
    return replace(image, data=data)


def encoded(picture: Picture, frames: list[Pillow.Image]) -> bytes:
    """The frames, without metadata, in the format of the picture that they come from."""
    for frame in frames:
        frame.info.clear()  # Pillow writes a comment it finds there
    kind = "JPEG" if picture.format == "MPO" else picture.format
    options: dict[str, Any] = {}
    if kind == "JPEG":
        options["quality"] = 95
    if kind == "WEBP":
        options["lossless"] = True
    if len(frames) > 1:
        durations = picture.durations()
        options |= {"save_all": True, "append_images": frames[1:], "loop": 0}
        if kind != "TIFF":
            options["duration"] = durations
    out = BytesIO()
    frames[0].save(out, kind, **options)
    return out.getvalue()


def _open(data: bytes, part: str) -> ImageFile:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        return Pillow.open(BytesIO(data), formats=[name for name in FORMATS if _can_open(name)])
    except UnidentifiedImageError:
        raise PictureError(part, *what_else(data)) from None


def _can_open(name: str) -> bool:
    from PIL import Image as Pillow

    Pillow.init()
    return name in Pillow.OPEN


@contextmanager
def damage(part: str) -> Iterator[None]:
    """Whatever a decoder raises becomes a PictureError, without the decoder's words."""
    try:
        yield
    except PictureError:
        raise
    except (Exception, RuntimeWarning) as error:
        name, words = type(error).__name__, str(error).lower()
        if name.startswith("DecompressionBomb"):
            code, message = "too_many_pixels", "far more pixels than a picture has"
        elif isinstance(error, (EOFError, struct.error)) or "truncated" in words:
            code, message = "truncated", "cut off before its end"
        else:
            code, message = "damaged", f"its data is damaged ({name})"
        raise PictureError(part, code, message) from None


def _check_pixels(width: int, height: int, part: str, limits: Limits) -> None:
    pixels = width * height / 1e6
    if pixels > limits.max_image_mpx:
        raise PictureError(
            part,
            "too_many_pixels",
            f"{width}×{height} is {pixels:.1f} million pixels, over the limit of "
            f"{limits.max_image_mpx:g} (limits.max_image_mpx)",
        )


def _to_rgb(picture: Pillow.Image, background: int | None = 255) -> Pillow.Image:
    from PIL import Image as Pillow

    if picture.mode == "RGB":
        return picture
    if _is_deep(picture.mode):
        return _deep_grey(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        if background is None:
            return Pillow.merge("RGB", layer.split()[:3])
        paper = Pillow.new("RGB", layer.size, (background,) * 3)
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    return picture.convert("RGB")


def _is_deep(mode: str) -> bool:
    return mode.startswith("I") or mode == "F"


def _deep_grey(picture: Pillow.Image, top: float | None = None) -> Pillow.Image:
    """Grey of 16 or 32 bits or floats in 8 bits, scaled so that `top` is white."""
    import numpy as np
    from PIL import Image as Pillow

    values = np.nan_to_num(np.asarray(picture).astype(np.float32), posinf=0.0, neginf=0.0)
    if top is None:
        top = 65535.0
        if picture.mode == "F":
            top = 1.0 if values.max(initial=0.0) <= 1.0 else 255.0
    grey = np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)
    return Pillow.fromarray(grey).convert("RGB")
