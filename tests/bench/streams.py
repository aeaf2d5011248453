"""What a guarded stream costs a chunk, beside the same stream read without a guard.

    python -m tests.bench.streams

Chunks are those of a chat API as plain data, four characters each. Both are run in turn, in one
process; the figures are medians over the runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from guardrail import Guard

CHUNKS = 1_000
RUNS = 15
TEXT = "The meeting was moved to the larger room, since more people came than had been expected. "


def policy(*checks: Any) -> dict[str, Any]:
    return {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "bench"},
        "rules": [
            {"id": f"r{i}", "when": "output", "check": check, "action": "redact"}
            for i, check in enumerate(checks)
        ],
    }


CASES: dict[str, dict[str, Any]] = {
    "nothing held": policy(),
    "keywords, regex": policy(
        {"use": "keywords", "words": ["project nightingale", "blue heron"]},
        {"use": "regex", "patterns": {"case": r"\bID-\d{6,8}\b"}},
    ),
    "urls": policy({"use": "urls", "allow": ["example.org"]}),
    "secrets": policy("secrets"),
    "pii": policy("pii"),
    "pii, secrets": policy("pii", "secrets"),
}


def chunks() -> Iterator[dict[str, Any]]:
    text = TEXT * (4 * CHUNKS // len(TEXT) + 1)
    for i in range(CHUNKS):
        yield {"choices": [{"index": 0, "delta": {"content": text[4 * i : 4 * i + 4]}}]}


def seconds(stream: Callable[[], Iterator[Any]]) -> float:
    began = time.process_time()
    for _ in stream():
        pass
    return time.process_time() - began


def main() -> None:
    print(f"{'output rules':<18}{'us a chunk':>12}{'first chunk out after':>24}")
    for name, given in CASES.items():
        guard = Guard(given)
        guard.warm()
        taken = [0]

        @guard
        def guarded(prompt: str, taken: list[int] = taken) -> Iterator[dict[str, Any]]:
            for chunk in chunks():
                taken[0] += 1
                yield chunk

        def run(guarded: Any = guarded) -> Iterator[Any]:
            return iter(guarded("hello"))

        first = run()
        next(first)
        waited = taken[0]
        list(first)
        pairs = [(seconds(run), seconds(chunks)) for _ in range(RUNS)]
        cost = statistics.median(guarded - bare for guarded, bare in pairs) / CHUNKS * 1e6
        print(f"{name:<18}{cost:>12.1f}{waited:>18} chunks")


if __name__ == "__main__":
    main()
