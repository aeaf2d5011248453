"""A record as a readable tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.tree import Tree

_COLOUR = {
    "allow": "green",
    "flag": "yellow",
    "redact": "yellow",
    "review": "magenta",
    "block": "red",
    "passed": "green",
    "hit": "red",
    "skipped": "dim",
    "not_run": "magenta",
    "error": "magenta",
}


def coloured(word: str) -> str:
    """An action or a status in its colour."""
    return f"[{_COLOUR.get(word, 'default')}]{word}[/]"


def tree(record: Mapping[str, Any], *, checks: bool = True) -> Tree:
    """The stages, rules and checks of a record (as `Record.to_dict` writes it)."""
    policy = record["policy"]
    top = Tree(
        f"[bold]{record['id']}[/]  policy {escape(policy['id'])} {escape(policy['version'])}"
        f"  {record['ms']:.1f} ms"
    )
    for stage in record["stages"]:
        _add_stage(top, stage, checks)
        if stage["stage"] == "input" and record["model"]:
            top.add(_model(record["model"]))
    return top


def _model(model: Mapping[str, Any]) -> str:
    usage = ", ".join(f"{name} {count}" for name, count in model["usage"].items())
    said = [f"{model['ms']:.1f} ms", model["finish_reason"], usage, model["error"]]
    return "model  " + "  ".join(escape(str(word)) for word in said if word)


def _add_stage(top: Tree, stage: Mapping[str, Any], checks: bool) -> None:
    reason = f"  {escape(stage['reason'])}" if stage["reason"] else ""
    branch = top.add(
        f"{stage['stage']}: [bold]{coloured(stage['action'])}[/]{reason}  {stage['ms']:.1f} ms"
    )
    for part in stage["parts"]:
        branch.add(f"[dim]{_part(part)}[/]")
    skipped: dict[str, list[str]] = {}
    for rule in stage["rules"]:
        if rule["status"] == "skipped":
            skipped.setdefault(rule.get("reason", ""), []).append(rule["id"])
        else:
            _add_rule(branch, rule)
    for reason, rules in skipped.items():
        branch.add(f"{escape(', '.join(rules))}  {coloured('skipped')}  {escape(reason)}")
    if checks:
        runs = branch.add("[dim]checks[/]")
        for run in stage["checks"]:
            runs.add(_check(run))


def _part(part: Mapping[str, Any]) -> str:
    if part["kind"] == "text":
        return f"{escape(part['name'])}: {part['size']} characters, {part['source']}"
    seen = part.get("picture") or {}
    facts = (
        f", {seen['format']} {seen['width']}×{seen['height']}"
        if "width" in seen
        else ", not opened"
    )
    behind = f", {seen['trailing_bytes']} bytes behind it" if seen.get("trailing_bytes") else ""
    return (
        f"{escape(part['name'])}: {part['size']} bytes{facts}{behind}, sha256 {part['digest'][:12]}"
    )


def _add_rule(branch: Tree, rule: Mapping[str, Any]) -> None:
    acts = coloured(rule["action"]) if rule["action"] != "allow" else ""
    would = f"would {coloured(rule['would'])}" if "would" in rule else ""
    words = [
        escape(rule["id"]),
        coloured(rule["status"]),
        acts,
        would,
        escape(rule.get("reason", "")),
    ]
    node = branch.add("  ".join(word for word in words if word))
    for finding in rule.get("findings", []):
        node.add(_finding(finding))


def _finding(finding: Mapping[str, Any]) -> str:
    where = finding.get("where")
    place = ""
    if where is not None:
        place = f" in {escape(where['part'])}"
        if "box" in where:
            place += f" at {tuple(where['box'])}"
        if "start" in where:
            place += f" from {where['start']} to {where['end']}"
    return f"{escape(finding['label'])} {finding['score']:.2f}{place}"


def _check(run: Mapping[str, Any]) -> str:
    took = "cached" if run["cached"] else f"{run['ms']:.1f} ms"
    loaded = f"after {run['loading_ms']:.1f} ms of loading" if run["loading_ms"] >= 1 else ""
    best = ", ".join(f"{escape(label)} {score:.2f}" for label, score in run["best"].items())
    words = [
        f"{escape(run['name'])} on {escape(run['part'])}",
        coloured(run["status"]) if run["status"] in ("not_run", "error") else "",
        took,
        loaded,
        best,
        escape(run["reason"]),
    ]
    return "  ".join(word for word in words if word)
