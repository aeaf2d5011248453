"""What checks find and what the policy makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property

from guardrail.content import Box


class Action(IntEnum):
    """What happens to a call, from mildest to strictest: the strictest of all rules wins."""

    ALLOW = 0
    FLAG = 1
    REDACT = 2
    REVIEW = 3
    BLOCK = 4

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def stops(self) -> bool:
        """Whether a call with this action does not go on."""
        return self >= Action.REVIEW


class Status(StrEnum):
    """How a rule ended."""

    PASSED = "passed"
    HIT = "hit"
    SKIPPED = "skipped"  # nothing there to look at, or the call had already stopped
    NOT_RUN = "not_run"
    ERROR = "error"


@dataclass(frozen=True)
class Span:
    """Characters (code points) `start` to `end` of the text part named `part`."""

    part: str
    start: int
    end: int


@dataclass(frozen=True)
class Area:
    """Boxes in the picture named `part`, in pixels as displayed; none means the whole picture."""

    part: str
    boxes: tuple[Box, ...] = ()
    frame: int = 0


@dataclass(frozen=True)
class Finding:
    """Something a detector saw: its label, a score in [0, 1], and where. Never the content.

    `note` says more about it to people and, where a rule asks the model again, to the model
    ("$.total: a number is expected"); it holds no content of the call either. `heat` says where
    in a picture the thing was looked for: boxes, each with how much it looked like it there, in
    [0, 1].
    """

    detector: str
    label: str
    score: float
    where: Span | Area | None = None
    note: str = ""
    heat: tuple[tuple[Box, float], ...] = ()


@dataclass(frozen=True)
class Edit:
    """A change to content: `text` in place of a span, or an area painted over.

    Where `text` is a tuple, its pieces stand around the span's own text.
    """

    where: Span | Area
    text: str | tuple[str, ...]


@dataclass(frozen=True)
class RuleResult:
    """How one rule of the policy ended, with all it takes to explain it."""

    rule: str
    status: Status
    action: Action = Action.ALLOW
    would: Action = Action.ALLOW  # what a shadow rule would have done
    reason: str = ""
    findings: tuple[Finding, ...] = ()  # those at or over a threshold
    below: tuple[Finding, ...] = ()  # the best of each label that stayed under
    label: str | None = None  # of the finding that decided
    score: float | None = None
    threshold: float | None = None
    ask_again: bool = False  # the rule wants another answer before its action counts


@dataclass(frozen=True)
class Verdict:
    """The decision on one stage of a call.

    `reason` is for those who run the application, `message` for those who use it; both are empty
    where nothing was found. With `ask_again` the action does not count yet: the model is asked
    for another answer first.
    """

    action: Action = Action.ALLOW
    rules: tuple[RuleResult, ...] = ()
    edits: tuple[Edit, ...] = ()
    reason: str = ""
    message: str = ""
    ask_again: bool = False

    @cached_property
    def telling(self) -> tuple[RuleResult, ...]:
        """The results of rules that act, or would if they were no shadow."""
        return tuple([result for result in self.rules if result.action or result.would])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the enforced rules found, each finding once."""
        found = (f for r in self.rules if r.action > Action.ALLOW for f in r.findings)
        return tuple(dict.fromkeys(found))
