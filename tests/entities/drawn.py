"""The small CLIP that is trained for tests, as the check takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.drawn_clip.shapes import NOUNS

FOLDER = Path(__file__).parent / "drawn_clip"
ARGUMENTS: dict[str, Any] = {
    "file": str(FOLDER),
    "distractors": list(NOUNS),
    "templates": ["{}", "a picture of {}", "a drawing of {}", "there is {}", "an image with {}"],
    "read": False,
}
