"""Opening pictures safely, and covering areas of them.

Bytes are checked first, then the header, then one frame is decoded: every limit holds before
the memory it guards is spent. Whatever is wrong with a picture ends as a PictureError.
"""

from __future__ import annotations

import re
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
from guardrail.verdict import Area

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from PIL.ImageFile import ImageFile

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
ANIMATION_BUDGET = 20  # an animation may hold this many times limits.max_image_mpx in all
MAX_FILE_FRAMES = 10_000
VISUAL_PATCH = 28  # pixels a side of one visual token: Qwen2-VL, arXiv 2409.12191, section 2.1

_OTHER_KINDS = (
    (b"%PDF", "a PDF"),
    (b"\x00\x00\x00\x14ftypqt", "a video"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"PK\x03\x04", "an archive"),
    (b"ID3", "audio"),
    (b"OggS", "audio or video"),
)


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
                self._data = _without_texts(data)
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
        end, counted = _end_of(self._data, self.format)
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

    def sampled(self) -> tuple[int, ...]:
        """The frames to look at: at most `limits.max_frames`, spread evenly, first and last."""
        most = max(1, self._limits.max_frames)
        if self.frames <= most:
            return tuple(range(self.frames))
        if most == 1:
            return (0,)
        return tuple(sorted({round(i * (self.frames - 1) / (most - 1)) for i in range(most)}))

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
        raise PictureError(part, *_what_else(data)) from None


def _can_open(name: str) -> bool:
    from PIL import Image as Pillow

    Pillow.init()
    return name in Pillow.OPEN


def _what_else(data: bytes) -> tuple[str, str]:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "unsupported", "an SVG drawing, which can hold scripts: send it as PNG"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "not_a_picture", "a web page or XML, not a picture"
    for magic, kind in _OTHER_KINDS:
        if data.startswith(magic):
            return "not_a_picture", f"{kind}, not a picture"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "damaged", "its header is damaged or cut off"
    if data[4:8] == b"ftyp":
        return "unsupported", f"a video, or a picture in a format not read here ({_NAMES})"
    known = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
    if data.startswith(known):
        return "damaged", "its header is damaged or cut off"
    return "not_a_picture", f"no picture of a known format ({_NAMES})"


_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF"


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
    if picture.mode.startswith("I") or picture.mode == "F":
        return _deep_grey(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        if background is None:
            return Pillow.merge("RGB", layer.split()[:3])
        paper = Pillow.new("RGB", layer.size, (background,) * 3)
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    return picture.convert("RGB")


def _deep_grey(picture: Pillow.Image) -> Pillow.Image:
    """Grey of 16 or 32 bits or floats, scaled to 8 bits."""
    import numpy as np
    from PIL import Image as Pillow

    values = np.nan_to_num(np.asarray(picture).astype(np.float32), posinf=0.0, neginf=0.0)
    top = 65535.0
    if picture.mode == "F":
        top = 1.0 if values.max(initial=0.0) <= 1.0 else 255.0
    grey = np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)
    return Pillow.fromarray(grey).convert("RGB")


def _end_of(data: bytes, kind: str) -> tuple[int, int | None]:
    """Where the picture's data ends (0 if the format does not say), and its frames if counted."""
    if kind == "GIF":
        return _end_of_gif(data)
    if kind in ("JPEG", "MPO"):
        return _end_of_jpeg(data), None
    if kind == "PNG":
        return _end_of_png(data), None
    if kind == "WEBP":
        return 8 + int.from_bytes(data[4:8], "little"), None
    if kind == "BMP":
        return int.from_bytes(data[2:6], "little"), None
    return 0, None


_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _end_of_jpeg(data: bytes) -> int:
    at = 2
    while at + 4 <= len(data):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            return 0
        marker = data[found.start() + 1]
        if marker == 0xD9:
            return found.end()
        at = found.end()
        if marker != 0x01:
            at += int.from_bytes(data[at : at + 2], "big")
    return 0


def _end_of_png(data: bytes) -> int:
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at
    return 0


_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def _without_texts(data: bytes) -> bytes:
    """A PNG without its texts and its colour profile; anything else as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    kept, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in _TEXTS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _end_of_gif(data: bytes) -> tuple[int, int | None]:
    """GIF89a, appendix B: blocks up to the trailer, each a chain of sub-blocks."""
    frames, at = 0, 13
    if len(data) > 10 and data[10] & 0x80:
        at += 3 * 2 ** ((data[10] & 7) + 1)
    while at < len(data):
        block = data[at]
        if block == 0x3B:
            return at + 1, frames
        if block == 0x2C and at + 9 < len(data):
            frames += 1
            table = data[at + 9]
            at += 10 + (3 * 2 ** ((table & 7) + 1) if table & 0x80 else 0) + 1
        elif block == 0x21:
            at += 2
        else:
            break
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
        if frames > MAX_FILE_FRAMES:
            break
    return 0, frames or None
