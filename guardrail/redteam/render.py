"""`guardrail redteam render`: attack texts in pictures, with their labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guardrail.cli.common import A_FILE, fail, output_option

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 1600  # pixels of the longer side of a picture that is drawn on
LONGEST = 2_000  # bytes of a text; a QR code holds little more
_ENDINGS = {b"\x89PNG": "png", b"GIF8": "gif"}


@dataclass(frozen=True)
class Rendered:
    """Pictures that carry one attack text in one style; more than one where it is split."""

    style: str
    text: str
    pictures: tuple[bytes, ...]


@click.command()
@click.argument("texts", type=A_FILE)
@output_option("folder", "Where the pictures and index.jsonl go.", folder=True)
@click.option(
    "--on",
    "bases",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A picture, or a folder of pictures, to draw on; may be repeated.",
)
@click.option("--style", "styles", multiple=True, help="Only these styles; may be repeated.")
@click.option("--font", type=A_FILE)
@click.option("--seed", default=0, show_default=True)
def render(
    texts: Path,
    folder: Path,
    bases: tuple[Path, ...],
    styles: tuple[str, ...],
    font: Path | None,
    seed: int,
) -> None:
    """Draw each line of TEXTS in every style, and write what `guardrail eval injection` reads.

    TEXTS holds one attack text a line, or JSON lines with "text".
    """
    known = style_names()
    for name in styles:
        if name not in known:
            fail(f"there is no style {name!r}; there are: {', '.join(known)}")
    try:
        attacks = read_texts(texts)
        grounds = [opened(path) for path in _files(bases)]
    except (OSError, ValueError) as error:
        fail(f"{error}")
    if font is not None:
        check_font(font)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with (folder / "index.jsonl").open("w", encoding="utf-8") as index:
        for made in rendered(attacks, grounds, styles or known, font, seed):
            names = [
                f"{count + i:05}_{made.style}.{_ending(p)}" for i, p in enumerate(made.pictures)
            ]
            for name, picture in zip(names, made.pictures, strict=True):
                (folder / name).write_bytes(picture)
            row = {"label": "attack", "kind": made.style, "images": names, "drawn": made.text}
            index.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += len(names)
    click.echo(f"{count} pictures in {folder}")


def style_names() -> tuple[str, ...]:
    """The names of all styles."""
    from guardrail.redteam.styles import STYLES

    return (*STYLES, "split_in_two")


def rendered(
    texts: Sequence[str],
    bases: Sequence[Image.Image],
    styles: Sequence[str],
    font: Path | None = None,
    seed: int = 0,
) -> Iterator[Rendered]:
    """Every text in every style, each on the next of the pictures, or on a drawn one."""
    import numpy as np

    from guardrail.redteam.canvas import Typeface
    from guardrail.redteam.styles import STYLES, Order

    face = Typeface(font)
    grounds = list(bases) or [_ground(seed)]
    turn = 0
    for text in texts:
        for style in styles:
            base, chance = grounds[turn % len(grounds)], np.random.default_rng([seed, turn])
            turn += 1
            if style == "split_in_two":
                words = text.split()
                halves = (words[: len(words) // 2], words[len(words) // 2 :])
                orders = [Order(" ".join(half), base, face, chance) for half in halves]
                yield Rendered(style, text, tuple(STYLES["outline"](order) for order in orders))
            else:
                yield Rendered(style, text, (STYLES[style](Order(text, base, face, chance)),))


def read_texts(path: Path) -> list[str]:
    """The texts of a file of lines, or of JSON lines with "text". Raises ValueError."""
    texts = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            text = _text(line)
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from None
        if text:
            texts.append(text)
    if not texts:
        raise ValueError(f"{path}: no texts")
    return texts


def _text(line: bytes) -> str:
    try:
        text: object = line.decode().strip()
        if line.startswith(b"{"):
            text = json.loads(line).get("text")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("not a line of JSON") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(text, str):
        raise ValueError('no "text"')
    check_text(text)
    return text


def check_text(text: str) -> None:
    """Raises ValueError for what cannot be drawn in every style."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair cannot be drawn") from None
    if size > LONGEST:
        raise ValueError(f"a text of {size} bytes, where {LONGEST} are drawn at most")


def check_font(path: Path) -> None:
    """End the command if a file is no font."""
    from guardrail.redteam.canvas import Typeface

    try:
        Typeface(path).at(12)
    except OSError as error:
        fail(f"{path}: {error}")


def opened(path: Path) -> Image.Image:
    """A picture to draw on, no larger than needed. Raises ValueError."""
    from guardrail.content import Limits
    from guardrail.errors import PictureError
    from guardrail.image import open_picture

    try:
        return open_picture(path.read_bytes(), part=str(path), limits=Limits()).rgb(LARGEST)
    except PictureError as error:
        raise ValueError(str(error)) from None


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _ground(seed: int) -> Image.Image:
    """Soft shapes with grain, where no picture is given."""
    import numpy as np
    from PIL import Image, ImageFilter

    chance = np.random.default_rng(seed)
    small = Image.fromarray(chance.integers(40, 220, (7, 9, 3), np.uint8))
    smooth = small.resize((800, 600), Image.Resampling.BICUBIC)
    grain = chance.normal(0, 5, (600, 800, 1))
    shapes = np.asarray(smooth.filter(ImageFilter.GaussianBlur(4)))
    return Image.fromarray(np.clip(shapes + grain, 0, 255).astype(np.uint8))


def _ending(data: bytes) -> str:
    return _ENDINGS.get(data[:4], "jpg")
