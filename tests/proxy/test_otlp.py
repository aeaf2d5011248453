"""Traces sent by `guardrail serve` to a collector: a real OTLP/HTTP receiver on loopback, and ones
that hang or are not there, which no call notices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.posts import Answer, Post, Posts, posts
from tests.proxy.process import free_port, served
from tests.proxy.raw import ask, chat, post
from tests.proxy.scripted import scripted
from tests.proxy.serving import chat_answer, says

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-1] + "0"


class Collector:
    """Takes spans; with `hangs` it takes requests and never answers them."""

    def __init__(self, *, hangs: bool) -> None:
        self.hangs, self.go = hangs, threading.Event()

    def answer(self, _: Post) -> Answer:
        if self.hangs:
            self.go.wait(60)
        said = ExportTraceServiceResponse().SerializeToString()
        return 200, said, {"content-type": "application/x-protobuf"}


def spans_of(server: Posts) -> list[Any]:
    """The spans of all requests so far."""
    return [
        span
        for post in list(server.posts)
        for resource in ExportTraceServiceRequest.FromString(post.body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@contextmanager
def collecting(*, hangs: bool = False) -> Iterator[tuple[Posts, Collector]]:
    made = Collector(hangs=hangs)
    with posts(made.answer) as server:
        try:
            yield server, made
        finally:
            made.go.set()


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets where the process that is started next sends its traces."""

    def to(port: int, **more: str) -> None:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=harbour",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
            **more,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    return to


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


async def until(holds: Any) -> None:
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come")


async def test_spans_arrive_without_content(tmp_path: Path, exports: Any) -> None:
    with collecting() as (server, _):
        exports(server.server_port)
        async with served(tmp_path, says(chat_answer("quiet as a mouse"))) as (url, _):
            trace = f"traceparent: {PARENT}\r\n"
            got = await ask(url, post(chat("hello harbour"), more=trace))
            assert got.status == 200
            blocked = await ask(url, post(chat("forbidden harbour"), more=trace))
            assert blocked.status == 400
            broken = await ask(url, post(b"{harbour", more=trace))
            assert broken.status == 400
            await ask(url, post(chat("hello"), more=f"traceparent: {UNSAMPLED}\r\n"))
            await until(lambda: sum(s.name.startswith("chat") for s in spans_of(server)) >= 3)
        calls = [span for span in spans_of(server) if span.name.startswith("chat")]
        assert len(calls) == 3  # the one that is not sampled is not sent
        ids = {attributes(span)["guardrail.record.id"] for span in calls}
        said = [blocked.header("x-request-id"), broken.header("x-request-id")]
        assert ids == {got.header("x-guardrail-record"), *said}
        assert {span.trace_id.hex() for span in spans_of(server)} == {PARENT[3:35]}
        assert {span.parent_span_id.hex() for span in calls} == {PARENT[36:52]}
        below = {span.span_id for span in calls}
        stages = [span for span in spans_of(server) if span.name == "guardrail input"]
        assert len(stages) == 3
        assert {span.parent_span_id for span in stages} == below
        actions = sorted(attributes(span)["guardrail.action"] for span in calls)
        assert actions == ["allow", "block", "block"]
        whole = b"".join(post.body for post in server.posts)
        for word in (b"harbour", b"forbidden", b"mouse"):
            assert word not in whole
        first = server.posts[0]
        assert (first.path, first.headers["x-team"]) == ("/v1/traces", "harbour")


@pytest.mark.parametrize("kind", ["hangs", "refuses"])
async def test_a_collector_that_fails_is_no_call_s_concern(
    tmp_path: Path, exports: Any, kind: str
) -> None:
    with collecting(hangs=True) as (server, _):
        port = server.server_port if kind == "hangs" else free_port()
        exports(port, OTEL_BSP_MAX_QUEUE_SIZE="600", OTEL_EXPORTER_OTLP_TIMEOUT="60")
        options = "--no-access-log"  # which nobody reads here
        async with served(tmp_path, says(chat_answer("quiet")), options) as (url, process):
            for number in range(1_000):  # far more spans than the queue takes
                got = await ask(url, post(chat("forbidden" if number % 2 else "hello")))
                assert got.status == (400 if number % 2 else 200)
            if kind == "hangs":
                await until(lambda: server.posts)
            assert process.poll() is None
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0


async def test_a_collector_that_comes_back_gets_what_is_new(tmp_path: Path, exports: Any) -> None:
    with collecting(hangs=True) as (server, collector):
        exports(server.server_port, OTEL_EXPORTER_OTLP_TIMEOUT="1")
        async with served(tmp_path, says(chat_answer("quiet"))) as (url, _):
            await ask(url, post(chat()))
            await until(lambda: server.posts)
            collector.hangs = False
            collector.go.set()
            got = await ask(url, post(chat()))
            last = got.header("x-guardrail-record")
            await until(
                lambda: last in {attributes(s).get("guardrail.record.id") for s in spans_of(server)}
            )


async def test_without_an_address_nothing_is_sent(tmp_path: Path) -> None:
    async with scripted(says(b"")) as nobody:
        async with served(tmp_path, says(chat_answer("quiet"))) as (url, _):
            assert (await ask(url, post(chat()))).status == 200
        assert not nobody.requests
