"""Secrets of every family are found, whole, wherever they stand."""

import pytest

from guardrail.content import Text
from guardrail.detector import Stage, View
from guardrail_detectors.secrets import secrets

ALNUM = "A7bC9dE2fG4hJ6kL8mN1pQ3rS5tU7vW9xY2zB4cD6eF8gH1"
HEX = "3f9a1c7e5b2d8046af13ce97bd520e684c7a91f3"

SECRETS = {
    "AKIA" + "Q7W3E5R2T6Y4U8I9": "AWS_KEY",
    "ghp_" + ALNUM[:36]: "GITHUB_TOKEN",
    "gho_" + ALNUM[:36]: "GITHUB_TOKEN",
    "github_pat_" + ALNUM[:22] + "_" + (ALNUM + ALNUM)[:59]: "GITHUB_TOKEN",
    "glpat-" + ALNUM[:20]: "GITLAB_TOKEN",
    "sk-proj-" + ALNUM: "OPENAI_KEY",
    "sk-ant-api03-" + ALNUM: "ANTHROPIC_KEY",
    "sk_live_" + ALNUM[:24]: "STRIPE_KEY",
    "xoxb-123456789012-123456789012-" + ALNUM[:24]: "SLACK_TOKEN",
    "AIza" + ALNUM[:35]: "GOOGLE_KEY",
    "npm_" + ALNUM[:36]: "API_KEY",
    "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH": "API_KEY",
    "dop_v1_" + (HEX + HEX)[:64]: "API_KEY",
    "shpat_" + HEX[:32]: "API_KEY",
    "dapi" + HEX[:32]: "API_KEY",
}


def found(text: str, **arguments: list[str]) -> list[tuple[str, str]]:
    view = View(Stage.INPUT, (Text(text),))
    return [
        (text[f.where.start : f.where.end], f.label)
        for f in secrets(**arguments).run(view)
        if f.score >= 0.5
    ]


@pytest.mark.parametrize("value", SECRETS)
def test_a_key_is_found_whole(value: str) -> None:
    assert found(f"log line: {value} was used") == [(value, SECRETS[value])]


def test_only_chosen_kinds() -> None:
    text = " ".join(SECRETS)
    assert {label for _, label in found(text, kinds=["JWT", "AWS_KEY"])} == {"AWS_KEY"}
    with pytest.raises(ValueError, match="kinds: choose some of"):
        secrets(kinds=["AWS"])
