"""The commands, run as a user runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from guardrail.canaries import CANARIES, TEXT
from guardrail.cli import main
from guardrail.cli.drawing import chat, invoice, receipt


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GUARDRAIL_RECORDS", str(tmp_path / "records.jsonl"))
    for name, draw in (("receipt", receipt), ("invoice", invoice), ("chat", chat)):
        (tmp_path / f"{name}.png").write_bytes(draw())
    (tmp_path / "broken.png").write_bytes(receipt()[:3000])
    return tmp_path


def guardrail(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_check_allows_and_says_so(folder: Path) -> None:
    done = guardrail("check", "--prompt", "hello", "--image", folder / "receipt.png")
    assert done.exit_code == 0, done.output
    assert re.search(r"input: allow", done.output)
    assert "ocr on images/0" in done.output


def test_check_blocks_with_exit_10(folder: Path) -> None:
    done = guardrail("check", "--image", folder / "invoice.png")
    assert done.exit_code == 10
    assert "injection" in done.output


def test_check_redacts_the_answer(folder: Path) -> None:
    done = guardrail("check", "--output", "pay to 4111 1111 1111 1111 please")
    assert done.exit_code == 0
    assert "pay to [CARD] please" in done.output


def test_check_prints_records_as_json(folder: Path) -> None:
    done = guardrail("check", "--prompt", TEXT, "--json")
    (record,) = json.loads(done.output)
    assert record["stages"][0]["action"] == "block"
    assert record["schema_version"] == 1
    assert "system prompt" not in done.output


def test_check_blocks_what_it_cannot_open(folder: Path) -> None:
    done = guardrail("check", "--image", folder / "broken.png")
    assert done.exit_code == 10
    assert "cut off" in done.output


@pytest.mark.parametrize(
    "arguments", [["check"], ["check", "--prompt", "x", "--policy", "nowhere.yaml"]]
)
def test_usage_errors_end_with_2(folder: Path, arguments: list[str]) -> None:
    assert guardrail(*arguments).exit_code == 2


def test_explain_says_why_and_draws_the_boxes(folder: Path) -> None:
    blocked = guardrail("check", "--image", folder / "invoice.png")
    record = re.search(r"gr_\w+", blocked.output)
    assert record is not None
    done = guardrail("explain", record[0], "--image", folder / "invoice.png")
    assert done.exit_code == 0, done.output
    assert re.search(r"injection \(.*default.yaml:\d+\) ended as hit: block\n", done.output)
    assert "found by injection" in done.output
    assert f"2 boxes drawn: {folder / 'invoice.explained.png'}\n" in done.output
    assert (folder / "invoice.explained.png").exists()
    other = guardrail("explain", record[0], "--image", folder / "receipt.png")
    assert other.exit_code == 2
    assert "not in that call" in other.output
    assert guardrail("explain", "gr_unknown").exit_code == 2


def scan_rows(folder: Path) -> Path:
    path = folder / "in.jsonl"
    lines = [
        {"id": "a", "prompt": "hello", "images": ["receipt.png"]},
        {"id": "b", "prompt": TEXT},
        {"prompt": "mine is 4111 1111 1111 1111", "output": "so 4111 1111 1111 1111"},
        {"id": "d", "images": "chat.png"},
        {"id": "e", "images": ["broken.png"]},
    ]
    text = "\n".join([json.dumps(line) for line in lines])
    path.write_text(text + '\nno json\n{"id": "g", "images": ["gone.png"]}\n[1]\n', "utf-8")
    return path


def test_scan_gives_a_row_for_every_row(folder: Path) -> None:
    out = folder / "out.jsonl"
    done = guardrail("scan", scan_rows(folder), "-o", out, "--all-scores")
    assert done.exit_code == 3
    found = rows(out)
    assert [row["id"] for row in found] == ["a", "b", 3, "d", "e", 6, "g", 8]
    actions = [row["action"] for row in found]
    assert actions == [
        "allow",
        "block",
        "redact",
        "redact",
        "block",
        "error",
        "error",
        "error",
    ]
    a, b, c, d, e, *_ = found
    assert {"detector": "nsfw", "label": "nsfw", "hit": False}.items() <= a["findings"][0].items()
    hit = next(f for f in b["findings"] if f["detector"] == "injection")
    assert hit["hit"] is True
    assert hit["where"] == {"part": "prompt", "start": 0, "end": len(TEXT)}
    assert c["redacted"] == {"prompt": "mine is [CARD]", "output": "so [CARD]"}
    card = next(f for f in d["findings"] if f["label"] == "CARD")
    assert card["where"]["part"] == "images/0"
    assert len(card["where"]["box"]) == 4
    limits = next(rule for rule in e["rules"] if rule["id"] == "limits")
    assert (limits["status"], limits["action"]) == ("error", "block")
    assert all("ms" in row for row in (a, b, c, d, e))


def test_scan_takes_any_bytes(folder: Path) -> None:
    source, out, policy = folder / "in.jsonl", folder / "out.jsonl", folder / "policy.yaml"
    policy.write_text(
        "apiVersion: guardrail/v1\npolicy: {id: words}\nrules:\n"
        "  - {id: w, when: input, check: {use: keywords, words: [teapot]}, action: redact}\n"
    )
    source.write_bytes(
        b'{"id": "a", "prompt": "hi \xff"}\n\xff\xfe\n\x00\n'
        b'{"id": "\\ud800", "prompt": "a teapot \\udc00"}\n'
        b'{"id": "c", "images": ["\\ud800.png"]}\n{"id": "d", "images": ["a\\u0000"]}\n'
    )
    done = guardrail("scan", source, "-o", out, "--policy", policy)
    assert done.exit_code == 3
    found = rows(out)
    assert [row["id"] for row in found] == [1, 2, 3, "\ud800", "c", "d"]
    assert [row["action"] for row in found] == [*["error"] * 3, "redact", "error", "error"]
    assert found[3]["redacted"]["prompt"].endswith("\udc00")


def test_scan_goes_on_where_it_stopped(folder: Path) -> None:
    out = folder / "out.jsonl"
    guardrail("scan", scan_rows(folder), "-o", out)
    whole = out.read_text("utf-8")
    cut = whole.splitlines(keepends=True)
    out.write_text("".join(cut[:3]) + cut[3][:20], "utf-8")
    done = guardrail("scan", scan_rows(folder), "-o", out)
    assert f"{out}: 3 rows are there already\n" in done.output

    def timeless(text: str) -> list[Any]:
        return [
            {k: v for k, v in json.loads(line).items() if k != "ms"} for line in text.splitlines()
        ]

    assert timeless(out.read_text("utf-8")) == timeless(whole)
    assert done.exit_code == 3


def test_scan_writes_into_no_file_of_other_rows(folder: Path) -> None:
    source, other = folder / "in.jsonl", folder / "other.jsonl"
    for path in (source, other):
        path.write_text('{"prompt": "hello"}\n{"prompt": "cut"', "utf-8")
    before = source.read_bytes()
    for target, reason in (
        (source, "need a file of their own"),
        (other, "line 1 is no row of a scan"),
        (folder / "nowhere" / "out.jsonl", "No such file or directory"),
    ):
        done = guardrail("scan", source, "-o", target, "--policy", "monitor")
        assert done.exit_code == 2
        assert f"{target}: " in done.output
        assert reason in done.output
    assert (source.read_bytes(), other.read_bytes()) == (before, before)


WORDS = """apiVersion: guardrail/v1
policy: {id: words}
rules:
  - {id: w, when: input, check: {use: keywords, words: [teapot]}, action: block}
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_terminal_of_any_encoding_will_do(folder: Path, encoding: str, form: list[str]) -> None:
    (folder / "policy.yaml").write_text(WORDS, "utf-8")
    arguments = ["check", "--policy", str(folder / "policy.yaml"), "--prompt", "a teapot é", *form]
    done = subprocess.run(
        [sys.executable, "-c", "from guardrail.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 10, done.stderr.decode(encoding)
    said = done.stdout.decode(encoding)
    if form:
        said = json.loads(said)[0]["stages"][0]["reason"]
        assert said == "w: keyword 1.00 ≥ 0.50"
    assert "keyword 1.00" in said


def test_what_cannot_be_written_or_read_is_told_in_a_line(folder: Path) -> None:
    text = folder / "text.jsonl"
    text.write_text('{"text": "hi", "answer": "3", "type": "objekt"}', "utf-8")
    for arguments, reason in (
        (("redteam", "render", text, "-o", text / "into"), "into: Not a directory"),
        (("eval", "schema", text, "--schema", folder / "chat.png"), "chat.png: not JSON"),
        (("eval", "schema", text, "--schema", text), "text.jsonl: #: "),
        (("explain", "gr_1", "--records", folder / "chat.png"), "no record gr_1"),
    ):
        done = guardrail(*arguments)
        assert done.exit_code == 2, done.output
        assert reason in done.output
        assert "Traceback" not in done.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_scan_into_a_pipe_and_onto_a_full_disk(folder: Path) -> None:
    source, policy = folder / "in.jsonl", folder / "policy.yaml"
    source.write_text('{"prompt": "a teapot"}\n', "utf-8")
    policy.write_text(WORDS, "utf-8")
    scan = ["from guardrail.cli import main; main()", "scan", str(source), "--policy", str(policy)]
    for target in ("/dev/stdout", "/dev/full"):
        command = [sys.executable, "-c", *scan, "-o", target]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        if target == "/dev/stdout":
            assert json.loads(done.stdout)["action"] == "block"
            assert done.returncode == 0
        else:
            assert b"No space left on device" in done.stderr
            assert b"Traceback" not in done.stderr
            assert done.returncode == 2


def test_a_closed_output_is_no_failure(folder: Path) -> None:
    (folder / "policy.yaml").write_text(WORDS, "utf-8")
    asked = ["check", "--policy", str(folder / "policy.yaml"), "--prompt", "a teapot"]
    code = "import sys; sys.stdout = None; from guardrail.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, check=False)
    assert done.returncode == 10, done.stderr.decode()


def test_scan_reads_other_peoples_fields(folder: Path) -> None:
    source, out = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text('{"text": "hello", "file": "receipt.png", "key": 7}\n', "utf-8")
    done = guardrail(
        "scan",
        source,
        "-o",
        out,
        "--prompt-field",
        "text",
        "--image-field",
        "file",
        "--id-field",
        "key",
    )
    assert done.exit_code == 0
    assert rows(out)[0]["id"] == 7


def test_doctor_finds_every_check_well() -> None:
    done = guardrail("doctor", "--json")
    assert done.exit_code == 0, done.output
    report = {health["name"]: health for health in json.loads(done.output)}
    assert {canary.detector for canary in CANARIES} <= set(report)
    assert {health["state"] for health in report.values()} == {"works"}


def test_doctor_says_what_is_missing(folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(
        "apiVersion: guardrail/v1\npolicy: {id: p}\nrules:\n"
        '  - {id: n, when: input, check: {use: nsfw, model: "hf:./no-such-folder",'
        " unsafe_classes: [x]}, action: block}\n",
        "utf-8",
    )
    done = guardrail("doctor", "--policy", policy, "--json")
    assert done.exit_code == 1
    (health,) = [h for h in json.loads(done.output) if h["name"] == "nsfw"]
    assert health["state"] != "works"
    assert health["missed"] == ["explicit picture"]


def test_demo_tells_its_story(tmp_path: Path) -> None:
    done = guardrail("demo", "--out", tmp_path / "pictures")
    assert done.exit_code == 0, done.output
    assert "blocked: injection" in done.output
    assert "the model got a redacted picture" in done.output
    assert (tmp_path / "pictures" / "chat.redacted.png").exists()


def test_policies_are_tested_by_command() -> None:
    done = guardrail("policy", "test", "default", "strict", "monitor")
    assert done.exit_code == 0, done.output
    assert re.search(r"\d+ passed, 0 failed", done.output)


def test_a_failing_policy_test_says_why(folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(
        "apiVersion: guardrail/v1\npolicy: {id: p}\nrules:\n"
        "  - {id: w, when: input, check: {use: keywords, words: [plum]}, action: block}\n"
        "tests:\n  - {prompt: an apple, expect: block}\n  - {prompt: a plum, expect: {w: block}}\n",
        "utf-8",
    )
    done = guardrail("policy", "test", policy)
    assert done.exit_code == 1
    assert "expected block, got allow" in done.output
    assert "1 passed, 1 failed" in done.output


def test_a_policy_is_shown_with_its_defaults() -> None:
    done = guardrail("policy", "show", "default")
    assert done.exit_code == 0
    for word in ("explicit-pictures", "timeout_ms", "max_images", "CARD"):
        assert word in done.output


def test_a_wrong_policy_names_the_line(folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text("apiVersion: guardrail/v1\npolicy: {id: p}\nrules:\n  - {id: x}\n", "utf-8")
    done = guardrail("policy", "check", policy)
    assert done.exit_code == 2
    assert f"{policy}:4: rules[0]" in done.output


def test_a_scan_says_that_its_policy_has_changed(folder: Path) -> None:
    source, out, policy = folder / "in.jsonl", folder / "out.jsonl", folder / "policy.yaml"
    source.write_text('{"prompt": "one"}\n{"prompt": "two"}\n', "utf-8")
    policy.write_text(WORDS, "utf-8")
    guardrail("scan", source, "-o", out, "--policy", policy)
    (digest,) = {row["policy"] for row in rows(out)}
    assert len(digest) == 64
    again = guardrail("scan", source, "-o", out, "--policy", policy)
    assert "2 rows are there already" in again.output
    assert "another policy" not in again.output
    policy.write_text(WORDS + "# changed\n", "utf-8")
    with source.open("a", encoding="utf-8") as more:
        more.write('{"prompt": "three"}\n')
    again = guardrail("scan", source, "-o", out, "--policy", policy)
    assert f"2 rows were made under another policy than {policy} is now" in again.output
    assert [row["policy"] == digest for row in rows(out)] == [True, True, False]


def test_explain_wants_an_id_that_is_one_records(folder: Path) -> None:
    records = folder / "records.jsonl"
    for _ in range(3):
        guardrail("check", "--prompt", "hi", "--policy", "monitor", "--records", records)
    first = rows(records)[0]["id"]
    for given, said in (("", "is needed"), ("gr_", "3 records begin with gr_")):
        done = guardrail("explain", given, "--records", records)
        assert done.exit_code == 2
        assert said in done.output
    assert first in guardrail("explain", first, "--records", records).output


def test_counts_are_in_words_that_fit(folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(WORDS, "utf-8")
    assert "1 rule, 0 tests, no mistakes" in guardrail("policy", "check", policy).output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[]", "no row"),
        (b"{", "no row"),
        (b"\xff", "no row"),
        (b"[" * 100_000, "no row"),
        (b'{"answer": "x", "finish_reason": 3}', "finish_reason: not a text"),
    ],
)
def test_bad_rows_of_answers_are_a_usage_error(folder: Path, line: bytes, said: str) -> None:
    answers, schema = folder / "answers.jsonl", folder / "schema.json"
    answers.write_bytes(b'{"answer": "1"}\n' + line)
    schema.write_text('{"type": "integer"}', "utf-8")
    done = guardrail("eval", "schema", answers, "--schema", schema)
    assert done.exit_code == 2
    assert f"{answers}:2: {said}" in done.output
