"""The record of one guarded call: what ran, what it found, what was decided. No content."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any, Protocol

from guardrail.content import Context, Image, Part, Usage
from guardrail.detector import Stage
from guardrail.harden import Hardened
from guardrail.verdict import Action, Area, Finding, RuleResult, Status, Verdict

SCHEMA_VERSION = 1

_numbers = random.Random()  # noqa: S311  not secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_numbers.seed)


def record_id() -> str:
    """A new identity of a record: 64 random bits, from a generator of each process's own."""
    return f"gr_{_numbers.getrandbits(64):016x}"


@dataclass(slots=True)
class PartFacts:
    """A part of a call as a record keeps it. `digest` is the sha256 of a picture's bytes, or the
    keyed digest of a text, which means nothing outside the process or without its key."""

    name: str
    kind: str
    role: str
    source: str
    digest: str
    size: int  # bytes of a picture, characters of a text
    picture: Mapping[str, Any] | None = None


@dataclass(slots=True)  # not frozen: that makes them three times as slow to make
class CheckRun:
    """One run of a detector or extractor on one part.

    `loading_ns` of the time between `started_ns` and `ended_ns` went into loading its model.
    """

    name: str
    version: str
    stage: Stage
    part: str
    status: Status
    started_ns: int  # since the epoch
    ended_ns: int
    loading_ns: int = 0
    cached: bool = False
    model: str | None = None
    reason: str = ""
    kind: str = "detector"
    best: tuple[tuple[str, float], ...] = ()  # the highest score of each label

    @property
    def ms(self) -> float:
        """How long it took without loading, in milliseconds."""
        return (self.ended_ns - self.started_ns - self.loading_ns) / 1e6

    @property
    def loading_ms(self) -> float:
        """How long it had to wait for its model to load, in milliseconds."""
        return self.loading_ns / 1e6


@dataclass(slots=True)
class StageRecord:
    """One screened stage."""

    stage: Stage
    started_ns: int
    ended_ns: int
    parts: tuple[PartFacts, ...]
    checks: tuple[CheckRun, ...]
    verdict: Verdict


class Look(Protocol):
    """One look of a check at a part, or at all parts together."""

    @property
    def name(self) -> str:
        """Of the check."""

    @property
    def cached(self) -> bool:
        """Whether a cache answered."""

    @property
    def ms(self) -> float:
        """See CheckRun."""


class LookedAt(Protocol):
    """A stage as it was looked at: a StageRecord, or what one can be made of."""

    @property
    def stage(self) -> Stage:
        """Which one."""

    @property
    def verdict(self) -> Verdict:
        """The decision on it."""

    @property
    def checks(self) -> Sequence[Look]:
        """What ran."""


