"""Metrics of a proxy for Prometheus, at /metrics.

Labels have few values: names of rules, checks and routes, our own paths and codes. None holds
anything of a call. With several workers each scrape answers for all of them (prometheus_client's
multiprocess mode, which `guardrail serve` sets up).
"""

from __future__ import annotations

import asyncio
import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from guardrail.hosting import Told
from guardrail_integrations.proxy.interfaces import Access
from guardrail_integrations.redis import RedisCache

if TYPE_CHECKING:
    from guardrail_integrations.proxy.http.exchange import Exchange
    from guardrail_integrations.proxy.server.app import Proxy
    from guardrail_integrations.proxy.telemetry.backlog import Backlog

SHARED = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class _Times:
    """Times that were not told yet."""

    __slots__ = ("numbers", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self.numbers = [0] * (len(_SECONDS) + 1)

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.numbers[bisect_left(_SECONDS, seconds)] += 1


class Metrics:
    """Counts what it is told; `flush` hands the counts on. `began` and `ended` make it an Observer,
    `call` a listener of a guard; `endpoint` is what is scraped. `connected` says how many clients
    are connected."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        class Times(Histogram):
            """Takes many observations at once."""

            def observe_all(self, total: float, numbers: Sequence[int]) -> None:
                """Their sum, and how many of them each bucket gets."""
                self._sum.inc(total)
                for bucket, number in zip(self._buckets, numbers, strict=True):
                    if number:
                        bucket.inc(number)

        self.connected: Callable[[], int] = int
        self._registry = CollectorRegistry()
        self._children: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.Lock()
        self._counts: dict[tuple[Any, ...], int] = {}  # by metric and labels, not yet told
        self._times: dict[tuple[Any, ...], _Times] = {}  # the same of times
        self._verdicts: dict[tuple[str, int], list[Any]] = {}  # and of verdicts
        self._lost = 0  # records that could not be written

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"guardrail_{name}", about, labels, registry=self._registry)

        def seconds(name: str, about: str, *labels: str) -> Times:
            return Times(
                f"guardrail_{name}_seconds",
                about,
                labels,
                registry=self._registry,
                buckets=_SECONDS,
            )

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(
                f"guardrail_{name}",
                about,
                labels,
                registry=self._registry,
                multiprocess_mode="livesum",
            )

        self.requests = counter(
            "requests", "Requests by how they ended", "path", "status", "action", "code"
        )
        self.bytes = counter("bytes", "Bytes of bodies", "direction")
        self.request_time = seconds("request", "Time of a request", "path")
        self.upstream_time = seconds("upstream", "Time the upstream took", "path")
        self.rules = counter(
            "rule_results", "Results of rules", "rule", "stage", "status", "action", "would"
        )
        self.lookups = counter(
            "cache_lookups", "Checks by whether a cache answered", "check", "hit"
        )
        self.check_time = seconds("check", "Time of a check that no cache answered", "check")
        self.tokens = counter("tokens", "Tokens that upstreams report", "kind")
        self.under_way = gauge("requests_under_way", "Requests under way")
        self.buffered = gauge("buffered_bytes", "Bytes of bodies held in memory")
        self.pool = gauge("pool", "Threads for checks and their queue", "pool", "what")
        self.clients = gauge("client_connections", "Connections of clients")
        self.connections = gauge("upstream_connections", "Connections", "upstream", "what")
        self.shared = gauge("shared_cache", "The shared cache", "what")
        self.backlog = gauge("telemetry", "What is told behind calls", "what")

    def began(self) -> None:
        """See interfaces.Observer."""

    def ended(self, access: Access) -> None:
        """See interfaces.Observer."""
        path = access.path
        with self._lock:
            self._count(1, self.requests, path, access.status, access.action, access.code)
            self._count(access.bytes_in, self.bytes, "in")
            self._count(access.bytes_out, self.bytes, "out")
            self._time((access.ended_ns - access.started_ns) / 1e9, self.request_time, path)
            if access.upstream_ns:
                self._time(access.upstream_ns / 1e9, self.upstream_time, path)

    def call(self, call: Told) -> None:
        """A listener of a guard: the rules and checks of a call."""
        usage = call.usage
        with self._lock:
            for stage in call.looked_at:
                verdict = stage.verdict
                self._verdicts.setdefault((stage.stage, id(verdict)), [0, verdict])[0] += 1
                for look in stage.checks:
                    name = look.name
                    self._count(1, self.lookups, name, "yes" if look.cached else "no")
                    if not look.cached:
                        self._time(look.ms / 1000, self.check_time, name)
            for kind, count in (
                ("input", usage.input_tokens),
                ("output", usage.output_tokens),
                ("cached", usage.cached_tokens),
                ("reasoning", usage.reasoning_tokens),
            ):
                if count:
                    self._count(count, self.tokens, kind)

    def _count(self, count: int, *labelled: Any) -> None:
        self._counts[labelled] = self._counts.get(labelled, 0) + count

    def _time(self, seconds: float, *labelled: Any) -> None:
        times = self._times.get(labelled)
        if times is None:
            times = self._times[labelled] = _Times()
        times.add(seconds)

    def flush(self) -> None:
        """Tell what was counted: once for many calls, as prometheus_client takes its time. Calls
        that nothing was found in share their verdicts."""
        with self._lock:
            for (stage, _), (number, verdict) in self._verdicts.items():
                for result in verdict.rules:
                    said = (result.status, result.action, result.would)
                    self._count(number, self.rules, result.rule, stage, *said)
            self._verdicts.clear()
            counts, self._counts = self._counts, {}
            times, self._times = self._times, {}
        for labelled, count in counts.items():
            self._labelled(*labelled).inc(count)
        for labelled, spent in times.items():
            self._labelled(*labelled).observe_all(spent.total, spent.numbers)

    def _labelled(self, metric: Any, *labels: Any) -> Any:
        """A metric under labels; kept, as prometheus_client checks them anew each time."""
        key = (metric, *labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*map(str, labels))
        return found

    def record_lost(self) -> None:
        """A record could not be written."""
        self._lost += 1

    def look(self, proxy: Proxy, backlog: Backlog | None = None) -> None:
        """Read what is measured by looking: how full everything is."""
        self.flush()
        self.under_way.set(proxy.capacity.under_way)
        self.buffered.set(proxy.capacity.buffered)
        self.clients.set(self.connected())
        runner = proxy.rules.guard.runner
        for name, pool in (("text", runner.pools.text), ("pictures", runner.pools.pictures)):
            for what, value in pool.load._asdict().items():
                self.pool.labels(name, what).set(value)
        for name, upstream in proxy.upstreams.items():
            for what in ("open", "waiting"):
                self.connections.labels(name, what).set(getattr(upstream, what, 0))
        if isinstance(runner.cache, RedisCache):
            for what, value in vars(runner.cache.traffic).items():
                self.shared.labels(what).set(float(value))
        if backlog is not None:
            for what in ("waiting", "capacity", "dropped"):
                self.backlog.labels(what).set(getattr(backlog, what))
            self.backlog.labels("failed").set(backlog.failed + self._lost)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format, of all workers where there are several."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text: bytes = generate_latest(registry)
        return text

    def endpoint(self, backlog: Backlog | None = None) -> Callable[[Proxy, Exchange], Any]:
        """The endpoint that Prometheus scrapes."""

        async def metrics(proxy: Proxy, exchange: Exchange) -> None:
            self.look(proxy, backlog)
            body = await asyncio.to_thread(self.text)
            kind = b"text/plain; version=0.0.4; charset=utf-8"
            length = (b"content-length", b"%d" % len(body))
            exchange.answer(200, [(b"content-type", kind), length], body)

        return metrics
