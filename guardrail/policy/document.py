"""A policy file as YAML text: its data, and the line of everything in it.

YAML is read as version 1.2 does it: only true and false are booleans (so `mode: off` is a word),
and dates are text. Duplicate keys, and aliases that grow beyond bounds, are mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from guardrail.errors import Mistake, PolicyError

MAX_BYTES = 2**20
MAX_NODES = 50_000
MAX_DEPTH = 40

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """The data of a policy file with the line of each path."""

    file: str
    data: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def mistake(self, path: Path, message: str, hint: str = "") -> Mistake:
        """A mistake at a path of this file."""
        return Mistake(self.file, self.line(path), dotted(path), message, hint)


def dotted(path: Path) -> str:
    """A path as people write it: `rules[2].categories.nsfw`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 for booleans and without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    list("tTfF"),
)


def parse(text: str, file: str) -> Document:
    """Parse a policy file. Raises PolicyError with every mistake of form."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise PolicyError([Mistake(file, 1, "", "the file is over 1 MiB")])
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise PolicyError([Mistake(file, 1, "", "the file is empty")])
        walk = _Walk(file, loader)
        data = walk.value(node, (), 0)
    except yaml.YAMLError as error:
        raise PolicyError([_syntax(error, file)]) from None
    except (RecursionError, ValueError) as error:
        message = (
            "nested too deeply" if isinstance(error, RecursionError) else "a value is not valid"
        )
        raise PolicyError([Mistake(file, 1, "", message)]) from None
    finally:
        if loader is not None:
            loader.dispose()
    if walk.mistakes:
        raise PolicyError(walk.mistakes)
    return Document(file, data, walk.lines)


def _syntax(error: yaml.YAMLError, file: str) -> Mistake:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    line = mark.line + 1 if mark is not None else 1
    return Mistake(file, line, "", f"this is not YAML: {problem}", "check indentation and quotes")


class _Walk:
    """Turns nodes into data and keeps the line of each."""

    def __init__(self, file: str, loader: _Loader) -> None:
        self.file, self.loader = file, loader
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem="the file grows too large (aliases inside aliases, or deep nesting)",
                problem_mark=node.start_mark,
            )
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(n, (*path, i), depth + 1) for i, n in enumerate(node.value)]
        return self.loader.construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str) or key == "<<":
                self._add(
                    key_node, path, "a key must be a plain word", "merge keys are not used here"
                )
                continue
            below = (*path, key)
            if key in mapping:
                first = self.lines[below]
                self._add(
                    key_node, below, f"this key stands here twice (first on line {first})", ""
                )
                continue
            self.lines[below] = key_node.start_mark.line + 1
            mapping[key] = self.value(value_node, below, depth + 1)
        return mapping

    def _add(self, node: yaml.Node, path: Path, message: str, hint: str) -> None:
        self.mistakes.append(
            Mistake(self.file, node.start_mark.line + 1, dotted(path), message, hint)
        )
