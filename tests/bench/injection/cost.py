"""What the injection check costs for 1 kB of text: python -m tests.bench.injection.cost

Best of many runs on one thread, the kinds taken in turn, so that a busy machine slows all alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from guardrail import Stage, Text, View
from guardrail_detectors.injection import injection

ROUNDS = 60
ENGLISH = "The delivery was counted twice and all parts are there, so we can close the order. " * 12
GERMAN = "Die Lieferung wurde zweimal gezählt, und alle Teile sind da, wir schließen ab. " * 12
CHINESE = "货物清点了两次，所有零件都在，我们可以关闭订单了。" * 14


def runs() -> dict[str, Callable[[], object]]:
    full, quick = injection(), injection(encoder=False)
    found: dict[str, Callable[[], object]] = {}
    for name, text in (("English", ENGLISH), ("German", GERMAN), ("Chinese", CHINESE)):
        typed = View(Stage.INPUT, (Text(text),))
        tool = View(Stage.INPUT, (Text(text, role="tool", source="tool"),))
        found[f"{name}, tier one alone"] = lambda view=typed: quick.run(view)
        found[f"{name}, typed"] = lambda view=typed: full.run(view)
        found[f"{name}, from a tool"] = lambda view=tool: full.run(view)
    return found


def main() -> None:
    kinds = runs()
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, run in kinds.items():
            started = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - started)
    for name, times in taken.items():
        print(f"{name:28} {1000 * min(times):7.2f} ms")


if __name__ == "__main__":
    main()
