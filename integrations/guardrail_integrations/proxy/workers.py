"""The proxy as a process, or several that share a port: signals, reloads, restarts."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import json
import logging
import multiprocessing
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from guardrail import Guard, GuardrailError, JsonLinesSink
from guardrail.cache import Cache
from guardrail.hosting import Told
from guardrail_integrations.proxy.backlog import Backlog
from guardrail_integrations.proxy.configuration import read_settings
from guardrail_integrations.proxy.interfaces import Access, Observer
from guardrail_integrations.proxy.metrics import SHARED, Metrics
from guardrail_integrations.proxy.serve import Server, bound, serving, tls_of
from guardrail_integrations.proxy.settings import Settings
from guardrail_integrations.proxy.tracing import export_traces
from guardrail_integrations.proxy.upstream import over_http, show

_log = logging.getLogger("guardrail.proxy")


@dataclass(frozen=True)
class Options:
    """What `guardrail serve` was told."""

    policy: str
    upstream: str | None = None
    config: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    certificate: Path | None = None
    key: Path | None = None
    records: Path | None = None
    access_log: bool = True
    warm: bool = True
    cache_url: str | None = field(default=None, repr=False)
    digest_key: str | None = field(default=None, repr=False)

    def guard(self, *listeners: Callable[[Told], None]) -> Guard:
        """A guard under the policy as its file stands now. Raises PolicyError."""
        return Guard(
            self.policy,
            sinks=() if self.records is None else [JsonLinesSink(self.records)],
            listeners=listeners,
            cache=self.cache(),
            digest_key=self._key(),
        )

    def cache(self) -> Cache | None:
        """What all workers share, the same for every guard of a process. Raises ValueError."""
        key = self._key()
        if self.cache_url is None:
            return None
        if key is None:
            raise ValueError("a shared cache needs a key for its digests: GUARDRAIL_DIGEST_KEY")
        return _shared_cache(self.cache_url, key)

    def _key(self) -> bytes | None:
        key = None if self.digest_key is None else self.digest_key.encode()
        if key is not None and not 16 <= len(key) <= 64:
            raise ValueError("GUARDRAIL_DIGEST_KEY: 16 to 64 bytes are expected")
        return key

    def settings(self) -> Settings:
        """Raises ValueError for what cannot be used."""
        if (self.upstream is None) == (self.config is None):
            raise ValueError("give either --upstream or --config")
        if self.config is not None:
            return read_settings(self.config)
        if not str(self.upstream).startswith(("http://", "https://")):
            raise ValueError("--upstream: an http or https address is expected")
        return Settings.of(str(self.upstream))

    def tls(self) -> ssl.SSLContext | None:
        """TLS towards clients, where a certificate is given. Raises ValueError."""
        if self.certificate is None:
            if self.key is not None:
                raise ValueError("--tls-key: it needs --tls-cert beside it")
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        show(context, self.certificate, self.key)
        return over_http(context)


@functools.cache
def _shared_cache(url: str, key: bytes) -> Cache:
    from guardrail_integrations.redis import RedisCache

    return RedisCache(url, digest_key=key)


class AccessLog:
    """One line of JSON a request on standard error."""

    def __init__(self) -> None:
        self._log = logging.getLogger("guardrail.access")

    def began(self) -> None:
        """See interfaces.Observer."""

    def ended(self, access: Access) -> None:
        """See interfaces.Observer."""
        row: dict[str, Any] = {
            "method": access.method,
            "path": access.path,
            "status": access.status,
            "ms": round((access.ended_ns - access.started_ns) / 1e6, 3),
            "upstream_ms": round(access.upstream_ns / 1e6, 3),
            "bytes_in": access.bytes_in,
            "bytes_out": access.bytes_out,
            "streamed": access.streamed,
            "action": access.action,
            "code": access.code,
            "record": access.record,
            "route": access.route,
            "tenant": access.tenant,
        }
        self._log.info(json.dumps({k: v for k, v in row.items() if v not in ("", False)}))


def serve_forever(options: Options) -> str:
    """Serve until a signal ends it. The answer says what was wrong with the options, if it was."""
    try:
        for target in options.settings().targets.values():
            tls_of(target)
        options.tls()
        options.guard()
    except (GuardrailError, ValueError, OSError) as error:
        return str(error)
    try:
        sock = bound(options.host, options.port, shared=options.workers > 1)
    except OSError as error:
        return f"{options.host}:{options.port}: {error.strerror}"
    log_to_stderr()
    with sock:
        port = int(sock.getsockname()[1])
        scheme = "http" if options.certificate is None else "https"
        host = f"[{options.host}]" if ":" in options.host else options.host
        _log.info("guardrail serves on %s://%s:%d", scheme, host, port)
        if options.workers == 1:
            _run(options, sock)
        else:
            _supervise(options, port)
    return ""


def _keep_memory() -> None:
    """Have glibc keep what is freed: it gives large bodies back to the system at once, and the
    page faults of the next one take longer than all of its copying."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, size in ((-3, 32 << 20), (-1, 256 << 20), (-2, 16 << 20)):
            mallopt(option, size)  # the thresholds of mmap and of trimming, and the padding


