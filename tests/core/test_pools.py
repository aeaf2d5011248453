"""The threads that checks run in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from guardrail.flow import pools
from guardrail.flow.pools import NICE, Pool

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


OUT_OF_TIME = """
from PIL import Image, ImageDraw
from guardrail import Guard
from guardrail.policy import Policy

page = Image.new("RGB", (1600, 1200), "white")
for line in range(60):
    ImageDraw.Draw(page).text((10, 20 * line), f"{line} a line of many small words " * 6, "black")
rule = {"id": "words", "when": ["input"], "check": {"use": "injection"}, "action": "block"}
policy = {
    "apiVersion": "guardrail/v1",
    "policy": {"id": "hasty", "version": 1},
    "timeout_ms": {"image": WAIT},
    "rules": [rule],
}
print(Guard(policy).screen(images=[page]).action)
"""


@pytest.mark.parametrize("wait", [1, 700])
def test_a_process_ends_well_while_a_check_that_ran_out_of_time_is_at_work(wait: int) -> None:
    code = OUT_OF_TIME.replace("WAIT", str(wait))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "block\n", "")


def test_only_so_many_checks_of_pictures_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_cores", lambda: 2)
    pool, met, most = Pool(yields=True), threading.Barrier(2), [0]
    running, ended, lock = [0], threading.Semaphore(0), threading.Lock()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        met.wait(10)  # two do work at once
        with lock:
            running[0] -= 1
        ended.release()

    for _ in range(8):
        assert pool.submit(work)
    assert all(ended.acquire(timeout=10) for _ in range(8))
    assert most[0] == 2


def test_a_check_that_hangs_keeps_others_waiting_for_a_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_cores", lambda: 1)
    monkeypatch.setattr(pools, "TURN_S", 0.05)
    pool, go, ended = Pool(yields=True), threading.Event(), threading.Event()
    assert pool.submit(lambda: go.wait(10) and None)
    assert pool.submit(ended.set)
    assert ended.wait(10)
    assert not go.is_set()
    go.set()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it for threads")
@pytest.mark.parametrize("further", [0, 4, 30])
def test_checks_of_pictures_go_behind_all_others(further: int) -> None:
    nice: list[int] = []
    ended = threading.Event()

    def work() -> None:
        nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        ended.set()

    pool = Pool(yields=True)
    pool.nice += further
    assert pool.submit(work)
    assert ended.wait(10)
    assert nice == [min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICE + further)]
