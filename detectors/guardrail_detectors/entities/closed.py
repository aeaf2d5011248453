"""Presence by an object detector with a fixed list of classes, given as an ONNX file.

The picture is looked at whole and in overlapping tiles, and mirrored; then the best candidates of
the thing that was asked for are cut out with what is around them, at two zooms, and looked at
again. The log-odds of whole, tiles and zooms are averaged (the geometric opinion pool); finer tiles
only give candidates. A word that means none of the classes is
unknown, and the backend abstains.

The file takes pictures float32 [1, 3, S, S] (BGR, 0 to 255, pasted at the top left, padded with
114) and gives [1, N, 5 + classes]: centre and size of each box, objectness and class scores, as
the YOLOX models are exported (Ge et al., arXiv 2107.08430; Apache-2.0).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardrail.content import Box, Image
from guardrail.errors import NotRun
from guardrail_detectors.entities.backend import Asked, Seen
from guardrail_detectors.entities.calibration import Calibration, Logistic
from guardrail_detectors.entities.kept import Kept
from guardrail_detectors.sessions import session

if TYPE_CHECKING:
    from PIL import Image as Pillow

Floats = NDArray[np.float32]

MAX_SIDE = 1280  # pixels of the longer side at which the picture is looked at
GRIDS = ((1, 1.0), (2, 0.625), (3, 0.45))  # tiles a side, and each one's share of the side
ZOOMS = (2.6, 5.0)  # a candidate's surroundings, in sizes of its box
CANDIDATES = 2
LEAST = 1e-3  # scores below it say the same: one view that sees nothing is no veto
_ALONE = 1e-5  # ... where there is one view only
FLOOR = 0.003  # boxes below it are dropped
COUNTED = 0.4  # a box is counted from here
_STRIDES = (8, 16, 32)
_PADDING = 114

# Fitted to YOLOX-Nano on 96 photographs of COCO val2017, see docs/entities.md.
DEFAULT = Calibration(
    {"presence": Logistic((0.95,), 2.86), "count": Logistic((-6.3,), 1.8)}, abstain=(0.35, 0.65)
)


class Found(NamedTuple):
    """What was found in one view: boxes (n, 4) in pixels of the picture as looked at, and scores
    (n, classes) in [0, 1]."""

    boxes: Floats
    scores: Floats


class Model:
    """A loaded detector. Raises NotRun where the file is none with so many classes."""

    def __init__(self, path: Path, classes: int, threads: int) -> None:
        try:
            data = path.read_bytes()
            self._session: Any = session(data, threads)
        except OSError:
            raise NotRun(f"there is no detector file {path.name}") from None
        except Exception as error:  # onnxruntime raises types of its own
            raise NotRun(f"{path.name} cannot be loaded ({type(error).__name__})") from None
        self.digest = sha256(data).hexdigest()[:16]
        (given,) = self._session.get_inputs()
        self._name, self._side = given.name, given.shape[-1]
        if not isinstance(self._side, int) or self._side % max(_STRIDES):
            raise NotRun(f"{path.name} takes pictures of {given.shape}, not of a fixed square")
        cells = [self._side // stride for stride in _STRIDES]
        self._grid = np.concatenate(
            [np.stack(np.meshgrid(range(n), range(n)), -1).reshape(-1, 2) for n in cells]
        )
        self._stride = np.repeat(_STRIDES, [n * n for n in cells])[:, None]
        expected = (len(self._grid), 5 + classes)
        out = self._session.run(None, {self._name: np.zeros(given.shape, np.float32)})[0]
        if out.shape[1:] != expected:
            raise NotRun(f"{path.name} gives {out.shape[1:]}, not {expected} for {classes} classes")

    def find(self, picture: Pillow.Image, *, mirrored: bool = False) -> Found:
        """What is in a picture; boxes in its own pixels."""
        from PIL import Image as Pillow

        if mirrored:
            picture = picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
        ratio = self._side / max(picture.size)
        size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
        pixels = np.full((self._side, self._side, 3), _PADDING, np.float32)
        small = picture.resize(size, Pillow.Resampling.BILINEAR)
        pixels[: size[1], : size[0]] = np.asarray(small)[:, :, ::-1]
        given = {self._name: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}
        rows = self._session.run(None, given)[0][0]
        scores = rows[:, 4:5] * rows[:, 5:]
        kept = scores.max(1) > FLOOR
        middle = (rows[kept, :2] + self._grid[kept]) * self._stride[kept] / ratio
        half = np.exp(np.clip(rows[kept, 2:4], -10, 10)) * self._stride[kept] / ratio / 2
        boxes = np.concatenate([middle - half, middle + half], 1).astype(np.float32)
        if mirrored:
            boxes[:, [0, 2]] = picture.width - boxes[:, [2, 0]]
        return Found(boxes, scores[kept])


class Closed:
    """The backend over a detector; `words` are those it knows, with the index of their class."""

    scripts = frozenset({"latin"})

    def __init__(self, model: Model, words: dict[str, int], crops: int = 3) -> None:
        self._model, self._words, self._crops = model, words, crops
        self._views, self._zooms = Kept[list[Found]](200), Kept[list[float]](5_000)
        self.identity = f"detector {model.digest} {sorted(words.items())} {crops}"

    def calibration(self) -> Calibration:
        """See Backend."""
        return DEFAULT

    def similarity(self, image: Image, text: str) -> float | None:
        """See Backend: a detector reads no texts."""
        return None

    def look(self, image: Image, asked: Sequence[Asked]) -> list[Seen]:
        """See Backend. The feature of presence is the mean log-odds over the groups of views; of
        a count, how far it is from the number of boxes, as a share of the greater."""
        seen = []
        for one in asked:
            place = next((self._words[n] for n in one.names if n in self._words), None)
            seen.append(Seen() if place is None else self._seen(image, place, one.count))
        return seen

    def _seen(self, image: Image, place: int, claimed: int | None) -> Seen:
        picture = image.picture.rgb(max_side=MAX_SIDE)
        views = self._views.one(image.sha256, lambda: list(self._looked(picture)))
        boxes, scores = _merged(views, place)
        least = LEAST if self._crops > 1 else _ALONE
        seen = [log_odds(view.scores[:, place].max(initial=0), least) for view in views]
        if self._crops > 1:
            zoomed = self._zooms.one(
                (image.sha256, place), lambda: self._zoomed(picture, boxes[:CANDIDATES], place)
            )
            weighed = seen[:4]  # finer tiles give candidates only
            pairs = [
                (one + mirror) / 2 for one, mirror in zip(weighed[::2], weighed[1::2], strict=True)
            ]
            seen = [*pairs, *zoomed]
        count = None
        if claimed is not None:
            whole = views[: 2 if self._crops > 1 else 1]  # tiles show parts of things as things
            number = int((_merged(whole, place, least=0.5)[1] >= COUNTED).sum())
            count = (abs(number - claimed) / max(number, claimed),) if number else None
        scale = image.picture.width / picture.width
        heat = tuple(
            (Box(*(round(float(side) * scale) for side in box)), float(score))
            for box, score in zip(boxes[:5], scores[:5], strict=True)
        )
        return Seen((float(np.mean(seen)),), None, count, heat)

    def _looked(self, picture: Pillow.Image) -> Iterator[Found]:
        """The picture and each grid of tiles, as they are and mirrored; tiles put together."""
        for side, share in GRIDS[: self._crops]:
            corners = [
                (picture.width * (1 - share) * x, picture.height * (1 - share) * y)
                for y in np.linspace(0, 1, side)
                for x in np.linspace(0, 1, side)
            ]
            for mirrored in (False, True)[: 2 if self._crops > 1 else 1]:
                tiles = []
                for x, y in corners:
                    right, bottom = x + picture.width * share, y + picture.height * share
                    area = (round(x), round(y), round(right), round(bottom))
                    found = self._model.find(picture.crop(area), mirrored=mirrored)
                    tiles.append(Found(found.boxes + _at(area), found.scores))
                yield Found(*(np.concatenate(arrays) for arrays in zip(*tiles, strict=True)))

    def _zoomed(self, picture: Pillow.Image, boxes: Floats, place: int) -> list[float]:
        """For each zoom the log-odds of the best candidate, cut out with its surroundings."""
        best = [log_odds(0)] * len(ZOOMS)
        for box in boxes:
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            side = max(float((box[2:] - box[:2]).max()), 24.0)
            for number, zoom in enumerate(ZOOMS):
                half = side * zoom / 2
                area = (
                    max(0, int(x - half)),
                    max(0, int(y - half)),
                    min(picture.width, int(x + half) + 1),
                    min(picture.height, int(y + half) + 1),
                )
                scored = []
                for mirrored in (False, True):
                    found = self._model.find(picture.crop(area), mirrored=mirrored)
                    same = overlaps(box, found.boxes + _at(area)) > 0.3
                    scored.append(log_odds(found.scores[same, place].max(initial=0)))
                best[number] = max(best[number], float(np.mean(scored)))
        return best


def log_odds(score: float, least: float = LEAST) -> float:
    """Of a score in [0, 1], which is kept off the ends."""
    p = min(max(float(score), least), 1 - least)
    return float(np.log(p / (1 - p)))


def overlaps(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of a box with each of (n, 4) boxes."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    share: Floats = shared / (areas - shared + 1e-6)
    return share


def _merged(views: Sequence[Found], place: int, *, least: float = 0.4) -> tuple[Floats, Floats]:
    """The boxes of a class over all views, the best first; of those that cover one another by
    `least` the best alone."""
    boxes = np.concatenate([view.boxes for view in views])
    scores = np.concatenate([view.scores[:, place] for view in views])
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > FLOOR][:300]
    kept: list[int] = []
    for row in order:
        if (boxes[row, 2:] - boxes[row, :2]).min() < 4:
            continue
        if not kept or overlaps(boxes[row], boxes[kept]).max() < least:
            kept.append(int(row))
    return boxes[kept], scores[kept]


def _at(area: tuple[int, int, int, int]) -> Floats:
    return np.array([area[0], area[1], area[0], area[1]], np.float32)


_loading = threading.Lock()


@lru_cache(maxsize=4)
def load_detector(path: Path, classes: int, threads: int) -> Model:
    """Load a detector once a process."""
    with _loading:
        return Model(path, classes, threads)
