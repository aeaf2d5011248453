"""Values in raw JSON: found by their paths, and written anew.

A string that changes keeps the bytes of those characters that stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from guardrail_integrations.proxy.interfaces import Buffer

Path = tuple[str | int, ...]

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\]}]+")
_NESTING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def locate(data: bytes, paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Where in valid JSON the values at the paths stand. Paths that lead nowhere are left out."""
    wanted: dict[Any, Any] = {}
    for path in paths:
        node = wanted
        for step in path:
            node = node.setdefault(step, {})
    found: dict[Path, tuple[int, int]] = {}
    leaves = set(paths)
    _walk(data, _skip_space(data, 0), wanted, (), leaves, found)
    return found


def _walk(
    data: bytes,
    at: int,
    wanted: Mapping[Any, Any],
    path: Path,
    leaves: set[Path],
    found: dict[Path, tuple[int, int]],
) -> int:
    start = at
    if wanted and data[at : at + 1] in (b"{", b"["):
        for key, value_at in _members(data, at):
            at = value_at
            inner = wanted.get(key)
            if inner is None:
                at = _skip(data, at)
            else:
                at = _walk(data, at, inner, (*path, key), leaves, found)
    at = _skip(data, start)
    if path in leaves:
        found[path] = (start, at)
    return at


def _members(data: bytes, at: int) -> Iterator[tuple[str | int, int]]:
    """The keys or indices of a container and where their values begin."""
    is_object = data[at : at + 1] == b"{"
    at, index = _skip_space(data, at + 1), 0
    while data[at : at + 1] not in (b"}", b"]", b""):
        key: str | int = index
        if is_object:
            end = _skip(data, at)
            key = json.loads(data[at:end])
            at = _skip_space(data, _skip_space(data, end) + 1)
        yield key, at
        at = _skip_space(data, _skip(data, at))
        if data[at : at + 1] == b",":
            at = _skip_space(data, at + 1)
        index += 1


def _skip_space(data: bytes, at: int) -> int:
    found = _SPACE.match(data, at)
    return found.end() if found else at


def _skip(data: bytes, at: int) -> int:
    """Behind the value that begins at `at`."""
    first = data[at : at + 1]
    if first == b'"':
        found = _STRING.match(data, at)
    elif first in (b"{", b"["):
        depth = 0
        for token in _NESTING.finditer(data, at):
            mark = token[0]
            if mark in (b"{", b"["):
                depth += 1
            elif mark in (b"}", b"]"):
                depth -= 1
                if depth == 0:
                    return token.end()
        return len(data)
    else:
        found = _SCALAR.match(data, at)
    return found.end() if found else len(data)


def dumps(value: Any) -> bytes:
    """A value as compact JSON in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair can only be written as an escape
        return json.dumps(value, separators=(",", ":")).encode()


def with_field(pieces: Sequence[Buffer], key: str, value: Any) -> list[Buffer]:
    """An object, given in pieces, with a further field before the others."""
    first = memoryview(pieces[0])
    at = bytes(first).index(b"{") + 1
    return [first[:at], dumps(key) + b":" + dumps(value) + b",", first[at:], *pieces[1:]]


def rewritten(literal: bytes, new: str) -> bytes:
    """A JSON string that says `new`, with the old literal's bytes for what it already said."""
    old: str = json.loads(literal)
    for ascii_only in (False, True):
        try:
            if json.dumps(old, ensure_ascii=ascii_only).encode("utf-8") == literal:
                return json.dumps(new, ensure_ascii=ascii_only).encode("utf-8")
        except UnicodeEncodeError:
            continue
    units = _units(literal)
    first = _common(old, new)
    last = _common(old[first:][::-1], new[first:][::-1])
    middle = dumps(new[first : len(new) - last])[1:-1]
    tail = units[len(old) - last :] if last else []
    return b"".join([b'"', *units[:first], middle, *tail, b'"'])


_UNIT = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\."
    rb"|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*",
    re.DOTALL,
)


def _units(literal: bytes) -> list[bytes]:
    """The bytes of each character of a string literal."""
    return _UNIT.findall(literal[1:-1])


def _common(one: str, other: str) -> int:
    """The length of the common beginning."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
