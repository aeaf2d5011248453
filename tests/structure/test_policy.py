"""Schemas named by a policy, and the command that measures them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from guardrail import Action, Blocked, Guard, PolicyError
from guardrail.cli import main
from guardrail.testing import CapturedRecords
from tests.structure.test_reading import TEXT, Invoice
from tests.structure.test_typed import WRONG, chat


def policy(check: dict[str, Any], **rule: Any) -> dict[str, Any]:
    rule = {
        "id": "form",
        "when": "output",
        "check": {"use": "schema", **check},
        "action": "block",
        **rule,
    }
    return {"apiVersion": "guardrail/v1", "policy": {"id": "p"}, "rules": [rule]}


@pytest.fixture
def schema_file(tmp_path: Path) -> Path:
    path = tmp_path / "invoice.schema.json"
    path.write_text(json.dumps(Invoice.model_json_schema()), "utf-8")
    return path


def test_answers_are_held_to_the_file(schema_file: Path) -> None:
    records = CapturedRecords()
    guard = Guard(policy({"file": str(schema_file)}, ask_again=1), sinks=[records])
    answers = [WRONG, f"```json\n{TEXT}\n```"]
    asked = []

    @guard
    def read(prompt: str) -> str:
        asked.append(prompt)
        return answers.pop(0)

    assert read("read it").startswith("```json")
    assert asked[1].endswith("- $.items[0].price: a number is expected")
    answers += [WRONG, WRONG]
    with pytest.raises(Blocked, match="form: invalid_value"):
        read("read it")


def test_a_policy_file_finds_its_schema_beside_it(schema_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps(policy({"file": schema_file.name})), "utf-8")
    assert Guard(path).check(TEXT).action is Action.ALLOW
    assert Guard(path).check(WRONG).action is Action.BLOCK
    assert Guard(path).check(chat({"content": TEXT})).action is Action.ALLOW
    reasoned = chat({"content": TEXT, "reasoning_content": "let me {see}"})
    assert Guard(path).check(reasoned).action is Action.ALLOW
    cut = Guard(path).check(chat({"content": TEXT[:50]}, "length"))
    assert [finding.label for finding in cut.findings] == ["cut_off"]


def test_each_label_has_its_action(schema_file: Path) -> None:
    levels = {"mended": "flag", "cut_off": "review", "invalid_json": "block"}
    rules = policy({"file": str(schema_file)}, categories=levels)
    del rules["rules"][0]["action"]
    guard = Guard(rules)
    assert guard.check(f"So: {TEXT}").action is Action.FLAG
    assert guard.check(chat({"content": TEXT[:50]}, "length")).action is Action.REVIEW
    assert guard.check(TEXT[:50]).action is Action.BLOCK
    assert guard.check(WRONG).action is Action.ALLOW
    strict = Guard(policy({"file": str(schema_file), "mend": False}))
    assert strict.check(f"So: {TEXT}").action is Action.BLOCK


def test_nothing_of_a_stream_leaves_before_the_check(schema_file: Path) -> None:
    answers = [WRONG, TEXT, WRONG, WRONG]
    guard = Guard(policy({"file": str(schema_file)}, ask_again=1))

    @guard
    def stream(prompt: str) -> Iterator[str]:
        text = answers.pop(0)
        yield from (text[start : start + 10] for start in range(0, len(text), 10))

    assert "".join(stream("read it")) == TEXT
    seen: list[str] = []
    with pytest.raises(Blocked):
        seen.extend(stream("read it"))
    assert seen == []


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({}, "give either file or definition"),
        ({"file": "none.json"}, "file: No such file or directory"),
        ({"definition": {"$ref": "http://x.y"}}, "#: $ref: only places in this document"),
        ({"definition": {"pattern": "(a+)+\\1"}}, "#: pattern: this expression cannot be run in linear time"),
    ],
)  # fmt: skip
def test_schemas_that_cannot_be_used_are_mistakes_of_the_file(
    check: dict[str, Any], said: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        Guard(policy(check))
    assert said in str(caught.value)


def test_recorded_answers_are_counted(schema_file: Path, tmp_path: Path) -> None:
    rows = [
        {"answer": TEXT},
        {"answer": f"```\n{TEXT}\n```"},
        {"answer": WRONG},
        {"answer": TEXT[:40], "finish_reason": "length"},
    ]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    done = CliRunner().invoke(main, ["eval", "schema", str(answers), "--schema", str(schema_file)])
    assert done.exit_code == 0, done.output
    for line in (
        "valid ",
        "mended ",
        "invalid_value ",
        "cut_off ",
        "1  $.items[0].price: a number is expected",
    ):
        assert line in done.output
    answers.write_text('{"text": 1}\n')
    done = CliRunner().invoke(main, ["eval", "schema", str(answers), "--schema", str(schema_file)])
    assert done.exit_code == 2
    assert 'answers.jsonl:1: no row {"answer": ...}' in done.output
    done = CliRunner().invoke(main, ["eval", "schema", str(answers)])
    assert "--schema is needed" in done.output


def test_what_is_dressed_up_is_mended_and_what_is_cut_is_not() -> None:
    done = CliRunner().invoke(main, ["eval", "schema", "--no-decoding"])
    assert done.exit_code == 0, done.output
    assert "mended     24 of 24" in done.output
    assert "cut answers taken for whole   0 of 200" in done.output
