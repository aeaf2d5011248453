"""What the proxy tells of calls: metrics, traces across it, and that none of it is in the way."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import promql_parser
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import INVALID_SPAN
from prometheus_client.parser import text_string_to_metric_families

from guardrail import Detector, Finding, Guard, Spec, View
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.interfaces import Access
from guardrail_integrations.proxy.server.endpoints import ENDPOINTS
from guardrail_integrations.proxy.server.serve import bound, serving
from guardrail_integrations.proxy.settings import Settings
from guardrail_integrations.proxy.telemetry.backlog import Backlog
from guardrail_integrations.proxy.telemetry.metrics import Metrics
from guardrail_integrations.proxy.telemetry.tracing import hand_on, parent_of
from tests.proxy.raw import wire
from tests.proxy.scripted import scripted
from tests.proxy.serving import chat_answer, data_url, running, says

ROOT = Path(__file__).parents[2] / "integrations"
BLOCKS = policy_of(rule(fixed_detector({"forbidden": 0.9})))
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def ask(text: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def shown(url: str) -> bytes:
    """A chat call with a picture at an address."""
    content = [{"type": "image_url", "image_url": {"url": url}}]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_happened() -> None:
    metrics, backlog = Metrics(), Backlog()
    guard = Guard(BLOCKS, listeners=[metrics.call])
    async with scripted(says(chat_answer("fine"))) as upstream, httpx.AsyncClient() as client:
        server = serving(
            guard,
            Settings.of(upstream.url),
            observers=[metrics],
            endpoints={"/metrics": metrics.endpoint(backlog)},
        )
        server.proxy.backlog = backlog
        await server.start(bound("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.port}"
        for text in ("hello", "forbidden", "hello again"):
            await client.post(url + "/v1/chat/completions", json=ask(text))
        for _ in range(200):
            answer = await client.get(url + "/metrics")
            found = samples(answer.text)
            ended = {k: v for k, v in found.items() if k[0] == "guardrail_requests_total"}
            if sum(ended.values()) >= 3:
                break
            await asyncio.sleep(0.02)
        await server.stop(1)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    by_action = {}
    for (_, labels), value in ended.items():
        named = dict(labels)
        if named["path"].endswith("/chat/completions"):
            by_action[named["action"], named["status"], named["code"]] = value
    assert by_action == {("allow", "200", ""): 2, ("block", "400", "policy_violation"): 1}
    hits = [
        value
        for (name, labels), value in found.items()
        if name == "guardrail_rule_results_total" and ("status", "hit") in labels
    ]
    assert hits == [1]
    assert "forbidden" not in answer.text
    assert "hello" not in answer.text


async def test_text_is_served_beside_pictures_and_metrics_show_how_full_it_is() -> None:
    go = threading.Event()

    def look(view: View) -> list[Finding]:
        go.wait(20)
        return []

    slow = Detector(Spec("slow", "1", ("bad",), reads=frozenset({"image"})), look)
    words = fixed_detector({"forbidden": 0.9}, name="words")
    metrics = Metrics()
    guard = Guard(policy_of(rule(slow), rule(words)), listeners=[metrics.call], workers=2)
    async with scripted(says(chat_answer("fine"))) as upstream, httpx.AsyncClient() as client:
        settings = replace(Settings.of(upstream.url), picture_calls=5)
        server = serving(guard, settings, endpoints={"/metrics": metrics.endpoint()})
        await server.start(bound("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.port}"

        async def see(width: int) -> httpx.Response:
            body = shown(data_url(width))
            return await client.post(url + "/v1/chat/completions", content=body, timeout=30)

        async def scraped() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
            return samples((await client.get(url + "/metrics")).text)

        async def pool(kind: str) -> dict[str, float]:
            labels = {"busy", "waiting", "workers", "capacity"}
            found = await scraped()
            return {
                what: found["guardrail_pool", frozenset({("pool", kind), ("what", what)})]
                for what in labels
            }

        try:
            calls = [asyncio.create_task(see(width)) for width in range(8, 13)]
            for _ in range(200):
                pictures = await pool("pictures")
                if pictures["waiting"] == 3:
                    break
                await asyncio.sleep(0.02)
            assert pictures == {"busy": 2, "workers": 2, "waiting": 3, "capacity": 1_000}
            assert (await scraped())["guardrail_requests_under_way", frozenset()] >= 5
            for text, status in (("hello", 200), ("forbidden", 400)) * 5:
                answer = await client.post(url + "/v1/chat/completions", json=ask(text))
                assert answer.status_code == status
            assert (await pool("text"))["waiting"] == 0
            refused = await see(13)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "1"
        finally:
            go.set()
        assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200] * 5
        pictures = await pool("pictures")
        assert (pictures["busy"], pictures["waiting"]) == (0, 0)
        await server.stop(1)


def names_in(expression: str) -> set[str]:
    """The metrics of an expression, which PromQL's own grammar takes."""
    promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    return set(re.findall(r"guardrail_[a-z_]+", expression))


def exported() -> set[str]:
    metrics = Metrics()
    names = set()
    for family in metrics._registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return names


