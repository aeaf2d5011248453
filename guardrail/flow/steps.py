"""What a flow asks of its driver, and what it is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardrail.content import Part, Usage
from guardrail.errors import NotRun, PictureError
from guardrail.policy import Failure
from guardrail.record import LookedAt, Record
from guardrail.verdict import Status


@dataclass(slots=True)  # not frozen: that makes them three times as slow to make
class Job:
    """Work for the driver. Results are shared under `key`, None means never; where `keep` is
    false, only with those that ask meanwhile.

    `load` comes before `run`, and its time does not count against `timeout_s`. `picture` says
    that it works on pictures, which takes longer than most work on text. `quick` gives what `run`
    would, at once, or None where that takes longer.
    """

    name: str
    version: str
    kind: str
    part: str
    run: Callable[[], Any] = field(repr=False)
    key: bytes | None
    timeout_s: float
    inline: bool = False
    picture: bool = False
    keep: bool = True
    model: str | None = None
    load: Callable[[], object] | None = field(default=None, repr=False)
    quick: Callable[[], Any] | None = field(default=None, repr=False)


@dataclass(slots=True)
class Result:
    """What became of a job, with its times in nanoseconds since the epoch.

    `loading_ns` of that time went into loading what it needs, before it ran.
    """

    value: Any = None
    failure: Failure | None = None
    started_ns: int = 0
    ended_ns: int = 0
    loading_ns: int = 0
    cached: bool = False


@dataclass(slots=True)
class Run:
    """Do these jobs, side by side; the answer is a tuple of Results in the same order."""

    jobs: tuple[Job, ...]


class Pause:
    """Let others have their turn, where there are any: this call has much to look at."""


@dataclass(slots=True)
class Ask:
    """Call the model with these parts exchanged. The answer is a Reply, or None for a stream."""

    changed: Mapping[str, Part]


class Start:
    """Begin to call the model as it was asked, and go on; where nothing runs beside the flow, the
    call begins with Wait. Nothing of the answer may leave before that."""


class Wait:
    """Wait for the answer to the call that Start began; answered as Ask is."""


class Cancel:
    """Give up the call that Start began."""


class Next:
    """Take the next chunk of the stream; the answer is a Delta, or None at the end."""


@dataclass(slots=True)
class Release:
    """Hand chunk `index` to the caller, with its texts and the bytes of its pictures exchanged
    where `texts` and `pictures` name them."""

    index: int
    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Told(Protocol):
    """What is told of a call that is over. Its record is made where it is first asked for; who
    only counts calls need not ask for it."""

    @property
    def id(self) -> str:
        """The identity of the record."""

    @property
    def looked_at(self) -> Sequence[LookedAt]:
        """The stages that were looked at."""

    @property
    def asks(self) -> Sequence[tuple[int, int]]:
        """See Record."""

    @property
    def usage(self) -> Usage:
        """See Record."""

    @property
    def record(self) -> Record:
        """The record of the call."""


class Ended(Told, Protocol):
    """A guarded call that is over; `amend` adds to its record what the call's host decided."""

    amend: Callable[[Record], Record] | None


@dataclass(slots=True)
class Emit:
    """The call is over: hand its record to the sinks."""

    call: Ended

    @property
    def record(self) -> Record:
        """The record of the call."""
        return self.call.record


Step = Run | Pause | Ask | Start | Wait | Cancel | Next | Release | Emit


class Abandoned(Exception):
    """Thrown into a flow whose caller went away."""


def failure_of(error: BaseException, job: Job) -> Failure:
    """An exception of a job as a failure; its message is kept only where it is our own."""
    if isinstance(error, PictureError):
        return Failure(Status.ERROR, str(error))
    if isinstance(error, NotRun):
        return Failure(Status.NOT_RUN, f"{job.name}: {error}")
    return Failure(Status.ERROR, f"{job.name}: {type(error).__name__} in {job.part}")
