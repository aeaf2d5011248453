"""`guardrail serve`: one worker in this process, or several that are kept running."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from guardrail import GuardrailError
from guardrail_integrations.proxy.server.options import Options
from guardrail_integrations.proxy.server.serve import bound, tls_of
from guardrail_integrations.proxy.server.worker import run
from guardrail_integrations.proxy.telemetry.access_log import log_to_stderr
from guardrail_integrations.proxy.telemetry.metrics import SHARED

FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 30.0  # before a worker is started again
STEADY_S = 60.0  # a worker that ran for so long is started again soon

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
        bound(options.host, options.port).close()  # one that is shared is free for any of ours
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
    start = functools.partial(context.Process, target=_worker, args=(options, port))
    told: list[int] = []  # signals that are to be handed on
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: told.append(number))
    places = [_Place(start) for _ in range(options.workers)]
    stopping = False
    while not stopping or any(place.alive for place in places):
        while told:
            number = told.pop(0)
            stopping = stopping or number != getattr(signal, "SIGHUP", None)
            for place in places:
                place.signal(number)
        if not stopping:
            for place in places:
                place.keep_running()
        time.sleep(0.1)


class _Place:
    """A place of a worker. One that ends is started again, the later the sooner it ended."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start, self._worker = start, start()
        self._worker.start()
        self._since = time.monotonic()
        self._pause = FIRST_PAUSE_S
        self._ended = False

    @property
    def alive(self) -> bool:
        return bool(self._worker.is_alive())

    def keep_running(self) -> None:
        if self.alive:
            return
        now = time.monotonic()
        if not self._ended:
            self._ended = True
            self._pause = FIRST_PAUSE_S if now - self._since > STEADY_S else 2 * self._pause
            self._pause, self._since = min(self._pause, LAST_PAUSE_S), now
            _log.error("a worker ended with %s and is started again", self._worker.exitcode)
            _forget_gauges(self._worker.pid)
        if now - self._since >= self._pause:
            self._ended, self._since = False, now
            self._worker = self._start()
            self._worker.start()

    def signal(self, number: int) -> None:
        if self.alive:
            _signal(self._worker.pid, number)


def _worker(options: Options, port: int) -> None:
    log_to_stderr()
    try:
        with bound(options.host, port, shared=True) as sock:
            run(options, sock)
    except (GuardrailError, ValueError, OSError) as error:
        _log.error("a worker could not start: %s", error)
        sys.exit(1)


def _forget_gauges(pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