def test_the_dashboard_shows_what_there_is() -> None:
    dashboard = json.loads((ROOT / "grafana/guardrail-proxy.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    shown = set()
    for panel in panels:
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            used = names_in(target["expr"])
            assert used
            assert used <= exported()
            shown |= used
    whole = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in exported()} - whole == {
        "guardrail_buffered_bytes"
    }


def test_the_alerts_watch_what_there_is() -> None:
    groups = yaml.safe_load((ROOT / "prometheus/guardrail-proxy.rules.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 6
    for one in rules:
        assert names_in(one["expr"]) <= exported()
        assert one["labels"]["severity"] in ("warning", "critical")
        assert one["annotations"].keys() == {"summary", "description"}
        for label in re.findall(r"\$labels\.(\w+)", json.dumps(one["annotations"])):
            assert re.search(rf"by \([^)]*\b{label}\b", one["expr"])


@pytest.mark.parametrize("sampled", [True, False])
async def test_a_trace_goes_through(sampled: bool) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(spans))
    guard = Guard(BLOCKS, tracer_provider=provider)
    parent = PARENT if sampled else PARENT[:-1] + "0"
    async with scripted(says(chat_answer("fine"))) as upstream, httpx.AsyncClient() as client:
        server = serving(guard, Settings.of(upstream.url))
        await server.start(bound("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
        headers = {"traceparent": parent, "tracestate": "a=b"}
        assert (await client.post(url, json=ask("hello"), headers=headers)).status_code == 200
        await server.stop(1)
    head = upstream.requests[0][0].decode().lower()
    (sent,) = re.findall(r"traceparent: (\S+)", head)
    version, trace, span, flags = sent.split("-")
    assert (version, trace, flags) == ("00", parent[3:35], parent[-2:])
    assert span != parent[36:52]
    assert "tracestate: a=b" in head
    done = {one.name: one for one in spans.get_finished_spans()}
    if not sampled:
        assert not done
        return
    assert f"{done['chat m'].context.span_id:016x}" == span
    assert f"{done['chat m'].parent.span_id:016x}" == parent[36:52]


@pytest.mark.parametrize(
    ("body", "rule_id"),
    [
        (b"{broken", "proxy.malformed"),
        (shown("http://127.0.0.1/x.png"), "proxy.addresses"),
        (shown("data:image/png;base64,!"), "limits"),
    ],
)
async def test_a_refused_call_has_its_trace(body: bytes, rule_id: str) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with scripted(says(chat_answer("fine"))) as upstream, httpx.AsyncClient() as client:
        server = serving(Guard(BLOCKS, tracer_provider=provider), Settings.of(upstream.url))
        await server.start(bound("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
        answer = await client.post(url, content=body, headers={"traceparent": PARENT})
        await server.stop(1)
    assert answer.status_code == 400
    stage, call = spans.get_finished_spans()
    assert call.attributes["guardrail.record.id"] == answer.headers["x-request-id"]
    assert call.attributes["guardrail.action"] == "block"
    assert f"{call.parent.span_id:016x}" == PARENT[36:52]
    assert f"{call.context.trace_id:032x}" == PARENT[3:35]
    assert stage.parent.span_id == call.context.span_id
    (event,) = stage.events
    assert event.attributes["gen_ai.guardrail.policy.rule.id"] == rule_id
    assert "127.0.0.1" not in call.to_json() + stage.to_json()


def test_without_a_tracer_headers_stay() -> None:
    headers = [(b"Traceparent", PARENT.encode())]
    assert hand_on(headers, None) is headers
    assert hand_on(headers, INVALID_SPAN) is headers


FORM = rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"


@given(st.binary(max_size=70) | st.from_regex(FORM))
def test_any_traceparent_is_read_or_passed_over(raw: bytes) -> None:
    for state in (b"", raw):
        parent_of({b"traceparent": raw, b"tracestate": state})


async def test_what_is_told_of_a_request_that_is_passed_on() -> None:
    told: list[Access] = []

    class Told:
        def began(self) -> None: ...

        def ended(self, access: Access) -> None:
            told.append(access)

    endpoints = {"/healthz": ENDPOINTS["/healthz"]}
    async with running(BLOCKS, says(b"{}"), observers=[Told()], endpoints=endpoints) as proxy:
        for asked in ("GET /v1/models", "HEAD /healthz"):
            async with wire(proxy.url) as one:
                one.send(f"{asked} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                await one.reader.read()
    models, health = told
    assert (models.path, models.route, models.bytes_out) == ("other", "default", 2)
    assert (health.path, health.route, health.bytes_out) == ("/healthz", "", 0)


def access(ns: int = 1) -> Access:
    return Access("GET", "/", 200, 0, ns)


@given(st.lists(st.integers(0, 200 * 10**9) | st.sampled_from([10**6, 5 * 10**6, 10**9])))
def test_times_come_to_their_buckets(spent: list[int]) -> None:
    metrics = Metrics()
    for ns in spent:
        metrics.ended(access(ns))
    metrics.flush()
    found = samples(metrics.text().decode())
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "guardrail_request_seconds_bucket"
    }
    assert len(buckets) == (17 if spent else 0)
    for most, value in buckets.items():
        assert value == sum(ns / 1e9 <= float(most) for ns in spent)
    total = found.get(("guardrail_request_seconds_sum", frozenset({("path", "/")})), 0.0)
    assert total == pytest.approx(sum(spent) / 1e9)


class Stuck:
    """An observer that hangs, or fails."""

    def __init__(self) -> None:
        self.go, self.seen = threading.Event(), 0

    def began(self) -> None:
        raise RuntimeError("the disk is full")

    def ended(self, access: Access) -> None:
        self.go.wait(10)
        self.seen += 1


def test_what_hangs_or_fails_holds_nothing_up() -> None:
    backlog, stuck = Backlog(capacity=10), Stuck()
    began = time.monotonic()
    backlog.put(stuck.began)
    for _ in range(1_000):
        backlog.put(partial(stuck.ended, access()))
    assert time.monotonic() - began < 1
    assert backlog.dropped >= 980
    assert backlog.waiting <= 10
    stuck.go.set()
    backlog.close()
    assert backlog.failed == 1
    assert stuck.seen + backlog.dropped == 1_000
