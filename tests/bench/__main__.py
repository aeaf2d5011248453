"""What screening costs beside the bare models: python -m tests.bench [--cpu]

Everything runs on one core. Guarded and bare runs take turns, and medians are shown; the bare
run calls the same detectors by hand, one after the other, without policy, cache or record. With
--cpu, processor time is counted instead of time: on one core they differ by what other programs
take, so that a busy machine shows nearly what a quiet one does.
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
from guardrail_detectors.ocr import ocr
from tests.bench import pictures

PICTURES: dict[str, Callable[[], bytes]] = {
    "photo without text, 1280×960": pictures.photo,
    "screenshot, 20 lines": pictures.screenshot,
    "A4 page, 49 lines": pictures.a4,
}
READING_LIMIT = {"screenshot, 20 lines": 500, "A4 page, 49 lines": 1_500}
RATIO = 1.15  # what screening may cost, in runs of the bare models


def spent() -> float:
    """Processor time of this process and of those it started and waited for, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


clock = spent if "--cpu" in sys.argv else time.perf_counter


def ms(work: Callable[[], object]) -> float:
    start = clock()
    work()
    return (clock() - start) * 1e3


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
            if "image" in rule.detector.spec.reads and rule.sees(image):
                rule.detector.run(view)
        for extractor in guard.policy.extractors:
            parts += extractor.run(image)
    for part in parts:
        for rule in rules:
            if "text" in rule.detector.spec.reads and rule.sees(part):
                rule.detector.run(View(Stage.INPUT, (part,)))


def fresh(code: str, runs: int = 5) -> float:
    """Milliseconds that a fresh interpreter takes for `code`, less those for nothing."""

    def once(source: str) -> float:
        return ms(lambda: subprocess.run([sys.executable, "-c", source], check=True))

    empty = statistics.median(once("pass") for _ in range(5))
    return statistics.median(once(code) for _ in range(runs)) - empty


def row(what: str, guarded: float, by_hand: float | None, limit: str, holds: bool | None) -> None:
    """A line of the table: milliseconds, and whether the limit holds."""
    hand = "" if by_hand is None else f"{by_hand:.2f}"
    ratio = "" if by_hand is None else f"{guarded / by_hand:.2f}"
    kept = "" if holds is None else "yes" if holds else "no"
    print(f"| {what} | {guarded:.2f} | {hand} | {ratio} | {limit} | {kept} |", flush=True)


def at_start() -> None:
    """Fresh interpreters: the import, and first verdicts with all that they load."""
    importing = fresh("import guardrail", 9)
    row("`import guardrail`", importing, None, "≤ 150 ms", importing <= 150)
    prepare = "from tests.bench.__main__ import *; g = Guard('default'); "
    for name, arguments, by_hand in (
        ("a text", "'Where is my parcel?'", "'Where is my parcel?', None"),
        ("a screenshot", "images=[pictures.screenshot()]", "None, pictures.screenshot()"),
    ):
        guarded = fresh(f"{prepare}g.screen({arguments})")
        row(f"first verdict on {name}", guarded, fresh(f"{prepare}bare(g, {by_hand})"), "", None)


def warm(guard: Guard) -> None:
    """Everything is loaded, nothing is cached."""

    def afresh(text: str | None, picture: bytes | None) -> None:
        guard.runner.cache = MemoryCache()
        guard.screen(text, None if picture is None else [picture])

    def measured(text: str | None, picture: bytes | None, runs: int) -> list[float]:
        return in_turn(runs, lambda: afresh(text, picture), lambda: bare(guard, text, picture))

    for name, draw in PICTURES.items():
        guarded, by_hand = measured(None, draw(), 5)
        row(name, guarded, by_hand, f"≤ {RATIO} times", guarded <= RATIO * by_hand)
    small = 0.0
    for size in (1_000, 10_000, 100_000):
        guarded, by_hand = measured(pictures.sentence(0, size)[:size], None, 15)
        limit, holds = f"≤ {size // 10_000} times 10 kB", guarded <= small * size / 10_000 * 1.15
        if size == 1_000:
            limit, holds = "≤ 6 ms", guarded <= 6
        elif size == 10_000:
            limit, holds, small = "", None, guarded
        row(f"{size // 1000} kB of text", guarded, by_hand, limit, holds)


def reading() -> None:
    """The text of a picture alone, as people see it, without looking for what is hidden."""
    extractor = ocr()
    extractor.warm()
    for name, limit in READING_LIMIT.items():
        picture = PICTURES[name]()
        (took,) = in_turn(5, lambda picture=picture: extractor.run(Image(picture)))
        row(f"reading the {name}", took, None, f"≤ {limit} ms", took <= limit)


def seen_before(guard: Guard) -> None:
    """A picture whose results are cached, beside the sha256 of its bytes."""
    picture = pictures.large()
    guard.screen(images=[picture])
    guarded, digest = in_turn(
        101, lambda: guard.screen(images=[picture]), lambda: hashlib.sha256(picture).hexdigest()
    )
    allowed = 1.5 * digest + 0.3
    limit = f"≤ 1.5 times its sha256 + 0.3 ms = {allowed:.2f} ms"
    name = f"picture of {len(picture) / 1e6:.1f} MB seen before (bare: its sha256)"
    row(name, guarded, digest, limit, guarded <= allowed)


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, one core of {_processor()},")
    print(f"Python {platform.python_version()}, policy `default`, milliseconds", end="")
    print(" of processor time\n" if clock is spent else "\n")
    print("| what | guarded | bare | ratio | limit | holds |")
    print("| --- | ---: | ---: | ---: | --- | --- |")
    at_start()
    guard = Guard("default")
    guard.warm()
    warm(guard)
    reading()
    seen_before(guard)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak resident memory of the benchmark: {peak:.0f} MiB")


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "an unknown processor"


if __name__ == "__main__":
    main()
