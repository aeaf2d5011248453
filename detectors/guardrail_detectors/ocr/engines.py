"""The two models of an OCR engine behind one interface, as two packages run them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from guardrail.errors import MissingExtra, NotRun
from guardrail_detectors.ocr.weights import without_denormals
from guardrail_detectors.sessions import session

if TYPE_CHECKING:
    import numpy as np
    from onnxruntime import InferenceSession

    Array = np.ndarray[Any, Any]

DETECTOR, RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
EIGHT_BIT = Path(__file__).parent / "models"  # the same models in 8 bits, made by this project
SURE_BOX = 0.5  # how sure the finder is of a line that is worth reading
KEPT = 640 * 640  # pixels of a picture whose working memory the finder keeps for the next one
HEIGHT = 48  # pixels of a line as the recogniser takes it
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, in the models' config


class Found(NamedTuple):
    """The corners (4, 2) of a line, from its top left, clockwise; how sure the finder is, to 1."""

    corners: Array
    sure: float


class Engine(Protocol):
    """Finds and reads lines; pictures are BGR arrays of bytes."""

    def find(self, picture: Array, least: float = SURE_BOX) -> list[Found]:
        """The lines in a picture of which the finder is at least as sure as `least`."""
        ...

    def glance(self, picture: Array, least: float = SURE_BOX) -> list[Found]:
        """The same, found cheaply."""
        ...

    def skim(self, line: Array) -> tuple[str, float]:
        """The text of a line of height 48, read cheaply, and its mean confidence in [0, 1]."""
        ...

    def read(self, line: Array) -> tuple[str, float]:
        """The same, read exactly."""
        ...


@lru_cache(maxsize=4)
def load_engine(name: str, threads: int) -> Engine:
    """Load an engine once a process. Raises MissingExtra or NotRun."""
    with _loading:
        return _Rapid(threads) if name == "rapidocr" else _Paddle(threads)


_loading = threading.Lock()


def models_folder() -> Path:
    """Where the rapidocr package keeps its models."""
    from importlib.util import find_spec

    found = find_spec("rapidocr")
    if found is None or found.origin is None:
        raise NotRun("rapidocr is not installed")
    return Path(found.origin).parent / "models"


def finder_input(picture: Array) -> Array:
    """A BGR picture as the finder takes it: sides multiples of 32, colours as in its config."""
    import cv2
    import numpy as np

    height, width = picture.shape[:2]
    size = tuple(max(32, round(side / 32) * 32) for side in (width, height))
    values = cv2.resize(picture, size).astype(np.float32)
    values -= np.array(_MEAN, np.float32) * 255
    values *= 1 / (np.array(_STD, np.float32) * 255)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def opened(model: Path, threads: int, *, arena: bool = False) -> InferenceSession:
    """A session with the weights of a file. Raises NotRun where it has none."""
    try:
        return session(without_denormals(model), threads, arena=arena)
    except Exception as error:
        raise NotRun(f"the model {model.name} cannot be loaded ({type(error).__name__})") from None


class _Rapid:
    def __init__(self, threads: int) -> None:
        from onnxruntime import RunOptions

        self._finder = opened(models_folder() / DETECTOR, threads, arena=True)
        self._once = RunOptions()
        self._once.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._glancer = opened(EIGHT_BIT / DETECTOR, threads, arena=True)
        self._reader = opened(models_folder() / RECOGNISER, threads)
        self._skimmer = opened(EIGHT_BIT / RECOGNISER, threads)
        kept = self._reader.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ["", *kept, " "]

    def find(self, picture: Array, least: float = SURE_BOX) -> list[Found]:
        return self._found(self._finder, picture, least)

    def glance(self, picture: Array, least: float = SURE_BOX) -> list[Found]:
        return self._found(self._glancer, picture, least)

    def _found(self, finder: Any, picture: Array, least: float) -> list[Found]:
        import numpy as np
        from rapidocr.ch_ppocr_det.utils import DBPostProcess

        values = finder_input(picture)
        large = values.shape[2] * values.shape[3] > KEPT
        heat = finder.run(None, {"x": values}, self._once if large else None)[0]
        boxes = DBPostProcess(
            thresh=0.3, box_thresh=least, unclip_ratio=1.6, use_dilation=True, score_mode="fast"
        )
        corners, sure = boxes(heat, picture.shape[:2])
        quads = np.asarray(corners, np.float32).reshape(-1, 4, 2)
        return [Found(quad, float(score)) for quad, score in zip(quads, sure, strict=True)]

    def skim(self, line: Array) -> tuple[str, float]:
        return self._decoded(self._skimmer, line)

    def read(self, line: Array) -> tuple[str, float]:
        return self._decoded(self._reader, line)

    def _decoded(self, reader: Any, line: Array) -> tuple[str, float]:
        """Greedy CTC (Graves et al. 2006): the best class of each step, repeats joined."""
        import numpy as np

        values = (line.astype(np.float32) * (2 / 255) - 1).transpose(2, 0, 1)[None]
        steps = reader.run(None, {"x": values})[0][0]
        best = steps.argmax(axis=1)
        kept = (best > 0) & np.concatenate([[True], best[1:] != best[:-1]])
        if not kept.any():
            return "", 0.0
        sure = steps[np.arange(len(best)), best][kept]
        return "".join(self._characters[i] for i in best[kept]), float(sure.mean())


class _Paddle:
    def __init__(self, threads: int) -> None:
        os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
        try:
            from paddleocr import TextDetection, TextRecognition
        except ImportError:
            raise MissingExtra("paddleocr", "paddleocr") from None
        self._lock = threading.Lock()  # its predictors keep state between calls
        config = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        options = {"engine": "onnxruntime", "device": "cpu", "engine_config": config}
        folders = _paddle_folders()
        self._finder = TextDetection(
            model_name="PP-OCRv6_small_det",
            model_dir=str(folders["det"]),
            limit_side_len=4096,
            limit_type="max",
            thresh=0.3,
            box_thresh=0.5,
            unclip_ratio=1.6,
            **options,
        )
        self._reader = TextRecognition(
            model_name="PP-OCRv6_small_rec", model_dir=str(folders["rec"]), **options
        )

    def find(self, picture: Array, least: float = SURE_BOX) -> list[Found]:
        import numpy as np

        with self._lock:
            (result,) = self._finder.predict(picture, batch_size=1, box_thresh=least)
        found = zip(result["dt_polys"], result["dt_scores"], strict=True)
        return [Found(np.asarray(quad, np.float32), float(score)) for quad, score in found]

    def glance(self, picture: Array, least: float = SURE_BOX) -> list[Found]:
        return self.find(picture, least)

    def skim(self, line: Array) -> tuple[str, float]:
        return self.read(line)

    def read(self, line: Array) -> tuple[str, float]:
        with self._lock:
            (result,) = self._reader.predict(line, batch_size=1)
        return str(result["rec_text"]), float(result["rec_score"])


def _paddle_folders() -> dict[str, Path]:
    """Folders as PaddleOCR wants them: the ONNX file, and how it is fed and read, beside it."""
    import tempfile

    import yaml

    base = Path(tempfile.mkdtemp(prefix="guardrail-ocr-"))
    reader = opened(models_folder() / RECOGNISER, 1)
    characters = reader.get_modelmeta().custom_metadata_map["character"]
    forms: dict[str, tuple[str, dict[str, Any]]] = {
        "det": (DETECTOR, _detection_form()),
        "rec": (RECOGNISER, _recognition_form(characters.splitlines())),
    }
    folders = {}
    for kind, (model, form) in forms.items():
        folder = base / kind
        folder.mkdir()
        (folder / "inference.onnx").write_bytes(without_denormals(models_folder() / model))
        (folder / "inference.yml").write_text(yaml.safe_dump(form, allow_unicode=True), "utf-8")
        folders[kind] = folder
    return folders


def _detection_form() -> dict[str, Any]:
    steps: Sequence[Any] = [
        {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
        {"DetResizeForTest": {"resize_long": 960}},
        {
            "NormalizeImage": {
                "mean": list(_MEAN),
                "std": list(_STD),
                "scale": "1./255.",
                "order": "hwc",
            }
        },
        {"ToCHWImage": None},
        {"KeepKeys": {"keep_keys": ["image", "shape"]}},
    ]
    after = {
        "name": "DBPostProcess",
        "thresh": 0.3,
        "box_thresh": 0.5,
        "max_candidates": 1000,
        "unclip_ratio": 1.6,
    }
    return {
        "Global": {"model_name": "PP-OCRv6_small_det"},
        "PreProcess": {"transform_ops": list(steps)},
        "PostProcess": after,
    }


def _recognition_form(characters: list[str]) -> dict[str, Any]:
    return {
        "Global": {"model_name": "PP-OCRv6_small_rec"},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"RecResizeImg": {"image_shape": [3, HEIGHT, 320]}},
                {"KeepKeys": {"keep_keys": ["image"]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": characters},
    }