def _run(options: Options, sock: Any) -> None:
    """One process: serve on the socket until SIGTERM or SIGINT."""
    _keep_memory()
    gc.set_threshold(50_000, 20, 50)  # a call makes hundreds of objects, and hardly any cycle
    sys.setswitchinterval(0.0005)  # else a thread that is busy holds calls up for 5 ms at a time
    try:
        import uvloop

        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        loop_factory = None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(options, sock))


async def _serve(options: Options, sock: Any) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    export_traces()
    metrics = Metrics()
    backlog = Backlog(after=metrics.flush)
    observers: list[Observer] = [metrics]
    if options.access_log:
        observers.append(AccessLog())
    endpoints = {"/metrics": metrics.endpoint(backlog)}
    server = serving(
        options.guard(metrics.call), options.settings(), observers=observers, endpoints=endpoints
    )
    server.proxy.backlog = backlog
    server.proxy.ready = not options.warm
    for name in ("SIGTERM", "SIGINT"):
        loop.add_signal_handler(getattr(signal, name), ended.set)
    tasks: set[asyncio.Task[None]] = set()
    in_turn = asyncio.Lock()

    def reload() -> None:
        task = loop.create_task(reload_policy(options, server, metrics, in_turn))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, reload)
    await server.start(sock, options.tls())
    if options.warm:
        warming = loop.create_task(_warm(server))
        tasks.add(warming)
        warming.add_done_callback(tasks.discard)
    await ended.wait()
    await server.stop(server.proxy.settings.drain_s)
    backlog.close()
    close_cache = getattr(server.proxy.rules.guard.runner.cache, "close", None)
    if close_cache is not None:
        close_cache()


async def _warm(server: Server) -> None:
    try:
        await asyncio.to_thread(server.proxy.rules.guard.warm)
    except GuardrailError as error:
        _log.error("not ready: %s", error)
    else:
        gc.freeze()  # models are there to stay: collections need not look at them
        server.proxy.ready = True


async def reload_policy(
    options: Options, server: Server, metrics: Metrics, in_turn: asyncio.Lock
) -> None:
    """Read the policy again, off the loop; a bad one leaves the old in place. One that is slow to
    load does not come behind, and so undo, one that was read after it."""
    async with in_turn:
        try:
            guard = await asyncio.to_thread(options.guard, metrics.call)
            if options.warm:
                await asyncio.to_thread(guard.warm)
                await server.proxy.readiness.ahead(guard)
        except GuardrailError as error:
            _log.error("the policy was not reloaded: %s", error)
            return
        server.proxy.reload(guard)
        _log.info("the policy was reloaded: %s %s", guard.policy.id, guard.policy.version)


def log_to_stderr() -> None:
    """Messages and the access log go to standard error as they are."""
    log = logging.getLogger("guardrail")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)


def _worker(options: Options, port: int) -> None:
    log_to_stderr()
    with bound(options.host, port, shared=True) as sock:
        _run(options, sock)


def _supervise(options: Options, port: int) -> None:
    """Keep so many workers running; signals are handed on to them."""
    with tempfile.TemporaryDirectory(prefix="guardrail-metrics-") as folder:
        os.environ[SHARED] = folder
        _keep_running(options, port)


def _keep_running(options: Options, port: int) -> None:
    context = multiprocessing.get_context("spawn")
    workers: list[Any] = []
    stopping = False

    def hand_on(number: int, _: FrameType | None) -> None:
        nonlocal stopping
        stopping = stopping or number != getattr(signal, "SIGHUP", None)
        for worker in workers:
            if worker.is_alive() and worker.pid is not None:
                _signal(worker.pid, number)

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), hand_on)
    start = functools.partial(context.Process, target=_worker, args=(options, port))
    for _ in range(options.workers):
        workers.append(start())
        workers[-1].start()
    while any(worker.is_alive() for worker in workers):
        time.sleep(0.2)
        for place, worker in enumerate(workers):
            if not worker.is_alive() and not stopping:
                _log.error("a worker ended with %s and is started again", worker.exitcode)
                _forget_gauges(worker.pid)
                time.sleep(0.5)
                workers[place] = start()
                workers[place].start()


def _forget_gauges(pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
