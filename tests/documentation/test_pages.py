"""What the documentation shows is what happens."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from pathlib import Path

import click
import pytest
import yaml

from guardrail.cli import main
from guardrail_integrations.proxy.server.configuration import ProxyFile
from tests.documentation.pages import PAGES, ROOT, blocks, played, steady, workplace

README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_happens(page: Path) -> None:
    text = page.read_text("utf-8")
    with workplace():
        now = played(text)
    assert steady(now).splitlines() == steady(text).splitlines()


def of_the_proxy() -> list[str]:
    found = [blocks(page.read_text("utf-8")) for page in PAGES]
    return [block.body for page in found for block in page if block.language == "yml"]


@pytest.mark.parametrize("body", of_the_proxy())
def test_a_file_of_the_proxy_can_be_read(body: str) -> None:
    upstreams = {"vllm": {"url": "http://localhost:8000"}}
    ProxyFile.model_validate({"upstreams": upstreams, **yaml.safe_load(body)})


def test_the_readme_opens_with_two_commands_and_a_short_example() -> None:
    shown = blocks(README)
    assert [block.body.splitlines()[0] for block in shown[:2]] == ["$ make demo", "$ make test"]
    example = next(block for block in shown if block.language == "python")
    assert len([line for line in example.body.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_every_command_is_described() -> None:
    described = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for name in main.list_commands(click.Context(main)):
        assert f"$ guardrail {name} " in described


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_an_example_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    shown = re.search(r'^"""(.*?)"""', path.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    _, _, expected = shown[1].partition("It prints:\n")
    lines = [line.removeprefix("    ") for line in expected.strip("\n").splitlines()]
    assert steady(printed.getvalue()).splitlines() == steady("\n".join(lines)).splitlines()
