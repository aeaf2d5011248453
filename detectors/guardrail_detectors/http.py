"""A check that runs elsewhere: the text is posted to an address, which answers with scores."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from guardrail.content import Text
from guardrail.detector import Detector, Spec, Stage, View
from guardrail.errors import MissingExtra, NotRun
from guardrail.verdict import Finding, Span

if TYPE_CHECKING:
    import httpx

MAX_ANSWER = 1 << 20  # bytes
MAX_FINDINGS = 10_000


def http(
    *,
    url: str,
    labels: list[str],
    headers: dict[str, str] | None = None,
    connect_ms: int = 500,
    read_ms: int = 1_500,
    version: str = "1",
) -> Detector:
    """Asks an HTTP service for scores (extra `http`). The text leaves this process.

    url: where texts are posted, as `{"text": "...", "stage": "input" | "output", "role": "user",
        "labels": [...]}`. The answer is JSON: `{"scores": {"toxic": 0.9}}`, or
        `{"findings": [{"label": "toxic", "score": 0.9, "start": 0, "end": 4}]}` with places in
        code points. A category without a score counts as 0.
    labels: the categories that the service answers with; another one in an answer is an error.
    headers: headers to send, with the name of the environment variable that holds the value, as in
        `{Authorization: TOXICITY_TOKEN}`. A variable that is not set means the check does not run.
    connect_ms, read_ms: how long to wait for a connection and for the answer. The policy's
        `timeout_ms` holds for the check as a whole.
    version: raise it when the service changes, since results are cached.

    Anything but a 200 with such an answer, redirections included, is a check that did not run.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url: an http or https address, not {url!r}")
    if parts.username or parts.password:
        raise ValueError("url: no password in the address; use headers")
    if not labels or len(set(labels)) != len(labels):
        raise ValueError("labels: name each category of the service once")
    if min(connect_ms, read_ms) < 1:
        raise ValueError("connect_ms and read_ms: at least 1")
    service = _Service(url, tuple(labels), headers or {}, connect_ms, read_ms)

    def run(view: View) -> list[Finding]:
        return [finding for part in view.texts for finding in service.findings(part, view.stage)]

    spec = Spec(
        name="http",
        version=f"1/{version}",
        labels=tuple(labels),
        threshold=0.5,
        model=parts.hostname,
    )
    return Detector(spec, run, service.open)


class _Service:
    """The service and the connections to it, which calls share."""

    def __init__(
        self,
        url: str,
        labels: tuple[str, ...],
        headers: Mapping[str, str],
        connect_ms: int,
        read_ms: int,
    ) -> None:
        self._url, self._labels, self._headers = url, labels, headers
        self._connect_s, self._read_s = connect_ms / 1000, read_ms / 1000
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def open(self) -> httpx.Client:
        """The client, made when first needed."""
        with self._lock:
            if self._client is None:
                try:
                    import httpx
                except ImportError as error:
                    raise MissingExtra(str(error.name), "http") from None
                self._client = httpx.Client(
                    timeout=httpx.Timeout(self._read_s, connect=self._connect_s),
                    limits=httpx.Limits(max_connections=32, max_keepalive_connections=8),
                    follow_redirects=False,
                )
            return self._client

    def findings(self, part: Text, stage: Stage) -> Iterator[Finding]:
        """What the service says of a text; raises NotRun."""
        body = {
            "text": part.text.encode("utf-8", "replace").decode("utf-8"),
            "stage": str(stage),
            "role": part.role,
            "labels": list(self._labels),
        }
        answer = self._post(body)
        if not isinstance(answer, dict):
            raise NotRun("the service's answer is not an object")
        scores, listed = answer.get("scores", {}), answer.get("findings", [])
        if "scores" not in answer and "findings" not in answer:
            raise NotRun("the service's answer has neither scores nor findings")
        if not isinstance(scores, dict) or not isinstance(listed, list):
            raise NotRun("the service's answer has scores or findings of another form")
        if len(listed) > MAX_FINDINGS:
            raise NotRun(f"the service's answer has more than {MAX_FINDINGS} findings")
        whole = Span(part.name, 0, len(part.text))
        for label, score in scores.items():
            yield Finding("http", self._label(label), _score(score), whole)
        for entry in listed:
            if not isinstance(entry, dict):
                raise NotRun("a finding in the service's answer is not an object")
            label, score = self._label(entry.get("label")), _score(entry.get("score"))
            yield Finding("http", label, score, _place(entry, part) or whole)

    def _post(self, body: Mapping[str, Any]) -> Any:
        import httpx

        client, headers = self.open(), self._secrets()
        try:
            with client.stream("POST", self._url, json=body, headers=headers) as response:
                if response.status_code != 200:
                    raise NotRun(f"the service answered {response.status_code}")
                data = bytearray()
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > MAX_ANSWER:
                        raise NotRun(f"the service's answer is over {MAX_ANSWER} bytes")
        except httpx.TimeoutException:
            raise NotRun("the service did not answer in time") from None
        except httpx.HTTPError as error:
            raise NotRun(f"the service cannot be reached ({type(error).__name__})") from None
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise NotRun("the service's answer is not JSON") from None

    def _secrets(self) -> dict[str, str]:
        found = {}
        for header, variable in self._headers.items():
            value = os.environ.get(variable)
            if not value:
                raise NotRun(f"the environment variable {variable} is not set")
            found[header] = value
        return found

    def _label(self, label: Any) -> str:
        if not isinstance(label, str) or label not in self._labels:
            raise NotRun("the service's answer has a category that `labels` does not name")
        return label


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotRun("a score in the service's answer is not a number")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise NotRun("a score in the service's answer is not between 0 and 1")
    return float(value)


def _place(entry: Mapping[str, Any], part: Text) -> Span | None:
    if "start" not in entry and "end" not in entry:
        return None
    start, end = entry.get("start"), entry.get("end")
    if type(start) is int and type(end) is int and 0 <= start < end <= len(part.text):
        return Span(part.name, start, end)
    raise NotRun("a finding in the service's answer lies outside the text")
