"""What screening costs beside the bare models: python -m tests.bench

Everything runs on one core. Guarded and bare runs take turns, and medians are shown; the bare
run calls the same detectors by hand, one after the other, without policy, cache or record.
"""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from guardrail import Guard, Image, Stage, Text, View
from guardrail.cache import MemoryCache
from tests.bench import pictures


def ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def in_turn(runs: int, *works: Callable[[], object]) -> list[float]:
    """The median of each work in milliseconds, the works taking turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for kept, work in zip(times, works, strict=True):
            kept.append(ms(work))
    return [statistics.median(kept) for kept in times]


def bare(guard: Guard, text: str | None, picture: bytes | None) -> None:
    """The policy's checks run by hand."""
    parts: list[Text] = [] if text is None else [Text(text)]
    rules = guard.plan.rules
    if picture is not None:
        image = Image(picture)
        view = View(Stage.INPUT, (image,))
        for rule in rules:
            if "image" in rule.detector.spec.reads:
                rule.detector.run(view)
        for extractor in guard.policy.extractors:
            parts += extractor.run(image)
    for part in parts:
        for rule in rules:
            if "text" in rule.detector.spec.reads and rule.sees(part):
                rule.detector.run(View(Stage.INPUT, (part,)))


def python(code: str) -> float:
    """Seconds that a fresh interpreter takes for `code`, less those for nothing."""

    def once(source: str) -> float:
        return ms(lambda: subprocess.run([sys.executable, "-c", source], check=True))

    empty = statistics.median(once("pass") for _ in range(5))
    return statistics.median(once(code) for _ in range(5)) - empty


def row(name: str, guarded: float, by_hand: float | None, note: str = "") -> None:
    hand = "" if by_hand is None else f"{by_hand:.2f}"
    ratio = "" if by_hand is None else f"{guarded / by_hand:.2f}"
    print(f"| {name} | {guarded:.2f} | {hand} | {ratio} | {note} |", flush=True)


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, one core of {_processor()},")
    print(f"Python {platform.python_version()}, policy `default`\n")
    print("| what | guarded ms | bare ms | ratio | |")
    print("| --- | ---: | ---: | ---: | --- |")
    row("import guardrail", python("import guardrail"), None)
    cold = "from guardrail import Guard; Guard('default').screen('hello')"
    row("cold start to the first verdict on text", python(cold), None)

    guard = Guard("default")
    guard.warm()
    inputs = {
        "photo without text, 1280×960": pictures.photo(),
        "screenshot, 20 lines": pictures.screenshot(),
        "A4 page, 49 lines": pictures.a4(),
    }
    for name, picture in inputs.items():
        runs = 3 if "A4" in name else 7

        def fresh(picture: bytes = picture) -> None:
            guard.runner.cache = MemoryCache()
            guard.screen(images=[picture])

        guarded, by_hand = in_turn(runs, fresh, lambda p=picture: bare(guard, None, p))
        row(name, guarded, by_hand)
    for size in (1_000, 10_000, 100_000):
        text = pictures.sentence(0, size)[:size]

        def fresh_text(text: str = text) -> None:
            guard.runner.cache = MemoryCache()
            guard.screen(text)

        guarded, by_hand = in_turn(15, fresh_text, lambda t=text: bare(guard, t, None))
        row(f"{size // 1000} kB of text", guarded, by_hand)
    seen = pictures.large()
    guard.screen(images=[seen])
    guarded, digest = in_turn(
        50, lambda: guard.screen(images=[seen]), lambda: hashlib.sha256(seen).hexdigest()
    )
    allowed = 1.5 * digest + 0.3
    note = f"bare: its sha256; 1.5 times that plus 0.3 ms is {allowed:.2f}"
    row(f"picture of {len(seen) / 1e6:.1f} MB seen before", guarded, digest, note)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak resident memory: {peak:.0f} MiB")


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "an unknown processor"


if __name__ == "__main__":
    main()
