"""One pass over a text for all formats of secrets, in time linear in its length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from guardrail_detectors.normalise import CodePoints
from guardrail_detectors.overlaps import without_overlaps
from guardrail_detectors.pii.normal import Plain, plain_text
from guardrail_detectors.secrets.formats import FORMATS, Format

PEM_LIMIT = 20_000  # characters of a key block; RSA with 16384 bits has 12,700

# Endings of names that hold something about a secret, not the secret.
ABOUT = re.compile(
    rb"(?:age|algorithm|count|expir\w*|field|file|format|help|hint|label|length|limit|max|min|name"
    rb"|path|pattern|policy|prompt|regex|reset|rotation|size|ttl|type|ur[il]|version)s?$",
    re.IGNORECASE,
)


class Hit(NamedTuple):
    """A secret in a text: characters `start` to `end`, score in [0, 1]."""

    start: int
    end: int
    label: str
    score: float


class Scanner:
    """All formats compiled: a set that says in one pass which of them occur, and each alone."""

    def __init__(self, formats: tuple[Format, ...]) -> None:
        import re2

        options = re2.Options()
        options.max_mem = 256 << 20
        options.log_errors = False
        self.formats = formats
        self.alone: list[Any] = [re2.compile(f.pattern, options) for f in formats]
        self.values = [pattern.groupindex.get("v", 0) for pattern in self.alone]
        self.tails = [pattern.groupindex.get("t") for pattern in self.alone]
        self.set: Any = re2.Set.SearchSet(options)
        for form in formats:
            self.set.Add(form.pattern)
        self.always = self.set.Add("")
        self.set.Compile()

    def __call__(self, text: str) -> list[Hit]:
        """Every secret with its score, overlaps and all."""
        data = text.encode("utf-8", "replace")
        present = self.set.Match(data) or []
        if len(present) == 1 and present[0] == self.always:
            return []
        # Without the pattern that always matches, the set ran out of memory: try each alone.
        which = present if self.always in present else range(self.always)
        return list(self._hits(text, data, which))

    def _hits(self, text: str, data: bytes, which: Iterable[int]) -> Iterator[Hit]:
        for index in which:
            if index == self.always:
                continue
            form, group, tail = self.formats[index], self.values[index], self.tails[index]
            point = CodePoints(text)
            for match in self.alone[index].finditer(data):
                if tail is not None and ABOUT.search(match.group(tail)):
                    continue
                start, end = map(point, match.span(group))
                yield from _checked(text, start, end, form)


@lru_cache(maxsize=1)
def scanner() -> Scanner:
    """The scanner for all formats, compiled once."""
    return Scanner(FORMATS)


def find_secrets(text: str) -> list[Hit]:
    """The secrets in `text` by position, without overlaps: the surer, then the longer one stays."""
    plain: Plain = plain_text(text)
    hits = scanner()(plain.text)
    if not hits:
        return []
    kept = without_overlaps(
        hits,
        rank=lambda hit: (-hit.score, hit.start - hit.end, hit.start),
        span=lambda hit: (hit.start, hit.end),
    )
    return [Hit(*plain.original(hit.start, hit.end), hit.label, hit.score) for hit in kept]


def _checked(text: str, start: int, end: int, form: Format) -> Iterator[Hit]:
    value = text[start:end]
    if form.check is not None and not form.check(value):
        return
    if form.label == "PRIVATE_KEY":
        end = _end_of_key(text, end)
    elif value[:1] in {'"', "'", "`"}:
        start += 1
        end -= value.endswith(value[0])
    else:
        end -= len(value) - len(value.rstrip(";,."))
    yield Hit(start, end, form.label, form.score)


def _end_of_key(text: str, start: int) -> int:
    """The end of a key block that begins before `start`: its END line, or else its last line."""
    close = text.find("-----END", start, start + PEM_LIMIT)
    if close < 0:
        blank = text.find("\n\n", start, start + PEM_LIMIT)
        return blank if blank >= 0 else len(text[: start + PEM_LIMIT].rstrip())
    dashes = text.find("-----", close + 8, close + 80)
    return dashes + 5 if dashes >= 0 else close + 8
