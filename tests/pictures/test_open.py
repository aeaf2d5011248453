"""Pictures of every format are opened; broken, huge and foreign files are told apart."""

from __future__ import annotations

import logging
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw, features

from guardrail import Image, Limits, PictureError
from guardrail.image import ANIMATION_BUDGET, Picture, open_picture
from guardrail.image_bytes import MAX_FILE_FRAMES

LIMITS = Limits()


def drawn(size: tuple[int, int] = (60, 40), mode: str = "RGB") -> Pillow.Image:
    picture = Pillow.new("RGB", size, (200, 30, 30))
    ImageDraw.Draw(picture).rectangle((0, 0, 9, 9), fill=(0, 0, 255))
    return picture.convert(mode)


def encoded(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes, limits: Limits = LIMITS) -> Picture:
    return open_picture(data, part="images/0", limits=limits)


KINDS = [
    ("JPEG", "RGB", {"quality": 95}),
    ("JPEG", "CMYK", {"quality": 95}),
    ("JPEG", "L", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "LA", {}),
    ("PNG", "P", {}),
    ("PNG", "1", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "CMYK", {"compression": "tiff_lzw"}),
    ("TIFF", "F", {}),
]
if features.check("avif"):
    KINDS.append(("AVIF", "RGB", {"quality": 95}))


def sample(kind: str, mode: str, options: dict[str, object]) -> bytes:
    if mode == "I;16":
        grey = np.asarray(drawn(mode="L")).astype(np.uint16) * 257
        return encoded(Pillow.fromarray(grey), kind, **options)
    if mode == "F":
        grey = np.asarray(drawn(mode="L")).astype(np.float32) / 255
        return encoded(Pillow.fromarray(grey), kind, **options)
    picture = drawn().quantize(16) if mode == "P" else drawn(mode=mode)
    return encoded(picture, kind, **options)


@pytest.mark.parametrize(("kind", "mode", "options"), KINDS)
def test_every_kind_is_shown_as_rgb(kind: str, mode: str, options: dict[str, object]) -> None:
    picture = opened(sample(kind, mode, options))
    shown = picture.rgb()
    assert (picture.format, shown.mode, shown.size) == (kind, "RGB", (60, 40))
    coloured = mode in ("RGB", "RGBA", "CMYK", "P")
    wanted = drawn() if coloured else drawn(mode="L").convert("RGB")
    if mode == "1":
        wanted = drawn(mode="1").convert("RGB")
    difference = np.abs(np.asarray(shown, np.int16) - np.asarray(wanted, np.int16))
    assert difference.mean() < 12
    assert picture.trailing_bytes == 0


@pytest.mark.parametrize(("kind", "mode", "options"), KINDS)
def test_a_cut_off_file_is_an_error(kind: str, mode: str, options: dict[str, object]) -> None:
    data = sample(kind, mode, options)
    for part in (0.5, 0.8):
        with pytest.raises(PictureError) as caught:
            opened(data[: int(len(data) * part)])
        assert caught.value.code in ("truncated", "damaged")
        assert str(caught.value).startswith("images/0: ")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    picture = opened(encoded(drawn(), "PNG", exif=exif))
    turned = orientation >= 5
    assert (picture.width, picture.height) == ((40, 60) if turned else (60, 40))
    corners = {1: (2, 2), 2: (57, 2), 3: (57, 37), 4: (2, 37)}
    corners |= {5: (2, 2), 6: (37, 2), 7: (37, 57), 8: (2, 57)}
    assert picture.rgb().getpixel(corners[orientation]) == (0, 0, 255)


