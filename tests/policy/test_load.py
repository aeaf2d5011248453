"""Policy files: what is right loads, and every mistake is shown where it is.

Each file in `mistakes` has what is said of it beside it (`.txt`). After a wanted change, run
`python -m tests.policy.test_load` to write them anew, and read the difference.
"""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail import Action, Guard, Policy, PolicyError
from guardrail.content import Limits
from guardrail.policy import Mode, OnError, Scope, Timeouts
from guardrail.policy.load import SHIPPED, load_policy, policies_folder
from guardrail.policy.schema import policy_schema
from guardrail.registry import Registry
from guardrail.testing import fixed_detector

HERE = Path(__file__).parent
MISTAKES = sorted((HERE / "mistakes").glob("*.yaml"))
SCHEMA = HERE / "policy.schema.json"


def shipped_plugins() -> Registry:
    """The plug-ins of this checkout, also where another state of it was installed."""
    groups = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    kinds = [
        {
            name: EntryPoint(name, value, f"guardrail.{kind}").load()
            for name, value in groups["entry-points"][f"guardrail.{kind}"].items()
        }
        for kind in ("detectors", "extractors")
    ]
    return Registry(*kinds)


SHIPPED_PLUGINS = shipped_plugins()


def said_of(path: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    return str(caught.value).replace(f"{path.parent}/", "") + "\n"


def test_a_check_that_did_not_run_has_nothing_to_redact() -> None:
    with pytest.raises(ValueError, match="nothing to redact"):
        OnError(Action.BLOCK, Action.REDACT)


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_every_mistake_is_shown_where_it_is(path: Path) -> None:
    assert said_of(path) == path.with_suffix(".txt").read_text("utf-8")


def test_there_are_many_kinds_of_mistakes() -> None:
    assert len(MISTAKES) >= 35


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policies_load_and_fit_the_schema(name: str) -> None:
    policy = load_policy(name)
    assert policy.id == name
    assert policy.rules
    assert policy.tests
    text = (policies_folder() / f"{name}.yaml").read_text("utf-8")
    jsonschema.Draft202012Validator(policy_schema(SHIPPED_PLUGINS)).validate(yaml.safe_load(text))


def test_the_schema_is_the_one_that_editors_have() -> None:
    jsonschema.Draft202012Validator.check_schema(policy_schema(SHIPPED_PLUGINS))
    assert policy_schema(SHIPPED_PLUGINS) == json.loads(SCHEMA.read_text("utf-8"))


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_the_schema_allows_nothing_that_is_refused_for_its_form(path: Path) -> None:
    formal = {
        "unknown_key",
        "unknown_key_in_rule",
        "bad_mode",
        "bad_on_error",
        "bad_timeout",
        "bad_limit",
        "rules_not_a_list",
        "unknown_check",
        "unknown_argument",
        "wrong_when",
        "wrong_argument_type",
        "threshold_over_one",
        "allow_is_no_action",
        "missing_keys",
        "wrong_version",
        "unknown_extractor",
        "bad_engine",
        "bad_id",
        "missing_argument",
    }
    if path.stem not in formal:
        return
    validator = jsonschema.Draft202012Validator(policy_schema(SHIPPED_PLUGINS))
    assert not validator.is_valid(yaml.safe_load(path.read_text("utf-8")))


FULL = """
apiVersion: guardrail/v1
policy: {id: full, version: 14, owner: tns@example.com}
mode: shadow
on_error: {input: block, output: flag}
timeout_ms: 700
scope: {routes: [/v1/*], tenants: [clinic], models: ["qwen*"]}
limits: {max_images: 8, max_image_mb: 10, max_visual_tokens: 6000}
extract: {qr: {formats: [QRCode]}, ocr: }
rules:
  - id: words
    when: [input, tool.text]
    check: {use: keywords, words: [plum]}
    action: replace
    text: "***"
    severity: critical
    on_error: review
    timeout_ms: 5
  - id: pictures
    when: input.image
    check: nsfw
    categories: {nsfw: {flag: 0.4, review: 0.7, block: 0.8}}
    mode: off
  - id: both
    when: output
    check: injection
    threshold: 0.6
    action: flag
changelog: ["14: all keys"]
"""


def test_every_key_arrives(tmp_path: Path) -> None:
    path = tmp_path / "full.yaml"
    path.write_text(FULL, "utf-8")
    policy = load_policy(path)
    assert (policy.version, policy.owner, policy.mode) == ("14", "tns@example.com", Mode.SHADOW)
    assert policy.on_error == OnError(Action.BLOCK, Action.FLAG)
    assert policy.timeouts == Timeouts(700, 700)
    assert policy.scope == Scope(("/v1/*",), ("clinic",), ("qwen*",))
    assert policy.limits == Limits(max_images=8, max_image_mb=10, max_visual_tokens=6000)
    assert [extractor.spec.name for extractor in policy.extractors] == ["qr", "ocr"]
    words, pictures, both = policy.rules
    assert words.when == {"input", "tool.text"}
    assert words.levels == {"*": ((Action.REDACT, 0.5),)}
    assert (words.replacement, words.severity, words.timeout_ms) == ("***", "critical", 5)
    assert words.on_error == OnError(Action.REVIEW, Action.REVIEW)
    assert words.line == 11
    steps = ((Action.FLAG, 0.4), (Action.REVIEW, 0.7), (Action.BLOCK, 0.8))
    assert pictures.levels == {"nsfw": steps}
    assert policy.active() == (words, both)
    assert both.levels == {"*": ((Action.FLAG, 0.6),)}
    assert policy.digest is not None


def test_paths_start_at_the_policys_folder(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("plum # a fruit\n# nothing\npear\n", "utf-8")
    path = tmp_path / "p.yaml"
    path.write_text(
        "apiVersion: guardrail/v1\npolicy: {id: p}\nrules:\n"
        "  - {id: w, when: input, check: {use: keywords, file: words.txt}, action: block}\n",
        "utf-8",
    )
    guard = Guard(path)
    assert guard.screen("a pear").action is Action.BLOCK
    assert guard.screen("a fruit").action is Action.ALLOW


def test_a_mapping_and_plug_ins_of_ones_own() -> None:
    registry = Registry(detectors={"mine": lambda: fixed_detector({"plum": 0.9}, name="mine")})
    policy = load_policy(
        {
            "apiVersion": "guardrail/v1",
            "policy": {"id": "p"},
            "rules": [{"id": "m", "when": "input", "check": "mine", "action": "block"}],
        },
        registry=registry,
    )
    assert isinstance(policy, Policy)
    assert Guard(policy).screen("a plum").action is Action.BLOCK


DEFAULT = (policies_folder() / "default.yaml").read_text("utf-8")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_load_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = DEFAULT.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = data.draw(st.integers(0, len(line)))
        new = data.draw(
            st.sampled_from(
                ["", "  ", ": ", "- ", "[", "}", "&a ", "*a", "!!x ", "\t", "'", "null", "1e9"]
            )
        )
        lines[at] = line[:cut] + new + line[cut + data.draw(st.integers(0, 3)) :]
    path = policies_folder() / "default.yaml"
    damaged = tmp_path_factory.getbasetemp() / "damaged.yaml"
    damaged.write_text("".join(lines), "utf-8")
    assert path.exists()
    try:
        load_policy(damaged)
    except PolicyError as error:
        assert error.mistakes


@given(st.text(max_size=80))
def test_any_text_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, "utf-8", "replace")
    with pytest.raises(PolicyError):
        load_policy(path)


def write_golden() -> None:
    for path in MISTAKES:
        path.with_suffix(".txt").write_text(said_of(path), "utf-8")
    SCHEMA.write_text(json.dumps(policy_schema(SHIPPED_PLUGINS), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    write_golden()
