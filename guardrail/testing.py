"""Parts for your own tests: scripted models, detectors with fixed findings, captured records.

detector = fixed_detector({"forbidden": 0.9})
records = CapturedRecords()
guard = Guard(policy_of(rule(detector, Action.BLOCK)), sinks=[records])
model = guard(ScriptedModel(["a quiet answer"]))
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from guardrail.content import Image, Text
from guardrail.detector import Detector, Extractor, Spec, View, Window
from guardrail.policy import ANY_LABEL, Policy, Rule
from guardrail.record import Record
from guardrail.verdict import Action, Area, Finding, Span

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer


class ScriptedModel:
    """A model that gives the next answer of a list, and keeps what it was asked.

    An answer that is an exception is raised. Asking more often than there are answers is an
    error.
    """

    def __init__(self, answers: Sequence[Any]) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, prompt: Any = None, images: Any = None) -> Any:
        """The next answer."""
        if not self._answers:
            raise AssertionError("the scripted model has no answer left")
        self.asked.append({"prompt": prompt, "images": images})
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    __name__ = __qualname__ = "ScriptedModel"


class ScriptedEndpoint:
    """A model endpoint on loopback, in the form of OpenAI's Chat Completions.

    It answers with the next text of a list, and keeps what it was asked. `with` opens and closes
    it; `url` is the base URL for a client.
    """

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self._server: ThreadingHTTPServer | None = None
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None, "it is open only inside a `with`"
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> ScriptedEndpoint:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Answer a call."""
                asked = self.rfile.read(int(self.headers["content-length"]))
                body = json.dumps(answer(json.loads(asked))).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        message = {"role": "assistant", "content": self._answers.pop(0)}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": asked.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }


class CapturedRecords:
    """A sink that keeps the records."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._lock = threading.Lock()

    def __call__(self, record: Record) -> None:
        """Keep the record."""
        with self._lock:
            self._records.append(record)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records))

    @property
    def last(self) -> Record:
        """The newest record."""
        return self._records[-1]


def fixed_detector(
    words: Mapping[str, float],
    *,
    name: str = "fixed",
    reads: Literal["text", "image"] = "text",
    seconds: float = 0.0,
    error: BaseException | None = None,
    inline: bool = False,
    window: Window = None,
) -> Detector:
    """A detector that finds each of `words` in text with its score, the word being the label.

    `window` is that of its Spec: how much of a streamed answer it has to see at once.

    One that reads pictures finds a word in the picture's bytes. It takes `seconds` a run, and
    raises `error` if one is given.
    """
    image = reads == "image"

    def run(view: View) -> list[Finding]:
        time.sleep(seconds)
        if error is not None:
            raise error
        found = [
            Finding(name, word, score, Span(part.name, match.start(), match.end()))
            for word, score in words.items()
            for part in view.texts
            for match in re.finditer(re.escape(word), part.text)
        ]
        found += [
            Finding(name, word, score, Area(picture.name))
            for word, score in words.items()
            for picture in view.images
            if word.encode() in picture.data
        ]
        return found

    spec = Spec(
        name=name,
        version="1",
        labels=tuple(words),
        reads=frozenset({"image" if image else "text"}),
        inline=inline,
        window=window,
    )
    return Detector(spec, run)


def fixed_extractor(
    texts: Mapping[bytes, Text], *, name: str = "fixed", error: BaseException | None = None
) -> Extractor:
    """An extractor that reads from a picture the text given for a mark in its bytes."""

    def run(image: Image) -> list[Text]:
        if error is not None:
            raise error
        return [text for mark, text in texts.items() if mark in image.data]

    return Extractor(Spec(name=name, version="1", reads=frozenset({"image"})), run)


def rule(
    detector: Detector,
    action: Action = Action.BLOCK,
    *,
    at: float = 0.5,
    when: Sequence[str] = ("input", "tool", "output"),
    **options: Any,
) -> Rule:
    """A rule with one threshold for every label; options are those of Rule."""
    identity = str(options.pop("id", detector.spec.name))
    levels = {ANY_LABEL: ((action, at),)}
    return Rule(identity, frozenset(when), detector, levels=levels, **options)


def policy_of(*rules: Rule, **options: Any) -> Policy:
    """A policy of these rules; options are those of Policy."""
    return Policy(id="test", rules=rules, **options)
