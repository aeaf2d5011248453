"""The HTTP check against a real server: its answers, and everything that can go wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from guardrail import Guard, NotRun, Span, Stage, Status, Text, View
from guardrail_detectors.http import MAX_ANSWER, http

Answer = tuple[int, bytes]


class Service(ThreadingHTTPServer):
    """Answers with what `answer` makes of a request, and keeps the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[dict[str, Any]], Answer] = lambda asked: (200, b"{}")
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/score"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)
        self.server.headers.append(dict(self.headers))
        status, body = self.server.answer(asked)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if status == 302:
            self.send_header("location", "/elsewhere")
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def view(text: str = "you are a moron") -> View:
    return View(Stage.OUTPUT, (Text(text, name="output", role="assistant", source="model"),))


def gives(service: Service, value: Any, status: int = 200) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    service.answer = lambda asked: (status, body)


def test_scores_are_findings_on_the_whole_text(service: Service) -> None:
    gives(service, {"scores": {"toxic": 0.9, "threat": 0}})
    found = http(url=service.url, labels=["toxic", "threat"]).run(view())
    assert [(f.label, f.score, f.where) for f in found] == [
        ("toxic", 0.9, Span("output", 0, 15)),
        ("threat", 0.0, Span("output", 0, 15)),
    ]
    assert service.asked == [
        {
            "text": "you are a moron",
            "stage": "output",
            "role": "assistant",
            "labels": ["toxic", "threat"],
        }
    ]


def test_findings_keep_their_places(service: Service) -> None:
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
def test_a_wrong_answer_is_no_pass(service: Service, case: str) -> None:
    status, value = WRONG[case]
    gives(service, value, status)
    with pytest.raises(NotRun) as caught:
        http(url=service.url, labels=["toxic"]).run(view())
    assert "moron" not in str(caught.value)


def test_a_slow_service_is_not_waited_for(service: Service) -> None:
    service.answer = lambda asked: (time.sleep(1.0), (200, b"{}"))[1]
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


def test_secrets_come_from_the_environment(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives(service, {"scores": {}})
    check = http(url=service.url, labels=["toxic"], headers={"Authorization": "TOXICITY_TOKEN"})
    with pytest.raises(NotRun, match="TOXICITY_TOKEN is not set"):
        check.run(view())
    monkeypatch.setenv("TOXICITY_TOKEN", "Bearer abc")
    assert check.run(view()) == []
    assert service.headers[-1]["Authorization"] == "Bearer abc"


def test_half_characters_are_sent_as_question_marks(service: Service) -> None:
    gives(service, {"scores": {}})
    http(url=service.url, labels=["toxic"]).run(view("a\ud800b"))
    assert service.asked[0]["text"] == "a?b"


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
