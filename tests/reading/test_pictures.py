"""Pictures are found in ordinary arguments, and covered ones go back in kind."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from guardrail import Area, Box, ContentError, Image
from guardrail.content import Limits
from guardrail.image import cover
from guardrail.reading import read_arguments
from tests.reading.parts import PNG, URL, texts


@pytest.mark.parametrize(
    "name",
    """image images img pics photo img_path photo_path image_url input_image user_picture image1
    image_2 image_base64 img_b64 screenshot_data image_paths file_path frames""".split(),
)
def test_a_string_under_the_name_of_a_picture_is_one(name: str) -> None:
    reading = read_arguments({name: URL})
    assert [image.data for image in reading.content.images] == [PNG]
    with pytest.raises(ContentError, match="neither a file"):
        read_arguments({name: "no picture"})


@pytest.mark.parametrize("name", ["image_caption", "imagery", "epic", "time_frame", "pictured"])
def test_a_name_about_pictures_is_the_name_of_a_text(name: str) -> None:
    assert texts(read_arguments({name: "a text"})) == {name: "a text"}


def cover_corner(image: Image) -> Image:
    return cover(image, [Area(image.name, (Box(0, 0, 8, 8),))])


def array(kind: str) -> Any:
    pixels = np.full((24, 32, 3), (250, 120, 60), np.uint8)
    return {
        "hwc": pixels,
        "chw": np.moveaxis(pixels, -1, 0).copy(),
        "float": pixels.astype(np.float32) / 255,
        "grey": pixels[..., 0].copy(),
        "rgba": np.dstack([pixels, np.full((24, 32), 255, np.uint8)]),
    }[kind]


FORMS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: PNG,
    "bytearray": lambda: bytearray(PNG),
    "data url": lambda: URL,
    "base64": lambda: URL[22:],
    "file": lambda: BytesIO(PNG),
    "pillow": lambda: Pillow.open(BytesIO(PNG)),
    "pillow P": lambda: Pillow.open(BytesIO(PNG)).convert("P"),
    **{
        f"array {kind}": (lambda kind=kind: array(kind))
        for kind in ("hwc", "chw", "float", "grey", "rgba")
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_a_covered_picture_keeps_its_type(form: str) -> None:
    value = FORMS[form]()
    with read_arguments({"image": value}) as reading:
        (image,) = reading.content.images
        assert image.picture.rgb().size == (32, 24)
        new = reading.rebuild({image.name: cover_corner(image)})["image"]
    assert type(new) is type(value) or isinstance(new, Pillow.Image)
    if isinstance(value, np.ndarray):
        assert (new.shape, new.dtype) == (value.shape, value.dtype)
        assert (new != value).any()
    with read_arguments({"image": new}) as again:
        shown = np.asarray(again.content.images[0].picture.rgb(), np.int16)
    assert shown[:8, :8].max() == 0
    assert shown[10:, 10:, 0].min() > 200


def test_a_covered_file_is_a_new_file_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(PNG)
    for value in (path, str(path)):
        with read_arguments({"image": value}) as reading:
            (image,) = reading.content.images
            new = reading.rebuild({image.name: cover_corner(image)})["image"]
            assert type(new) is type(value)
            assert Path(new).suffix == ".png"
            assert Path(new).read_bytes() != PNG
        assert not Path(new).exists()
    assert path.read_bytes() == PNG


def test_a_batch_is_read_picture_by_picture() -> None:
    batch = np.stack([array("hwc"), array("hwc")])
    reading = read_arguments({"images": batch})
    one, two = reading.content.images
    new = reading.rebuild({two.name: cover_corner(two)})["images"]
    assert (new[0] == batch[0]).all()
    assert (new[1][:8, :8] == 0).all()
    both = reading.rebuild({one.name: cover_corner(one), two.name: cover_corner(two)})["images"]
    assert (both[:, :8, :8] == 0).all()
    assert (batch[:, :8, :8] != 0).any()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_frames_of_an_animation_in_memory_are_looked_at(kind: str) -> None:
    out = BytesIO()
    first, *rest = (Pillow.new("RGB", (8, 6), (20 * i, 0, 0)) for i in range(12))
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    first.save(out, kind, save_all=True, append_images=rest, **options)
    picture = Pillow.open(out)
    picture.seek(5)

    read_arguments({"image": picture}, limits=Limits(max_frames=1))
    reading = read_arguments({"image": picture}, limits=Limits(max_frames=4))

    (image,) = reading.content.images
    opened = image.picture
    reds = [opened.rgb(frame=frame).getpixel((0, 0))[0] for frame in range(opened.frames)]  # type: ignore[index]
    assert reds == [100, 0, 120, 220]
    assert picture.tell() == 5
    covered = cover(image, [Area(image.name, (Box(0, 0, 8, 6),))])
    assert (
        reading.rebuild({image.name: covered})["image"].convert("RGB").getpixel((0, 0)) == (0,) * 3
    )
