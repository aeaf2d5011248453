"""What is covered is gone, and nothing else changes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from guardrail import Area, Box, Image, PictureError
from guardrail.image import cover


def noise(size: tuple[int, int], seed: int = 1) -> Pillow.Image:
    values = np.random.default_rng(seed).integers(60, 256, (size[1], size[0], 3), np.uint8)
    return Pillow.fromarray(values)


def given_as(picture: Pillow.Image, kind: str, **options: object) -> Image:
    out = BytesIO()
    picture.save(out, kind, **options)
    return Image(out.getvalue())


def pixels(image: Image, frame: int = 0) -> np.ndarray:
    return np.asarray(image.picture.rgb(frame=frame), np.int16)


boxes = st.tuples(st.integers(0, 40), st.integers(0, 30), st.integers(1, 40), st.integers(1, 30))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "BMP", "TIFF", "WEBP", "JPEG"]),
    places=st.lists(boxes, min_size=1, max_size=3),
)
def test_the_boxes_are_black_and_the_rest_is_kept(
    kind: str, places: list[tuple[int, int, int, int]]
) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    before = given_as(noise((48, 36)), kind, **options)
    area = Area("images/0", tuple(Box(x, y, x + w, y + h) for x, y, w, h in places))
    after = cover(before, [area])
    assert after.picture.format == kind
    inside = np.zeros((36, 48), bool)
    for box in area.boxes:
        inside[box.y0 : box.y1, box.x0 : box.x1] = True
    new, old = pixels(after), pixels(before)
    if kind == "JPEG":  # blocks of 16 pixels share their colours
        assert np.abs(new - np.where(inside[..., None], 0, old)).mean() < 40
        return
    assert (new[inside] == 0).all()
    assert (new[~inside] == old[~inside]).all()


def test_metadata_and_trailing_data_do_not_survive() -> None:
    exif = Pillow.Exif()
    exif[0x010E] = "a secret description"
    before = given_as(noise((40, 40)), "JPEG", exif=exif)
    before = Image(before.data + b"a secret at the end")
    after = cover(before, [Area("images/0", (Box(0, 0, 5, 5),))])
    assert b"secret" not in after.data
    assert after.picture.trailing_bytes == 0


def test_an_area_without_boxes_covers_everything() -> None:
    after = cover(given_as(noise((20, 10)), "PNG"), [Area("images/0")])
    assert not pixels(after).any()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_covered_in_every_frame(kind: str) -> None:
    frames = [Pillow.new("RGB", (30, 20), (200, 250 - 60 * i, 90)) for i in range(3)]
    before = given_as(frames[0], kind, save_all=True, append_images=frames[1:], duration=70)
    after = cover(before, [Area("images/0", (Box(0, 0, 10, 10),), frame=1)])
    assert after.picture.frames == 3
    assert after.picture.durations() == [70, 70, 70]
    for frame in range(3):
        shown = pixels(after, frame)
        assert shown[:9, :9].max() <= 8
        assert shown[12:, 12:, 0].min() > 150


def test_what_cannot_be_opened_cannot_be_covered() -> None:
    with pytest.raises(PictureError):
        cover(Image(b"nothing"), [Area("images/0")])
