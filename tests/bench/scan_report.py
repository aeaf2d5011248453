"""What a scan made of labelled pictures: python -m tests.bench.scan_report INDEX.jsonl OUT.jsonl

OUT.jsonl is what `guardrail scan INDEX.jsonl -o OUT.jsonl --image-field file` wrote. Prints, for
each kind of picture (field kind), how many there are, how many could not be read, what became of
the others, how many were stopped by a rule on explicit pictures, and the times.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from guardrail.evaluate.figures import wilson

STOPS = ("review", "block")
FAILED = ("not_run", "error")
EXPLICIT = "explicit-pictures"  # the rule's id in the shipped policies
HARMLESS = ("benign_nsfw_like", "object_presence", "benign_text")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def by_explicit_rule(row: dict[str, Any]) -> bool:
    return any(r["id"] == EXPLICIT and r["action"] in STOPS for r in row.get("rules", ()))


def main(index: Path, out: Path) -> None:
    labelled, scanned = rows(index), rows(out)
    if len(labelled) != len(scanned):
        sys.exit(f"{out}: {len(scanned)} rows for {len(labelled)} pictures")
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for label, row in zip(labelled, scanned, strict=True):
        kinds[label["kind"]].append(row)
    kinds["all"] = scanned
    kinds[", ".join(HARMLESS)] = [row for kind in HARMLESS for row in kinds[kind]]
    print(
        "| kind | rows | unreadable | allow | flag | redact | stopped | as explicit "
        "| checks failed | ms, median | ms, most |\n| --- |" + " ---: |" * 10
    )
    for kind, found in kinds.items():
        actions = [row["action"] for row in found]
        counts = [actions.count(action) for action in ("error", "allow", "flag", "redact")]
        stopped = sum(action in STOPS for action in actions)
        explicit = sum(map(by_explicit_rule, found))
        high = wilson(explicit, len(found)).high
        failed = sum(r["status"] in FAILED for row in found for r in row.get("rules", ()))
        times = [row["ms"] for row in found if "ms" in row] or [0.0]
        columns = [len(found), *counts, stopped, f"{explicit} (95%: ≤ {high:.1%})", failed]
        columns += [f"{statistics.median(times):.0f}", f"{max(times):.0f}"]
        print(f"| {kind} |", " | ".join(map(str, columns)), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
