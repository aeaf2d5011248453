"""The proxy's folders import in one direction."""

from __future__ import annotations

import ast
from pathlib import Path

from guardrail_integrations import proxy

ROOT = Path(proxy.__file__).parent
PREFIX = f"{proxy.__name__}."


def layers() -> list[str]:
    """As the package says them in its last sentence."""
    assert proxy.__doc__
    return " ".join(proxy.__doc__.rpartition(":")[2].split()).rstrip(".").split(", ")


def imported(tree: ast.AST) -> set[str]:
    """The folders that a module imports from when it is loaded, or later."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        found |= imported(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX):
            found.add(str(node.module).removeprefix(PREFIX).partition(".")[0])
    return found


def test_folders_import_only_what_stands_before_them() -> None:
    order = layers()
    inside = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert inside == {"__init__", *order}
    for path in ROOT.rglob("*.py"):
        mine = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if mine != "__init__":
            assert imported(ast.parse(path.read_text())) <= {*order[: order.index(mine) + 1]}, path
