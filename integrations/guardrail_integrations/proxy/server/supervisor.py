"""`guardrail serve`: one worker in this process, or several that are kept running."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from types import FrameType
from typing import Any

from guardrail import GuardrailError
from guardrail_integrations.proxy.server.options import Options
from guardrail_integrations.proxy.server.serve import bound, tls_of
from guardrail_integrations.proxy.server.worker import run
from guardrail_integrations.proxy.telemetry.access_log import log_to_stderr
from guardrail_integrations.proxy.telemetry.metrics import SHARED

_log = logging.getLogger("guardrail.proxy")


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
            run(options, sock)
        else:
            _supervise(options, port)
    return ""


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


def _worker(options: Options, port: int) -> None:
    log_to_stderr()
    with bound(options.host, port, shared=True) as sock:
        run(options, sock)


def _forget_gauges(pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
