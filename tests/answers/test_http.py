"""The HTTP check against a real server: its answers, and everything that can go wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from guardrail import Guard, NotRun, Span, Stage, Status, Text, View
from guardrail_detectors.http import MAX_ANSWER, http
from tests.posts import Posts, in_json, posts


@pytest.fixture
def service() -> Iterator[Posts]:
    with posts(lambda _: in_json({})) as server:
        yield server


def view(text: str = "you are a moron") -> View:
    return View(Stage.OUTPUT, (Text(text, name="output", role="assistant", source="model"),))


def gives(service: Posts, value: Any, status: int = 200) -> None:
    code, body, headers = in_json(value, status)
    service.answer = lambda _: (code, body, {**headers, "location": "/elsewhere"})


def test_scores_are_findings_on_the_whole_text(service: Posts) -> None:
    gives(service, {"scores": {"toxic": 0.9, "threat": 0}})
    found = http(url=service.url, labels=["toxic", "threat"]).run(view())
    assert [(f.label, f.score, f.where) for f in found] == [
        ("toxic", 0.9, Span("output", 0, 15)),
        ("threat", 0.0, Span("output", 0, 15)),
    ]
    assert [post.json for post in service.posts] == [
        {
            "text": "you are a moron",
            "stage": "output",
            "role": "assistant",
            "labels": ["toxic", "threat"],
        }
    ]


def test_findings_keep_their_places(service: Posts) -> None:
    gives(service, {"findings": [{"label": "toxic", "score": 1, "start": 10, "end": 15}]})
    policy = {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "p"},
        "rules": [
            {
                "id": "t",
                "when": "output",
                "check": {"use": "http", "url": service.url, "labels": ["toxic"]},
                "action": "redact",
            }
        ],
    }
    checked = Guard(policy).check("you are a moron")
    assert [text.text for text in checked.content.texts] == ["you are a [toxic]"]


WRONG: dict[str, tuple[int, Any]] = {
    "an error": (500, {"scores": {"toxic": 0}}),
    "too many requests": (429, {}),
    "another success": (204, b""),
    "a redirection": (302, {"scores": {"toxic": 0}}),
    "no JSON": (200, b"<html>"),
    "half of it": (200, b'{"scores": {"toxic"'),
    "no UTF-8": (200, b"\xff\xfe"),
    "a list": (200, [1]),
    "nothing": (200, {}),
    "scores of another form": (200, {"scores": [0.5]}),
    "findings of another form": (200, {"findings": {"toxic": 1}}),
    "a finding that is none": (200, {"findings": ["toxic"]}),
    "an unknown category": (200, {"scores": {"spam": 0.5}}),
    "a score over one": (200, {"scores": {"toxic": 2}}),
    "a score under zero": (200, {"scores": {"toxic": -0.1}}),
    "no number": (200, {"scores": {"toxic": "high"}}),
    "a truth": (200, {"scores": {"toxic": True}}),
    "nothing for a score": (200, {"scores": {"toxic": None}}),
    "not a number": (200, b'{"scores": {"toxic": NaN}}'),
    "a place outside": (200, {"findings": [{"label": "toxic", "score": 1, "start": 0, "end": 99}]}),
    "half a place": (200, {"findings": [{"label": "toxic", "score": 1, "start": 0}]}),
    "too much": (200, b'{"scores": {"toxic": 0.1}, "x": "' + b"a" * MAX_ANSWER + b'"}'),
    "nested deeply": (200, b'{"scores":' + b"[" * 100_000),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_no_pass(service: Posts, case: str) -> None:
    status, value = WRONG[case]
    gives(service, value, status)
    with pytest.raises(NotRun) as caught:
        http(url=service.url, labels=["toxic"]).run(view())
    assert "moron" not in str(caught.value)


def test_a_slow_service_is_not_waited_for(service: Posts) -> None:
    service.answer = lambda _: (time.sleep(1.0), in_json({}))[1]
    with pytest.raises(NotRun, match="in time"):
        http(url=service.url, labels=["toxic"], read_ms=50).run(view())


def test_a_service_that_is_away_blocks_under_a_policy() -> None:
    rule = {
        "id": "t",
        "when": "output",
        "check": {"use": "http", "url": "http://127.0.0.1:9/", "labels": ["toxic"]},
        "action": "flag",
    }
    policy = {"apiVersion": "guardrail/v1", "policy": {"id": "p"}, "rules": [rule]}
    checked = Guard(policy).check("hello")
    assert str(checked.action) == "block"
    (result,) = [r for r in checked.verdict.rules if r.rule == "t"]
    assert result.status is Status.NOT_RUN
    assert "cannot be reached" in result.reason


def test_secrets_come_from_the_environment(service: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    gives(service, {"scores": {}})
    check = http(url=service.url, labels=["toxic"], headers={"Authorization": "TOXICITY_TOKEN"})
    with pytest.raises(NotRun, match="TOXICITY_TOKEN is not set"):
        check.run(view())
    monkeypatch.setenv("TOXICITY_TOKEN", "Bearer abc")
    assert check.run(view()) == []
    assert service.posts[-1].headers["Authorization"] == "Bearer abc"


def test_half_characters_are_sent_as_question_marks(service: Posts) -> None:
    gives(service, {"scores": {}})
    http(url=service.url, labels=["toxic"]).run(view("a\ud800b"))
    assert service.posts[0].json["text"] == "a?b"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://user:pass@x"}, "url"),
        ({"labels": []}, "labels"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"read_ms": 0}, "read_ms"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        http(**({"url": "http://x", "labels": ["toxic"]} | arguments))  # type: ignore[arg-type]
