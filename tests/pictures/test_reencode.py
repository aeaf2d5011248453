"""Pictures encoded anew: what people see stays, what hides in single pixels goes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from guardrail import Guard, Image, PolicyError
from guardrail.cli.drawing import receipt
from guardrail.image import FORMATS
from guardrail.policy.load import load_policy
from guardrail.reencode import Reencode, reencoded
from tests.bench.pictures import photo

POLICY = {
    "apiVersion": "guardrail/v1",
    "policy": {"id": "anew"},
    "reencode": {"quality": 80, "scale": 0.9},
    "extract": {},
    "rules": [],
}


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"MPO"}))
def test_the_format_stays_and_the_size_shrinks(kind: str) -> None:
    out = BytesIO()
    Pillow.new("RGB", (200, 100), (90, 140, 60)).save(out, kind)
    made = reencoded(Image(out.getvalue()), Reencode()).picture
    assert made.format == kind
    assert (made.width, made.height) == (190, 95)
    assert np.abs(np.asarray(made.rgb(), int) - (90, 140, 60)).max() <= 6


def test_payloads_in_the_lowest_bits_are_gone() -> None:
    pixels = np.asarray(Pillow.open(BytesIO(photo((320, 240)))).convert("RGB")).copy()
    bits = np.random.default_rng(0).integers(0, 2, pixels.shape, np.uint8)
    out = BytesIO()
    Pillow.fromarray((pixels & 0xFE) | bits).save(out, "PNG")
    made = np.asarray(reencoded(Image(out.getvalue()), Reencode(scale=1.0)).picture.rgb())
    assert 0.45 < float(((made & 1) == bits).mean()) < 0.55
    assert np.abs(made.astype(int) - pixels).mean() < 6


def test_every_frame_is_encoded_anew_and_metadata_goes() -> None:
    out = BytesIO()
    frames = [Pillow.new("RGB", (60, 40), colour) for colour in ("red", "green", "blue")]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=[50, 60, 70])
    made = reencoded(Image(out.getvalue()), Reencode()).picture
    assert (made.frames, made.durations()) == (3, [50, 60, 70])
    jpeg = BytesIO()
    frames[0].save(jpeg, "JPEG", comment=b"a comment that stays behind")
    assert b"stays behind" not in reencoded(Image(jpeg.getvalue()), Reencode()).data


def test_the_model_gets_the_picture_encoded_anew() -> None:
    seen: list[bytes] = []

    @Guard(POLICY)
    def describe(prompt: str, image: bytes) -> str:
        seen.append(image)
        return "a receipt"

    assert describe("What is it?", receipt()) == "a receipt"
    assert seen[0] != receipt()
    assert Image(seen[0]).picture.width == round(Image(receipt()).picture.width * 0.9)


def test_a_policy_that_only_watches_changes_nothing() -> None:
    screening = Guard(POLICY | {"mode": "shadow"}).screen("Hi", [receipt()])
    assert [image.data for image in screening.content.images] == [receipt()]


def test_overlap_and_reencode_do_not_go_together() -> None:
    with pytest.raises(PolicyError, match="reencode changes what is asked"):
        load_policy(POLICY | {"overlap": True})


@pytest.mark.parametrize("wrong", [{"quality": 10}, {"scale": 0.2}, {"size": 3}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PolicyError):
        load_policy(POLICY | {"reencode": wrong})
