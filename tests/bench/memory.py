"""Resident memory over many screenings: python -m tests.bench.memory [COUNT]

Every picture and prompt is new, and sizes vary, so that nothing comes from the cache.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from guardrail import Guard
from guardrail.cli.drawing import Line, page, png
from tests.bench.pictures import sentence


def resident_mib() -> float:
    """Resident memory of this process in MiB (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(count: int) -> None:
    guard = Guard("default")
    guard.warm()
    rng = np.random.default_rng(0)
    print("| screenings | MiB resident |\n| ---: | ---: |")
    for number in range(count + 1):
        if number % (count // 10) == 0:
            print(f"| {number} | {resident_mib():.0f} |", flush=True)
        size = (int(rng.integers(160, 640)), int(rng.integers(120, 480)))
        text = sentence(number, 20)
        picture = png(page(size, [Line(10, 20, f"{number} {text}", 16)]))
        guard.screen(f"{number} {sentence(number, 300)}", [picture])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