def test_transparency_is_shown_on_white() -> None:
    clear = Pillow.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert opened(encoded(clear, "PNG")).rgb().getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_frames_are_sampled_and_decoded(kind: str) -> None:
    frames = [Pillow.new("RGB", (20, 20), (10 * i, 0, 0)) for i in range(20)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    picture = opened(data, Limits(max_frames=4))
    assert picture.frames == 20
    assert picture.sampled() == (0, 6, 13, 19)
    red = picture.rgb(frame=19).getpixel((5, 5))
    assert isinstance(red, tuple)
    assert abs(red[0] - 190) <= 6
    assert opened(data, Limits(max_frames=1)).sampled() == (0,)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_frames_are_decoded_in_any_order(kind: str) -> None:
    """Each of several extractors asks for the frames from the first one on."""
    frames = [Pillow.new("RGB", (400, 200), (120 + 2 * i, 210, 220 - i)) for i in range(60)]
    ImageDraw.Draw(frames[37]).text((5, 80), "hello there " * 5, (0, 0, 0))
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = opened(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    for frame in (59, 0, 37, 8, 36, 8, 59, 1, 0, 2):
        dark = np.asarray(picture.rgb(frame=frame)).min() < 100
        assert dark == (frame == 37)
    assert len(picture.durations()) == 60
    picture.rgb(frame=8)


def test_scaling_keeps_the_proportions_and_never_enlarges() -> None:
    picture = opened(encoded(drawn((600, 300)), "PNG"))
    assert picture.rgb(max_side=200).size == (200, 100)
    assert picture.rgb(max_side=1000).size == (600, 300)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "empty", "no bytes"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "unsupported", "SVG"),
        (b"<!DOCTYPE html><p>", "not_a_picture", "web page"),
        (b"%PDF-1.7 ...", "not_a_picture", "PDF"),
        (b"just words", "not_a_picture", "known format"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 50, "unsupported", "video"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 50, "unsupported", "HEIC"),
        (b"\xff\xd8\xff", "damaged", "header"),
        (b"\x89PNG\r\n\x1a\n", "damaged", "header"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, code: str, words: str) -> None:
    with pytest.raises(PictureError) as caught:
        opened(data)
    assert caught.value.code == code
    assert words in str(caught.value)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [8_000, 12_000, 40_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(PictureError) as caught:
        opened(png_header(side, side))
    assert caught.value.code == "too_many_pixels"


def test_limits_are_named_with_what_was_measured() -> None:
    data = encoded(drawn((300, 200)), "PNG")
    with pytest.raises(PictureError) as caught:
        opened(data, Limits(max_image_mpx=0.01))
    assert str(caught.value) == (
        "images/0: 300×200 is 0.1 million pixels, over the limit of 0.01 (limits.max_image_mpx)"
    )
    with pytest.raises(PictureError, match=r"over the limit of 1e-05 \(limits.max_image_mb\)"):
        opened(data, Limits(max_image_mb=1e-5))


def test_an_animation_of_too_many_frames_is_refused() -> None:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    with pytest.raises(PictureError) as caught:
        opened(head + frame * (MAX_FILE_FRAMES + 5) + b"\x3b")
    assert caught.value.code == "too_many_frames"
    wide = [Pillow.new("L", (100, 100), i) for i in range(40)]
    data = encoded(wide[0], "GIF", save_all=True, append_images=wide[1:])
    with pytest.raises(PictureError, match="40 frames"):
        opened(data, Limits(max_image_mpx=0.3 / ANIMATION_BUDGET))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_data_behind_the_end_is_counted(kind: str) -> None:
    data = encoded(drawn(), kind)
    assert opened(data + b"a hidden video").trailing_bytes == 14


def test_facts_are_plain_data() -> None:
    picture = opened(encoded(drawn(), "PNG"))
    assert picture.info() == {
        "format": "PNG",
        "width": 60,
        "height": 40,
        "frames": 1,
        "trailing_bytes": 0,
    }
    assert picture.visual_tokens == 3 * 2


SAMPLES = [sample(*kind) for kind in KINDS]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_no_damage_escapes_as_another_error(data: bytes, draw: st.DataObject) -> None:
    broken = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 6))):
        broken[draw.draw(st.integers(0, len(broken) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(broken)))
    for attempt in (bytes(broken), bytes(broken[:cut]), bytes(data[:cut])):
        try:
            picture = Image(attempt).picture
            for frame in picture.sampled():
                assert picture.rgb(frame=frame).mode == "RGB"
        except PictureError as error:
            assert error.part == "images/0"


@given(st.binary(max_size=200))
def test_any_bytes_open_or_are_refused(data: bytes) -> None:
    with pytest.raises(PictureError):
        opened(data)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_metadata_is_in_no_log(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    exif = Pillow.Exif()
    exif[0x010E] = "of Jane Doe"
    exif[0x0112] = 6
    data = encoded(drawn(), kind, exif=exif)
    caplog.clear()
    opened(data).rgb()
    assert "Jane" not in caplog.text
