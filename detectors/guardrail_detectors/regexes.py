"""Regular expressions of policy authors, in linear time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.normalise import CodePoints, utf8

if TYPE_CHECKING:
    import re2

_LONGEST = 4_096  # characters; a match that may be longer has to be seen with the whole text
_MAX_MEMORY = 64 << 20  # bytes for one compiled expression
_CAUSES = (
    ("invalid perl operator", "look-around is not supported: match what stands around as well"),
    ("invalid escape sequence", "back-references and this escape are not supported"),
    ("pattern too large", "the expression is too large: use smaller counts in {}"),
    ("repetition", "the expression is too large: use smaller counts in {}"),
)


def regex(*, patterns: dict[str, str] | list[str], ignore_case: bool = False) -> Detector:
    """Finds what matches regular expressions (RE2 syntax, which always ends in linear time).

    patterns: expressions by the category of what they find, or a list under "regex".
    ignore_case: whether upper and lower case are one.

    Raises ValueError for an expression that RE2 does not have.
    """
    named = patterns if isinstance(patterns, dict) else dict.fromkeys(["regex"], "")
    if not patterns:
        raise ValueError("patterns: give at least one")
    compiled: list[tuple[str, re2._Regexp[bytes]]] = []
    pairs = (
        list(named.items())
        if isinstance(patterns, dict)
        else [("regex", pattern) for pattern in patterns]
    )
    for place, (label, pattern) in enumerate(pairs):
        where = label if isinstance(patterns, dict) else str(place)
        compiled.append((label, _compile(pattern, ignore_case, where)))
    spec = Spec(
        name="regex",
        version="1",
        labels=tuple(named),
        inline=True,
        window=_window([pattern for _, pattern in pairs]),
    )

    which = _which(pairs, ignore_case)

    def run(view: View) -> list[Finding]:
        found = []
        for part in view.texts:
            data = utf8(part.text)
            for place in which(data):
                label, pattern = compiled[place]
                point = CodePoints(part.text)
                for match in pattern.finditer(data):
                    if match.end() > match.start():
                        span = Span(part.name, point(match.start()), point(match.end()))
                        found.append(Finding("regex", label, 1.0, span))
        return found

    return Detector(spec, run)


def _window(patterns: list[str]) -> int | None:
    """The characters that the longest match has, with one after it; None where none is longest.

    Where Python reads an expression at all it reads it as RE2 does, but for `{,n}`.
    """
    longest = 0
    for pattern in patterns:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                longest = max(longest, re._parser.parse(pattern).getwidth()[1])  # type: ignore[attr-defined]
        except (re.error, RecursionError, OverflowError):
            return None
        if longest > _LONGEST or "{," in pattern:
            return None
    return longest + 1


def _which(pairs: list[tuple[str, str]], ignore_case: bool) -> Callable[[bytes], Iterable[int]]:
    """Tells in one pass over a text which of the expressions occur in it."""
    import re2

    together = re2.Set.SearchSet(_options(ignore_case))
    for _, pattern in pairs:
        together.Add(pattern.encode("utf-8", "replace"))
    always = together.Add("")
    together.Compile()

    def which(data: bytes) -> Iterable[int]:
        present = together.Match(data) or []
        if len(present) == 1 and present[0] == always:
            return ()
        if always not in present:  # then it ran out of memory
            return range(always)
        return sorted(place for place in present if place != always)

    return which


def _options(ignore_case: bool) -> re2.Options:
    import re2

    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    options.case_sensitive = not ignore_case
    options.log_errors = False
    return options


def _compile(pattern: str, ignore_case: bool, where: str) -> re2._Regexp[bytes]:
    import re2

    options = _options(ignore_case)
    try:
        return re2.compile(pattern.encode("utf-8", "replace"), options)
    except re2.error as error:
        said = error.args[0] if error.args else b""
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        hint = next((hint for cause, hint in _CAUSES if cause in words), "see the syntax of RE2")
        raise ValueError(f"patterns.{where}: {words}; {hint}") from None
