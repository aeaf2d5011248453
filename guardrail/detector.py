"""The plug-in points: detectors look at parts, extractors read text out of pictures.

A plug-in is a factory that takes the policy's arguments as keywords and returns a `Detector` or
an `Extractor`. Factories are found by entry point (groups `guardrail.detectors` and
`guardrail.extractors`); they must be cheap, and leave loading a model to the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, TypeVar

from guardrail.content import Call, Image, Part, Text
from guardrail.verdict import Finding

T = TypeVar("T")


class Stage(StrEnum):
    """Where in a call a check stands."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True)
class View:
    """The parts under test. `call` is given only to detectors of scope "call"."""

    stage: Stage
    parts: tuple[Part, ...]
    call: Call | None = None

    @classmethod
    def of_text(cls, stage: Stage, part: Text) -> View:
        """A view of one text on its own, made in a fraction of the time."""
        view = object.__new__(cls)
        view.__dict__.update(stage=stage, parts=(part,), call=None, texts=(part,))
        return view

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """The text parts under test."""
        return tuple(part for part in self.parts if isinstance(part, Text))

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures under test."""
        return tuple(part for part in self.parts if isinstance(part, Image))


Window = int | Literal["sentence"] | None


@dataclass(frozen=True)
class Spec:
    """What the core has to know of a plug-in.

    `version` changes whenever the same input could give another result (it is part of the cache
    key). `labels` are the categories a policy may name. `scope` says what one run looks at: one
    part, whose findings are cached for that part alone, or the whole call. `inline` runs are
    shorter than a thread hop (40 µs). Scores below `floor` need not be returned. `threshold` is
    used where a policy gives an action and no number, `thresholds` for single labels.
    `model` names the weights, for reports. With `reads_beside` a check of an answer is also given
    what the extractors read in the call's pictures, as texts of `view.call`. Labels in `by_name`
    are scores to be kept: they act only where a policy names them.

    `window` says how much of a text has to be seen at once, so that a streamed answer can leave
    before its end. A number: whether a character belongs to a finding depends on no more than so
    many characters after it, and before it (`before` says it of those before, where it is more; a
    run of white space counts as one, unseen characters do not count); only a finding that reaches
    to the end of the text may still grow. "sentence": findings are about single sentences. 0:
    chunks need not wait. None: the whole text. With scope "call" a window means that a finding
    depends on one text of the answer alone, beside the call.

    Where `sources` are given, only parts whose source begins with one of them are looked at.
    """

    name: str
    version: str
    labels: tuple[str, ...] = ()
    reads: frozenset[Literal["text", "image"]] = frozenset({"text"})
    scope: Literal["part", "call"] = "part"
    inline: bool = False
    floor: float = 0.0
    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None
    reads_beside: bool = False
    by_name: frozenset[str] = frozenset()
    window: Window = None
    before: int = 0
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Detector:
    """A check: `run` gives findings with spans into, or areas of, the view's own parts.

    `run` may raise NotRun (it could not look at all) or anything else (it failed): neither
    counts as a pass. `warm` loads what the first run would have to load. Both may be called
    from several threads at once.

    `quick` gives what `run` would give where that takes no longer than about two milliseconds,
    and None where it might: it may be called where others wait, such as on an event loop, once
    `warm` has been.
    """

    spec: Spec
    run: Callable[[View], Sequence[Finding]]
    warm: Callable[[], object] = lambda: None
    quick: Callable[[View], Sequence[Finding] | None] | None = None


@dataclass(frozen=True)
class Ignored:
    """Something in a picture that an extractor left unread, and why. It is kept in the record;
    the rest of the picture has been read."""

    reason: str


@dataclass(frozen=True)
class Extractor:
    """Reads a picture: `run` gives Texts whose origin is the picture and whose source is
    "image:" and how the text was found. `warm` and errors are as for detectors."""

    spec: Spec
    run: Callable[[Image], Sequence[Text | Ignored]]
    warm: Callable[[], object] = lambda: None


DetectorFactory = Callable[..., Detector]
ExtractorFactory = Callable[..., Extractor]

Memory = Callable[[Sequence[str], Callable[[], Any]], Any]
memory: ContextVar[Memory | None] = ContextVar("memory", default=None)  # set by what runs checks


def remembered(pieces: Sequence[str], make: Callable[[], T]) -> T:
    """What `make` gives, or what it gave when it was last made of these pieces.

    For what is dear to make and serves several checks, such as the embedding of a picture (an
    array of numbers): it is kept in the cache of the guard whose check runs now, which other
    processes may share. The pieces must name all that it depends on. Outside of a check it is
    made anew.
    """
    remember = memory.get()
    if remember is None:
        return make()
    value: T = remember(pieces, make)
    return value
