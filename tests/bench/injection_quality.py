"""Found and false alarms of the injection detector: python -m tests.bench.injection_quality FILE

FILE holds JSON lines with text, label (attack, benign or null), kind, lang and source.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guardrail import Stage, Text, View
from guardrail_detectors.injection import injection

_UNTRUSTED = {"indirect", "document", "ocr_document"}


def score(row: dict[str, Any]) -> float:
    """The highest score of a row; documents are read as a tool's result."""
    source = "tool" if row["kind"] in _UNTRUSTED else "typed"
    part = Text(row["text"], role="tool" if source == "tool" else "user", source=source)
    return max((f.score for f in DETECTOR.run(View(Stage.INPUT, (part,)))), default=0.0)


DETECTOR = injection()


def main(path: Path) -> None:
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    scored = [(row, score(row)) for row in rows]
    for key in ("label", "kind", "source", "lang"):
        _table(key, scored, lambda row, key=key: f"{row['label']} {row[key]}")


def _table(
    title: str, scored: list[tuple[dict[str, Any], float]], of: Callable[[dict[str, Any]], str]
) -> None:
    groups: dict[str, list[float]] = defaultdict(list)
    for row, value in scored:
        groups[of(row)].append(value)
    print(f"\n{title:44} rows  at 0.5  at 0.8")
    for name, values in sorted(groups.items()):
        shares = [sum(v >= at for v in values) / len(values) for at in (0.5, 0.8)]
        print(f"{name:44} {len(values):4}  {shares[0]:6.1%}  {shares[1]:6.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
