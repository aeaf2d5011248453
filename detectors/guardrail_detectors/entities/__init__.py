"""What an answer says is in a picture, held against the picture.

Claims are read out of the answer (`claims`, `fields`), looked for by a backend (`contrast` over a
dual encoder such as CLIP, or `closed` over an object detector), and what the answer says it read
is looked up in the text of the picture (`grounding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from guardrail.detector import Detector, Spec, View
from guardrail.models import models_home
from guardrail.verdict import Finding
from guardrail_detectors.entities.backend import Backend
from guardrail_detectors.entities.calibration import read_calibration
from guardrail_detectors.entities.check import NAME, Check
from guardrail_detectors.entities.classes import COCO, vocabulary
from guardrail_detectors.entities.fields import NAMES

LABELS = (
    "absent_entity", "wrong_colour", "wrong_count", "false_premise", "box_outside", "misplaced",
    "unread_quote", "unread_number", "unread_name", "unchecked", "dissimilar",
)  # fmt: skip
KEPT = frozenset({"unchecked", "dissimilar"})
SCRIPTS = ("latin", "han", "kana", "hangul", "cyrillic", "arabic", "greek", "hebrew", "devanagari")
VERSION = "1"


def entities(
    *,
    backend: Literal["open_clip", "onnx", "detector"] = "open_clip",
    model: str = "ViT-B-32/laion2b_s34b_b79k",
    file: str | None = None,
    calibration: str | None = None,
    abstain: list[float] | None = None,
    classes: list[str] | None = None,
    synonyms: dict[str, list[str]] | None = None,
    templates: list[str] | None = None,
    distractors: list[str] | None = None,
    crops: int | None = None,
    scripts: list[str] | None = None,
    fields: list[str] | None = None,
    ignore: list[str] | None = None,
    read: bool = True,
    heat: bool = False,
    threads: int = 1,
) -> Detector:
    """Finds what an answer claims and its pictures do not show; the score is the probability.

    On output: absent_entity, wrong_colour, wrong_count, box_outside, misplaced (of structured
    answers with boxes), unread_quote, unread_number and unread_name. On input: false_premise, a
    thing that the question takes for granted. Kept in the record, and acting only where a policy
    names them: unchecked (the share of claims that could not be judged) and dissimilar (1 minus
    the cosine of picture and whole answer).

    backend: "open_clip" (extra `clip`), "onnx" (a dual encoder as two ONNX files, extra
        `transformers` for its tokenizer), or "detector" (an object detector as an ONNX file;
        words that mean none of its classes are not judged).
    model: "NAME/TAG" of open_clip, whose weights `guardrail models pull open_clip/NAME/TAG`
        fetched.
    file: instead, the folder of an open_clip checkpoint or of the ONNX files; for "detector" its
        file. Relative to the policy's folder.
    calibration: a file that `guardrail eval entities --fit` wrote for this model.
    abstain: two probabilities of presence; between them nothing is said [0.35, 0.65].
    classes: of "detector", in the order of its outputs [COCO's 80].
    synonyms: of "detector", further words for a class.
    templates: sentences with {} for the entity, whose mean is its prompt.
    distractors: other things that an entity is compared with [COCO's 80].
    crops: 1 looks at the whole picture only, 2 also at 4 tiles of it, 3 at 9 more [2; 3 for
        "detector"].
    scripts: those that the text encoder knows [latin]; other text is not run.
    fields: keys of structured answers whose values name things.
    ignore: names that are never checked.
    read: compare quotes, numbers, dates and names with the text read out of the picture.
    heat: keep with each finding where the thing was looked for, and how it scored there.
    threads: of torch or onnxruntime, a run.
    """
    low, high = _band(abstain)
    tiles = crops if crops is not None else 3 if backend == "detector" else 2
    if tiles not in (1, 2, 3):
        raise ValueError("crops: 1, 2 or 3")
    if threads < 1:
        raise ValueError("threads: must be at least 1")
    if backend == "detector" and file is None:
        raise ValueError("file: name the detector's ONNX file")
    for template in templates or ():
        if "{}" not in template:
            raise ValueError("templates: {} stands for the entity")
    for script in scripts or ():
        if script not in SCRIPTS:
            raise ValueError(f"scripts: choose some of {', '.join(SCRIPTS)}, not {script!r}")
    named = tuple(classes or COCO)
    for name in synonyms or {}:
        if name not in named:
            raise ValueError(f"synonyms: {name!r} is none of the classes")
    path = None if file is None else Path(file)

    @lru_cache(maxsize=1)
    def load() -> Check:
        made = _backend(
            backend, model, path, named, synonyms or {}, templates, distractors, tiles,
            scripts, threads,
        )  # fmt: skip
        fitted = made.calibration() if calibration is None else read_calibration(Path(calibration))
        return Check(
            backend=made,
            calibration=fitted,
            abstain=(low, high) if abstain else fitted.abstain or (low, high),
            fields=frozenset(name.lower() for name in fields) if fields else NAMES,
            ignore=frozenset(name.lower() for name in ignore or ()),
            read=read,
            heat=heat,
        )

    def run(view: View) -> Sequence[Finding]:
        return load().run(view)

    spec = Spec(
        name=NAME,
        version="/".join([VERSION, *_stamps(backend, model, path, calibration)]),
        labels=LABELS,
        reads=frozenset({"text", "image"}),
        scope="call",
        threshold=0.65,
        model=f"{backend}:{path.name if path else model}",
        reads_beside=read,
        by_name=KEPT,
    )
    return Detector(spec, run, load)


def _band(abstain: list[float] | None) -> tuple[float, float]:
    if abstain is None:
        return 0.35, 0.65
    if len(abstain) != 2 or not 0 <= abstain[0] <= abstain[1] <= 1:
        raise ValueError("abstain: two probabilities, the lower first")
    return abstain[0], abstain[1]


def _backend(
    kind: str,
    model: str,
    path: Path | None,
    classes: Sequence[str],
    synonyms: dict[str, list[str]],
    templates: list[str] | None,
    distractors: list[str] | None,
    crops: int,
    scripts: list[str] | None,
    threads: int,
) -> Backend:
    if kind == "detector":
        from guardrail_detectors.entities.closed import Closed, load_detector

        assert path is not None
        detector = load_detector(path, len(classes), threads)
        return Closed(detector, vocabulary(classes, synonyms), crops)
    from guardrail_detectors.entities.contrast import Contrast, Settings
    from guardrail_detectors.entities.encoders import load_encoder

    default = Settings()
    settings = Settings(
        tuple(templates) if templates else default.templates,
        tuple(distractors) if distractors else default.distractors,
        crops,
        frozenset(scripts) if scripts else default.scripts,
    )
    encoder = load_encoder(kind, model if path is None else path.name, path, threads)
    return Contrast(encoder, settings)


def _stamps(backend: str, model: str, path: Path | None, calibration: str | None) -> list[str]:
    """Size and time of the files that a result depends on: another file is another version."""
    files = [Path(calibration)] if calibration else []
    folder = path if path is not None else models_home() / backend / model
    if folder.is_dir():
        files += [one for one in sorted(folder.iterdir()) if one.is_file()]
    elif folder.is_file():
        files.append(folder)
    facts = [one.stat() for one in files if one.is_file()]
    return [f"{fact.st_size:x}-{fact.st_mtime_ns:x}" for fact in facts]
