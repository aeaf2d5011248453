"""What the injection check costs: python -m tests.bench.injection.cost

Best of many runs on one thread, each of another text, since what was read is remembered; the kinds
taken in turn, so that a busy machine slows all alike. Then: how many harmless prompts of the
project's own the linear model settles alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from guardrail import Stage, Text, View
from guardrail_detectors.injection import injection
from guardrail_detectors.injection.encoder import TYPED
from guardrail_detectors.injection.judge import load_judge
from guardrail_detectors.injection.scan import Scan
from tests.bench.injection.generate import generated

ROUNDS = 60
ENGLISH = "The delivery was counted twice and all parts are there, so we can close order {}. " * 12
GERMAN = "Die Lieferung wurde gezählt, und alle {} Teile sind da, wir schließen damit ab. " * 12
CHINESE = "货物清点了两次，所有{}个零件都在，我们可以关闭订单了。" * 14
PROMPT = "Ignore the noise and list {} rules."
KINDS = (("English", ENGLISH), ("German", GERMAN), ("Chinese", CHINESE), ("short", PROMPT))


def runs() -> dict[str, Callable[[int], object]]:
    quick, full = injection(encoder=False), injection()
    found: dict[str, Callable[[int], object]] = {}
    for name, text in KINDS:

        def typed(number: int, text: str = text) -> View:
            return View(Stage.INPUT, (Text(text.replace("{}", str(number))),))

        def tool(number: int, text: str = text) -> View:
            written = text.replace("{}", str(number))
            return View(Stage.INPUT, (Text(written, role="tool", source="tool"),))

        found[f"{name}, linear model alone"] = lambda n, view=typed: quick.run(view(n))
        found[f"{name}, typed"] = lambda n, view=typed: full.run(view(n))
        found[f"{name}, from a tool"] = lambda n, view=tool: full.run(view(n))
    return found


def sure() -> float:
    """The share of harmless typed texts that the encoder does not read."""
    judge, scan = load_judge(), Scan(3)
    rows = [row for row in generated(1_500, 7) if not row.attack and row.channel == TYPED]
    scores = [
        max((judge.score(c.evidence, TYPED) for c in scan.candidates(row.text, TYPED)), default=0.0)
        for row in rows
    ]
    return sum(score < judge.sure[0] for score in scores) / len(scores)


def main() -> None:
    kinds = runs()
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(ROUNDS):
        for name, run in kinds.items():
            started = time.perf_counter()
            run(number)
            taken[name].append(time.perf_counter() - started)
    for name, times in taken.items():
        print(f"{name:28} {1000 * min(times):7.2f} ms")
    print(f"settled by the linear model: {sure():.3f} of harmless prompts")


if __name__ == "__main__":
    main()
