"""Dual encoders of pictures and texts: open_clip's models, and a pair of ONNX files."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import MissingExtra, NotRun
from guardrail.models import file_of, model_folder
from guardrail_detectors.sessions import session

if TYPE_CHECKING:
    from PIL import Image as Pillow

Vectors = NDArray[np.float32]
_loading = threading.RLock()


class Encoder(Protocol):
    """Puts pictures and texts into one space. All vectors have length 1."""

    identity: str

    def images(self, pictures: Sequence[Pillow.Image]) -> Vectors:
        """Vectors (n, d) of RGB pictures of any size."""
        ...

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, d) of texts."""
        ...

    def knows(self, text: str) -> bool:
        """Whether the text encoder has learned all of the text's tokens."""
        ...


class OpenClip:
    """A model of open_clip: a built-in name with pulled weights, or a folder of a checkpoint."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        try:
            import torch

            from guardrail_detectors.torchvision import mend

            mend()
            import open_clip
        except ImportError as error:
            raise MissingExtra(str(error.name), "clip") from None
        self._torch, self._lock = torch, threading.Lock()
        weights = weights_in(folder)
        try:
            if (folder / "open_clip_config.json").is_file():
                named = f"local-dir:{folder}"
                model, _, prepare = open_clip.create_model_and_transforms(named)
            else:
                named, _, tag = name.partition("/")
                options = open_clip.get_pretrained_cfg(named, tag)
                model, _, prepare = open_clip.create_model_and_transforms(
                    named,
                    pretrained=str(weights),
                    force_quick_gelu=bool(options.get("quick_gelu")),
                    image_mean=options.get("mean"),
                    image_std=options.get("std"),
                )
            self._tokenize = open_clip.get_tokenizer(named)
        except Exception as error:  # whatever a foreign checkpoint makes it raise
            raise NotRun(f"the model {name} cannot be loaded ({type(error).__name__})") from None
        self._model, self._prepare = model.eval(), prepare
        self._threads = threads
        self.identity = f"open_clip {name} {_digest(weights)}"
        table = getattr(getattr(model, "text", model), "token_embedding", None)
        self._unlearned: set[int] = set()
        if table is not None:
            empty = (table.weight.detach().float().abs().sum(1) == 0).nonzero().flatten()
            self._unlearned = set(empty.tolist()) - {0}

    def images(self, pictures: Sequence[Pillow.Image]) -> Vectors:
        """See Encoder."""
        batch = self._torch.stack([self._prepare(picture) for picture in pictures])
        return self._run(lambda: self._model.encode_image(batch, normalize=True))

    def texts(self, texts: Sequence[str]) -> Vectors:
        """See Encoder."""
        tokens = self._tokenize(list(texts))
        return self._run(lambda: self._model.encode_text(tokens, normalize=True))

    def knows(self, text: str) -> bool:
        """See Encoder."""
        return self._unlearned.isdisjoint(self._tokenize([text])[0].tolist())

    def _run(self, work: Any) -> Vectors:
        with self._lock, self._torch.inference_mode():
            before = self._torch.get_num_threads()
            self._torch.set_num_threads(self._threads)
            try:
                vectors: Vectors = work().float().numpy()
            finally:
                self._torch.set_num_threads(before)
        return vectors


class OnnxPair:
    """Two ONNX files and a tokenizer in a folder, as `optimum` and others export CLIP models:
    vision_model.onnx, text_model.onnx, tokenizer.json, preprocessor_config.json."""

    def __init__(self, folder: Path, threads: int) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(str(error.name), "transformers") from None
        try:
            vision, text = _part(folder, "vision"), _part(folder, "text")
            self._vision, self._text = session(vision, threads), session(text, threads)
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            config = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
            size = config.get("crop_size", config.get("size"))
            self._side = int(size if isinstance(size, int) else next(iter(size.values())))
            self._mean, self._std = (
                np.array(config[key], np.float32)[:, None, None]
                for key in ("image_mean", "image_std")
            )
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise NotRun(
                f"no ONNX dual encoder in {folder.name} ({type(error).__name__})"
            ) from None
        except Exception as error:  # tokenizers and onnxruntime raise types of their own
            raise NotRun(f"{folder.name} cannot be loaded ({type(error).__name__})") from None
        shape = self._text.get_inputs()[0].shape
        self._length = shape[1] if isinstance(shape[1], int) else 77
        self.identity = f"onnx {_digest(vision)} {_digest(text)}"

    def images(self, pictures: Sequence[Pillow.Image]) -> Vectors:
        """See Encoder."""
        batch = np.stack([self._prepared(picture) for picture in pictures])
        return self._run(self._vision, {self._vision.get_inputs()[0].name: batch})

    def texts(self, texts: Sequence[str]) -> Vectors:
        """See Encoder."""
        self._tokenizer.enable_truncation(self._length)
        self._tokenizer.enable_padding(length=self._length)
        coded = self._tokenizer.encode_batch(list(texts))
        given = {
            "input_ids": np.array([one.ids for one in coded], np.int64),
            "attention_mask": np.array([one.attention_mask for one in coded], np.int64),
        }
        wanted = {one.name for one in self._text.get_inputs()}
        return self._run(self._text, {k: v for k, v in given.items() if k in wanted})

    def knows(self, text: str) -> bool:
        """See Encoder."""
        unknown = self._tokenizer.token_to_id("[UNK]")
        return unknown is None or unknown not in self._tokenizer.encode(text).ids

    def _prepared(self, picture: Pillow.Image) -> Vectors:
        from PIL import Image as Pillow

        side = self._side
        scale = side / min(picture.size)
        size = (max(side, round(picture.width * scale)), max(side, round(picture.height * scale)))
        shown = picture.resize(size, Pillow.Resampling.BICUBIC)
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        shown = shown.crop((left, top, left + side, top + side))
        pixels = np.asarray(shown, np.float32).transpose(2, 0, 1) / 255
        return ((pixels - self._mean) / self._std).astype(np.float32)

    @staticmethod
    def _run(session: Any, given: dict[str, Any]) -> Vectors:
        names = [one.name for one in session.get_outputs()]
        flat = [n for n in names if n.endswith("_embeds")] or names[:1]
        (rows,) = {len(values) for values in given.values()}
        whole = not isinstance(session.get_inputs()[0].shape[0], int)  # else it takes one at a time
        batches = (
            [given] if whole else [{k: v[r : r + 1] for k, v in given.items()} for r in range(rows)]
        )
        vectors = np.concatenate([session.run(flat, batch)[0] for batch in batches])
        normal: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return normal


def _part(folder: Path, part: str) -> Path:
    for path in (folder / f"{part}_model.onnx", folder / "onnx" / f"{part}_model.onnx"):
        if path.is_file():
            return path
    raise FileNotFoundError(part)


@lru_cache(maxsize=4)
def load_encoder(kind: str, model: str, folder: Path | None, threads: int) -> Encoder:
    """Load an encoder once a process. Raises MissingExtra, or NotRun with what to do."""
    with _loading:
        if kind == "onnx":
            if folder is None or not folder.is_dir():
                raise NotRun("file: name the folder that holds the ONNX dual encoder")
            return OnnxPair(folder, threads)
        if folder is not None:
            if not folder.is_dir():
                raise NotRun(f"there is no folder {folder.name} with an open_clip checkpoint")
            return OpenClip(folder.name, folder, threads)
        return OpenClip(model, model_folder(f"open_clip/{model}"), threads)


def weights_in(folder: Path) -> Path:
    """The file of weights in a folder; NotRun where there is none."""
    return file_of(folder, (".safetensors", ".bin", ".pt", ".pth"))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
