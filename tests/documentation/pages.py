"""The code, policies and commands in the documentation, run: python -m tests.documentation.pages

Run as a program, it writes what the commands and programs print back into the pages where it has
changed by more than times and identifiers, or, with --all, in any case.

    ```python     runs; the blocks of a page share one namespace
    ```text       right after a python block: what that block prints
    ```console    `$ guardrail ...` runs, the lines below are what it prints
    ```yaml       a policy, or a piece of one
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from guardrail.cli import main
from guardrail.cli.drawing import SCENES
from guardrail.policy.load import load_policy

ROOT = Path(__file__).parents[2]
WIDTH = 80  # columns for help, of which click leaves two free
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = [
    (r"gr_[0-9a-f]+", "gr_ID"),
    (r"\b1/[\d.]+/[\d.]+", "VERSION"),
    (r" after \d[\d.]* ms of loading", ""),
    (r"\d[\d.]* ms", "N ms"),
    (r"\d+ bytes", "N bytes"),
    (r"sha256 [0-9a-f]+", "sha256 HEX"),
    (r"'sha256': '[0-9a-f]+'", "'sha256': 'HEX'"),
    (r"\((\d+, )+\d+\)", "(BOX)"),
    (r"(?<=│) +\d+\.\d+ +(?=│)", " N "),
    (r"\b[01]\.\d+", "SCORE"),
    (r"\b\d+\.\d\b", "N"),
    (r"[ ─━]+", " "),
]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    body: str
    start: int  # of the body, in the page
    line: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks, in order."""
    return [
        Block(found[1], found[2], found.start(2), page.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(page)
    ]


def steady(output: str) -> str:
    """Output without what differs from run to run and from machine to machine."""
    for pattern, word in _VARYING:
        output = re.sub(pattern, word, output)
    return "\n".join(line.rstrip() for line in output.strip().splitlines())


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with what the documentation speaks of, as the working directory."""
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scene in SCENES:
            (folder / f"{scene.name}.png").write_bytes(scene.draw())
        (folder / "policies").symlink_to(ROOT / "policies")
        os.environ["GUARDRAIL_RECORDS"] = str(folder / "records.jsonl")
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(environment)


def as_policy(body: str) -> dict[str, Any]:
    """A policy from a block that may be a piece of one."""
    piece = yaml.safe_load(body)
    if isinstance(piece, list):
        piece = {"rules": piece}
    head = {"apiVersion": "guardrail/v1", "policy": {"id": "piece"}, "rules": []}
    return head | piece


def played(page: str, *, afresh: bool = False) -> str:
    """The page with everything in it run and its outputs as they are now.

    `afresh` starts a process for each command, so that first times are first times.
    """
    found, outputs = blocks(page), dict[int, str]()
    names: dict[str, Any] = {"__name__": "documentation"}
    last: str | None = None
    for number, block in enumerate(found):
        if block.language == "yaml":
            load_policy(as_policy(block.body))
        elif block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(
                    compile("\n" * block.line + block.body, "page", "exec", dont_inherit=True),
                    names,
                )
            last = printed.getvalue()
            continue
        elif block.language == "text" and last is not None:
            outputs[number] = last
        elif block.language == "console":
            outputs[number] = _console(block.body, afresh)
        last = None
    for number, output in sorted(outputs.items(), reverse=True):
        block = found[number]
        page = page[: block.start] + output.rstrip() + "\n" + page[block.start + len(block.body) :]
    return page


def _console(body: str, afresh: bool) -> str:
    said = []
    for part in filter(None, re.split(r"^(?=\$ )", body, flags=re.MULTILINE)):
        command, _, shown = part.partition("\n")
        words = shlex.split(command.removeprefix("$ "), comments=True)
        if words == ["make", "demo"]:
            words = ["guardrail", "demo"]
        if words[:1] != ["guardrail"]:
            said.append(part.rstrip())
            continue
        lines = (_process if afresh else _in_process)(words[1:]).splitlines()
        if shown.rstrip().endswith("..."):  # the page shows the beginning
            lines = [*lines[: shown.rstrip().count("\n")], "..."]
        said.append("\n".join([command, *(line.rstrip() for line in lines)]).rstrip())
    return "\n".join(said)


def _in_process(words: list[str]) -> str:
    done = CliRunner().invoke(main, words, prog_name="guardrail", terminal_width=WIDTH - 2)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def _process(words: list[str]) -> str:
    guardrail = Path(sys.executable).with_name("guardrail")
    wide = os.environ | {"COLUMNS": str(WIDTH)}
    return subprocess.run([guardrail, *words], capture_output=True, text=True, env=wide).stdout


if __name__ == "__main__":
    for path in PAGES:
        text = path.read_text("utf-8")
        with workplace():
            now = played(text, afresh=True)
        if "--all" in sys.argv or steady(now) != steady(text):
            path.write_text(now, "utf-8")
            print(f"{path.name}: outputs written anew")
