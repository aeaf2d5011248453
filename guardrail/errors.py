"""Everything this library raises on purpose.

    GuardrailError
    ├── PolicyError            a policy cannot be read: where, and what would be right
    ├── SchemaError            a declared output cannot be used: which keyword, and where
    ├── ContentError           something handed in cannot be read; names the part
    │   └── PictureError       a picture that is broken or over a limit
    ├── NotRun                 a check could not run: an extra, weights or a service is missing
    │   └── MissingExtra       ... and this is what to install
    └── Blocked                the policy stopped the call
        └── ReviewRequired     the policy wants a person to look first

No message holds any content of a call.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guardrail.verdict import Verdict


class GuardrailError(Exception):
    """Base of every error raised by guardrail. Each can be copied, and pickled to a process."""

    def __reduce__(self) -> tuple[Any, ...]:
        # an exception is made again of its message by default, which no subclass takes
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class Mistake:
    """One mistake in a policy file: its place and what would be right there."""

    __slots__ = ("file", "hint", "line", "message", "path")

    def __init__(self, file: str, line: int, path: str, message: str, hint: str = "") -> None:
        self.file, self.line, self.path = file, line, path
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: {self.path or '(top)'}"
        return f"{place}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class PolicyError(GuardrailError):
    """A policy that cannot be used. `mistakes` lists every one that was found."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


class SchemaError(GuardrailError, ValueError):
    """A schema that cannot be used. `keyword` names what is wrong, `path` the schema around it
    as a pointer ("#/properties/total")."""

    def __init__(self, path: str, keyword: str, message: str) -> None:
        self.path, self.keyword = path, keyword
        super().__init__(f"{path}: {keyword}: {message}" if keyword else f"{path}: {message}")


class ContentError(GuardrailError):
    """A part of a call that cannot be read. `part` names it, `code` says why in one word."""

    def __init__(self, part: str, code: str, message: str) -> None:
        self.part, self.code = part, code
        super().__init__(f"{part}: {message}")


class PictureError(ContentError):
    """A picture that cannot be opened safely.

    `code` is one of empty, not_a_picture, unsupported, truncated, damaged, too_many_bytes,
    too_many_pixels, too_many_frames.
    """


class NotRun(GuardrailError):
    """Raised by a detector or extractor that could not run at all; the message says what to do."""


class MissingExtra(NotRun):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'guardrail-vision[{extra}]'")


class Blocked(GuardrailError):
    """The policy stopped the call. Carries the verdict and the record's id, never the content."""

    def __init__(self, verdict: Verdict, record_id: str) -> None:
        self.verdict, self.record_id = verdict, record_id
        super().__init__(f"{verdict.reason} (record {record_id})")


class ReviewRequired(Blocked):
    """The policy asks for a person's decision before this call may go on."""
