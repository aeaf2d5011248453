"""An answer that names what is not in the picture, held against the picture.

With a real photograph, `model: ViT-B-32/laion2b_s34b_b79k` and `guardrail models pull` take the
place of the small CLIP that this project trains on pictures it draws.

It prints:
    The picture shows a fish and a house. There is also a [unverified: bicycle] beside them.
    invented-things: absent_entity
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from guardrail import Guard
from guardrail.testing import ScriptedModel

ROOT = Path(__file__).parents[1]


def drawing() -> bytes:
    """A red fish and a blue house."""
    from PIL import ImageDraw

    picture = Image.new("RGB", (128, 128), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((20, 14, 60, 38), fill=(214, 30, 38))
    pen.polygon([(24, 26), (6, 10), (6, 42)], fill=(214, 30, 38))
    pen.ellipse((50, 22, 55, 27), fill="white")
    pen.polygon([(94, 64), (120, 88), (68, 88)], fill=(34, 82, 208))
    pen.rectangle((74, 86, 114, 118), fill=(34, 82, 208))
    pen.rectangle((89, 98, 99, 118), fill="white")
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


records = []
guard = Guard(ROOT / "tests/entities/drawn_clip/policy.yaml", sinks=[records.append])
answer = "The picture shows a fish and a house. There is also a bicycle beside them."
describe = guard(ScriptedModel([answer]))

print(describe(prompt="What is in this picture?", images=[drawing()]))
for rule in records[-1].stages[-1].verdict.rules:
    if rule.findings:
        print(f"{rule.rule}: {rule.label}")
