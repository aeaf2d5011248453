"""One process that serves: its event loop, its signals and its reloads."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import ssl
import sys
from collections.abc import Callable
from typing import Any

from guardrail import GuardrailError
from guardrail.hosting import shared_pools
from guardrail_integrations.proxy.interfaces import Observer
from guardrail_integrations.proxy.server.options import Options
from guardrail_integrations.proxy.server.serve import Server, serving
from guardrail_integrations.proxy.telemetry.access_log import AccessLog
from guardrail_integrations.proxy.telemetry.backlog import Backlog
from guardrail_integrations.proxy.telemetry.metrics import Metrics
from guardrail_integrations.proxy.telemetry.tracing import export_traces

_log = logging.getLogger("guardrail.proxy")

MANY_FILES = 65_536
PICTURES_NICE = 19  # of checks of pictures, which take seconds of a core that texts need for less


def run(options: Options, sock: Any) -> None:
    """One process: serve on the socket until SIGTERM or SIGINT."""
    _keep_memory()
    _open_many_files()
    gc.set_threshold(50_000, 20, 50)  # a call makes hundreds of objects, and hardly any cycle
    shared_pools().pictures.nice = PICTURES_NICE
    sys.setswitchinterval(0.0005)  # else a thread that is busy holds calls up for 5 ms at a time
    try:
        import uvloop

        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        loop_factory = None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(options, sock))


def _keep_memory() -> None:
    """Have glibc keep what is freed: it gives large bodies back to the system at once, and the
    page faults of the next one take longer than all of its copying."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, size in ((-3, 32 << 20), (-1, 256 << 20), (-2, 16 << 20)):
            mallopt(option, size)  # the thresholds of mmap and of trimming, and the padding


def _open_many_files() -> None:
    """Let the process hold as many sockets as it may: the limit that it starts with, often 1,024,
    is that of programs that use select()."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
    guard = options.guard(metrics.call, lost=metrics.record_lost)
    server = serving(guard, options.settings(), observers=observers, endpoints=endpoints)
    metrics.connected = server.listener.connections.__len__
    server.proxy.backlog = backlog
    server.proxy.ready = not options.warm
    for name in ("SIGTERM", "SIGINT"):
        loop.add_signal_handler(getattr(signal, name), ended.set)
    parent = multiprocessing.parent_process()
    if parent is not None:  # a worker does not outlive who keeps it running
        loop.add_reader(parent.sentinel, _orphaned, loop, parent.sentinel, ended)
    tasks: set[asyncio.Task[None]] = set()
    in_turn = asyncio.Lock()

    tls = options.tls()

    def reload() -> None:
        if tls is not None:
            _renew(options, tls)
        task = loop.create_task(reload_policy(options, server, metrics, in_turn))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, reload)
    await server.start(sock, tls)
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


def _orphaned(loop: asyncio.AbstractEventLoop, sentinel: int, ended: asyncio.Event) -> None:
    loop.remove_reader(sentinel)
    ended.set()


async def _warm(server: Server) -> None:
    try:
        await asyncio.to_thread(server.proxy.rules.guard.warm)
    except GuardrailError as error:
        _log.error("not ready: %s", error)
    else:
        gc.freeze()  # models are there to stay: collections need not look at them
        server.proxy.ready = True


def _renew(options: Options, tls: ssl.SSLContext) -> None:
    """Show connections to come the certificate as its files hold it now; one that is of no use,
    tried first on a context of its own, leaves the old in place."""
    try:
        options.tls()
        options.certify(tls)
    except (ValueError, OSError) as error:
        _log.error("the certificate was not read again: %s", error)


async def reload_policy(
    options: Options, server: Server, metrics: Metrics, in_turn: asyncio.Lock
) -> None:
    """Read the policy again, off the loop; a bad one leaves the old in place. One that is slow to
    load does not come behind, and so undo, one that was read after it."""
    async with in_turn:
        try:
            guard = await asyncio.to_thread(options.guard, metrics.call, lost=metrics.record_lost)
            if options.warm:
                await asyncio.to_thread(guard.warm)
                await server.proxy.readiness.ahead(guard)
        except GuardrailError as error:
            _log.error("the policy was not reloaded: %s", error)
            return
        server.proxy.reload(guard)
        _log.info("the policy was reloaded: %s %s", guard.policy.id, guard.policy.version)
