"""`guardrail demo`: draws pictures, runs them through a guarded call, and says what happened."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from time import perf_counter

import click

from guardrail.cli.common import load_guard, policy_option, terminal


def describe(prompt: str, image: bytes) -> str:
    """Stands where your model does: tells the size of the picture it gets and how dark it is."""
    from PIL import Image, ImageStat

    with Image.open(BytesIO(image)) as picture:
        dark = 100 - 100 * ImageStat.Stat(picture.convert("L")).mean[0] / 255
        return f"A picture of {picture.width}×{picture.height} pixels, {dark:.1f}% dark."


@click.command()
@policy_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also keep the pictures here, and what the model got where it was redacted.",
)
def demo(policy: str, out: Path | None) -> None:
    """Draw some pictures, run them through a guarded call, and see what happens."""

    from guardrail.cli.drawing import SCENES
    from guardrail.cli.report import tree
    from guardrail.errors import Blocked
    from guardrail.testing import CapturedRecords

    console = terminal()
    records = CapturedRecords()
    guard = load_guard(policy, records)
    started = perf_counter()
    guard.warm()
    console.print(f"models loaded in {1000 * (perf_counter() - started):.1f} ms\n")
    got: list[bytes] = []

    @guard
    def model(prompt: str, image: bytes) -> str:
        got.append(image)
        return describe(prompt, image)

    for number, scene in enumerate(SCENES, start=1):
        console.print(f"[bold]{number}. {scene.title}[/]")
        picture = scene.draw()
        console.print(f"prompt: {scene.prompt}")
        got.clear()
        try:
            console.print(f"answer: {model(scene.prompt, picture)}")
        except Blocked as error:
            console.print(f"[red]blocked[/]: {error}", soft_wrap=True)
        if got and got[0] != picture:
            console.print("the model got a redacted picture")
        console.print(tree(records.last.to_dict(), checks=False))
        console.print()
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{scene.name}.png").write_bytes(picture)
            if got and got[0] != picture:
                (out / f"{scene.name}.redacted.png").write_bytes(got[0])
    if out is not None:
        console.print(f"pictures: {out}", soft_wrap=True)
