"""Pictures encoded anew before the model sees them, so that what hides in single pixels is lost.

Perturbations that mislead a model and payloads in the lowest bits live on exact pixel values. A
slight change of size and one lossy encoding take most of that away and leave what people see
(Guo et al., "Countering Adversarial Images using Input Transformations", arXiv 1711.00117). It is
no proof against an attacker who expects it. Metadata and trailing bytes go as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from guardrail.content import Image
from guardrail.image import damage, encoded

if TYPE_CHECKING:
    from PIL import Image as Pillow


@dataclass(frozen=True)
class Reencode:
    """JPEG `quality` from 30 to 95, and the `scale` of both sides, from 0.5 to 1."""

    quality: int = 85
    scale: float = 0.95


def reencoded(image: Image, how: Reencode) -> Image:
    """The picture, resampled and once through JPEG, in the format it came in.

    Raises PictureError where it cannot be opened or written.
    """
    picture = image.picture
    with damage(image.name):
        frames = [_through(picture.rgb(frame=index), how) for index in range(picture.frames)]
        return replace(image, data=encoded(picture, frames))


def _through(frame: Pillow.Image, how: Reencode) -> Pillow.Image:
    from PIL import Image as Pillow

    size = tuple(max(1, round(side * how.scale)) for side in frame.size)
    kept = BytesIO()
    frame.resize((size[0], size[1]), Pillow.Resampling.BICUBIC).save(
        kept, "JPEG", quality=how.quality
    )
    return Pillow.open(kept).convert("RGB")