@dataclass(frozen=True)
class Record:
    """One guarded call.

    `asks` has for each answer of the model when it was asked for and complete, in nanoseconds
    since the epoch; more than one where a rule had it asked again. `usage` is over all of them.
    `cut_off` says that a streamed answer was not heard to its end: it broke off, or was stopped.
    `hardened` says what the policy's `trust` did to the call.
    """

    id: str
    policy_id: str
    policy_version: str
    policy_digest: str | None
    policy_file: str | None
    context: Context
    started_ns: int
    ended_ns: int
    stages: tuple[StageRecord, ...] = ()
    asks: tuple[tuple[int, int], ...] = ()
    cut_off: bool = False
    hardened: Hardened | None = None
    usage: Usage = Usage()
    finish_reason: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    error: str | None = None  # the type of what the model call raised
    lines: Mapping[str, int | None] | None = None  # rule id -> line of the policy file

    @property
    def ms(self) -> float:
        """How long it took, in milliseconds."""
        return (self.ended_ns - self.started_ns) / 1e6

    @property
    def model_ns(self) -> tuple[int, int] | None:
        """When the first answer was asked for and the last was complete."""
        return (self.asks[0][0], self.asks[-1][1]) if self.asks else None

    @property
    def action(self) -> Action:
        """The strictest action that counted: those before another answer was asked for did not."""
        stages = [stage.verdict for stage in self.stages if not stage.verdict.ask_again]
        return max((verdict.action for verdict in stages), default=Action.ALLOW)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-able data."""
        return {
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "policy": {
                "id": self.policy_id,
                "version": self.policy_version,
                "digest": self.policy_digest,
                "file": self.policy_file,
            },
            "context": _present(vars(self.context)),
            "started_ns": self.started_ns,
            "ms": round(self.ms, 3),
            "stages": [_stage(stage, self.lines or {}) for stage in self.stages],
            "hardened": _hardened(self.hardened),
            "model": None
            if self.model_ns is None
            else {
                "ms": round((self.model_ns[1] - self.model_ns[0]) / 1e6, 3),
                "asks": [round((end - start) / 1e6, 3) for start, end in self.asks],
                "usage": _present(vars(self.usage)),
                "finish_reason": self.finish_reason,
                "cut_off": self.cut_off,
                "name": self.response_model,
                "response_id": self.response_id,
                "error": self.error,
            },
        }


Sink = Callable[[Record], None]


def facts(part: Part, digest: str, picture: Mapping[str, Any] | None = None) -> PartFacts:
    """The facts of a part that a record keeps."""
    kind, size = ("image", part.size) if isinstance(part, Image) else ("text", len(part.text))
    return PartFacts(part.name, kind, part.role, part.source, digest, size, picture)


def finding_dict(finding: Finding) -> dict[str, Any]:
    """A finding as scan rows and records write it."""
    row: dict[str, Any] = {
        "detector": finding.detector,
        "label": finding.label,
        "score": round(finding.score, 4),
    }
    where = finding.where
    if isinstance(where, Area):
        place: dict[str, Any] = {"part": where.part}
        if where.boxes:
            xs0, ys0, xs1, ys1 = zip(*where.boxes, strict=True)
            place["box"] = [min(xs0), min(ys0), max(xs1), max(ys1)]
        if len(where.boxes) > 1:
            place["boxes"] = [list(box) for box in where.boxes]
        if where.frame:
            place["frame"] = where.frame
        row["where"] = place
    elif where is not None:
        row["where"] = {"part": where.part, "start": where.start, "end": where.end}
    if finding.note:
        row["note"] = finding.note
    if finding.heat:
        row["heat"] = [[*box, round(score, 4)] for box, score in finding.heat]
    return row


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _hardened(hardened: Hardened | None) -> dict[str, Any] | None:
    if hardened is None:
        return None
    return {
        "mark": hardened.mark,
        "marked": list(hardened.marked),
        "note_in": hardened.note_in,
        "pictures": hardened.pictures,
        "applied": hardened.applied,
    }


def _rule(result: RuleResult, line: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": result.rule,
        "status": str(result.status),
        "action": str(result.action),
    }
    if result.would != result.action:
        row["would"] = str(result.would)
    optional = {
        "reason": result.reason or None,
        "label": result.label,
        "score": None if result.score is None else round(result.score, 4),
        "threshold": result.threshold,
        "ask_again": result.ask_again or None,
        "line": line,
        "findings": [finding_dict(finding) for finding in result.findings],
        "below": [finding_dict(finding) for finding in result.below],
    }
    return row | {key: value for key, value in optional.items() if value not in (None, [])}


def _stage(stage: StageRecord, lines: Mapping[str, int | None]) -> dict[str, Any]:
    return {
        "stage": str(stage.stage),
        "ms": round((stage.ended_ns - stage.started_ns) / 1e6, 3),
        "action": str(stage.verdict.action),
        "ask_again": stage.verdict.ask_again,
        "reason": stage.verdict.reason,
        "parts": [_present(asdict(part)) for part in stage.parts],
        "checks": [
            {
                "name": run.name,
                "kind": run.kind,
                "version": run.version,
                "model": run.model,
                "part": run.part,
                "status": str(run.status),
                "ms": round(run.ms, 3),
                "loading_ms": round(run.loading_ms, 3),
                "cached": run.cached,
                "reason": run.reason,
                "best": {label: round(score, 4) for label, score in run.best},
            }
            for run in stage.checks
        ],
        "rules": [_rule(result, lines.get(result.rule)) for result in stage.verdict.rules],
        "edits": len(stage.verdict.edits),
    }


class JsonLinesSink:
    """Appends each record as a line of JSON; a line is written whole, so processes may share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._cut = False  # the last line, by a disk that was full

    def __call__(self, record: Record) -> None:
        """Append the record. Raises OSError where not all of it could be written."""
        line = json.dumps(record.to_dict(), ensure_ascii=False, separators=(",", ":")) + "\n"
        data = line.encode("utf-8", "replace")
        with self._lock:
            if self._cut:
                data = b"\n" + data
            out = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                written = os.write(out, data)
                self._cut = written < len(data)
                if written < len(data):
                    raise OSError(ENOSPC, os.strerror(ENOSPC), str(self.path))
            finally:
                os.close(out)


def read_records(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of a JSON-lines file, oldest first; a line that is cut off or damaged is passed
    over."""
    with Path(path).open("rb") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record
