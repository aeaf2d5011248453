"""The threads that checks run in."""

from __future__ import annotations

import subprocess
import sys

FIRST_WORK = """
import sys, threading
from guardrail.flow.pools import Pool

whole, met = threading.Event(), []

def work():
    met.append(hasattr(sys.modules.get("numpy"), "ndarray"))
    whole.set()

assert "numpy" not in sys.modules
assert Pool(2).submit(work)
assert whole.wait(60)
print(met)
"""


def test_numpy_is_whole_before_the_first_work() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_WORK], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[True]\n", "")
