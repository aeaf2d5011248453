"""The proxy's own endpoints against their OpenAPI document, and the proxy against any client."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from schemathesis.specs.openapi.checks import positive_data_acceptance

from guardrail import Guard
from guardrail.testing import fixed_detector, policy_of
from guardrail.testing import rule as policy_rule
from guardrail_integrations.proxy.server.endpoints import ENDPOINTS
from guardrail_integrations.proxy.server.openapi import document
from guardrail_integrations.proxy.server.serve import Server, bound, serving
from guardrail_integrations.proxy.settings import Settings
from tests.proxy.scripted import Peer, scripted

CALM = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


async def echoes(peer: Peer) -> None:
    """Answers a chat call with its last word; other calls with their path."""
    while True:
        head, body = await peer.request()
        try:
            word = json.loads(body)["messages"][-1]["content"].split()[-1]
        except (ValueError, LookupError, TypeError, AttributeError):
            word = head.split()[1].decode()
        message = {"role": "assistant", "content": word}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        data = json.dumps({"id": "c", "choices": [choice]}).encode()
        length = b"Content-Length: %d\r\n\r\n" % len(data)
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + length + data)


class InThread:
    """A proxy with its upstream, on an event loop of its own."""

    def __init__(self) -> None:
        self.server: Server
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        guard = Guard(policy_of(policy_rule(fixed_detector({"forbidden": 0.9}))))
        async with scripted(echoes) as upstream:
            self.server = serving(guard, Settings.of(upstream.url), endpoints=ENDPOINTS)
            await self.server.start(bound("127.0.0.1", 0))
            self._ready.set()
            await self._end.wait()
            await self.server.stop(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)


@pytest.fixture(scope="module")
def proxy() -> Iterator[InThread]:
    running = InThread()
    yield running
    running.stop()


OPERATIONS = [(path, method) for path, methods in document()["paths"].items() for method in methods]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_document_tells_the_truth(proxy: InThread, path: str, method: str) -> None:
    """Answers fit it, bad input is refused as it says, and nothing is a server error, but that
    the models of a policy may still be loading (503). Strings that fit it are refused too, where
    they are no addresses of pictures."""
    operation = schemathesis.openapi.from_url(proxy.url + "/openapi.json")[path][method.upper()]

    @CALM
    @given(case=operation.as_strategy())
    def holds(case: Any) -> None:
        answer = case.call()
        if answer.status_code == 503:
            assert path == "/readyz"
        else:
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    holds()


def request(word: str, body: bytes | None = None) -> bytes:
    """A whole chat call that ends in a word."""
    if body is None:
        messages = [{"role": "user", "content": f"say {word}"}]
        body = json.dumps({"model": "m", "messages": messages}).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def read_answer(sock: socket.socket) -> tuple[int, bytes] | None:
    """One response: its status and body, or None where the connection ends before one."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += sock.recv(65536)
    assert len(body) == length, "more came than one answer"
    return int(head.split()[1]), body


BROKEN = [
    b"GARBAGE\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: x\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: p\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /a b HTTP/1.1\r\nHost: p\r\n\r\n",
]


class AnyClient(RuleBasedStateMachine):
    """Clients that ask, break off, send in pieces, send rubbish: whoever asks properly gets the
    answer to the very question, whatever the others do."""

    proxy: InThread

    def __init__(self) -> None:
        super().__init__()
        self.open: list[socket.socket] = []
        self.partial: list[tuple[socket.socket, bytes, str]] = []
        self.number = 0

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.proxy.server.port), 20)

    def _word(self) -> str:
        self.number += 1
        return f"w{self.number}"

    def _expect(self, sock: socket.socket, word: str) -> None:
        answer = read_answer(sock)
        assert answer is not None
        assert answer[0] == 200
        assert json.loads(answer[1])["choices"][0]["message"]["content"] == word

    @initialize()
    def begin(self) -> None:
        self.open.append(self._connect())

    @rule()
    def ask_on_a_new_connection(self) -> None:
        sock, word = self._connect(), self._word()
        sock.sendall(request(word))
        self._expect(sock, word)
        self.open.append(sock)

    @precondition(lambda self: self.open)
    @rule(times=st.integers(1, 3))
    def ask_on_a_kept_connection(self, times: int) -> None:
        for _ in range(times):
            word = self._word()
            self.open[-1].sendall(request(word))
            self._expect(self.open[-1], word)

    @rule(cut=st.floats(0, 1))
    def begin_a_request(self, cut: float) -> None:
        sock, word = self._connect(), self._word()
        whole = request(word)
        at = max(1, int(len(whole) * cut))
        sock.sendall(whole[:at])
        self.partial.append((sock, whole[at:], word))

    @precondition(lambda self: self.partial)
    @rule()
    def end_a_request(self) -> None:
        sock, rest, word = self.partial.pop(0)
        sock.sendall(rest)
        self._expect(sock, word)
        self.open.append(sock)

    @precondition(lambda self: self.partial)
    @rule()
    def break_a_request_off(self) -> None:
        self.partial.pop()[0].close()

    @precondition(lambda self: len(self.open) > 1)
    @rule()
    def leave_before_the_answer(self) -> None:
        sock = self.open.pop(0)
        sock.sendall(request(self._word()))
        sock.close()

    @rule(
        raw=st.sampled_from(BROKEN)
        | st.binary(min_size=1, max_size=200).map(lambda b: b + b"\r\n\r\n")
    )
    def send_rubbish(self, raw: bytes) -> None:
        with self._connect() as sock:
            try:
                sock.sendall(raw + b"\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
                answer = read_answer(sock)
            except OSError:  # it has hung up already
                return
            assert answer is None or 400 <= answer[0] < 600 or answer[0] == 200

    @rule()
    def ask_what_is_forbidden(self) -> None:
        with self._connect() as sock:
            sock.sendall(request("forbidden"))
            answer = read_answer(sock)
            assert answer is not None
            assert answer[0] == 400
            assert json.loads(answer[1])["error"]["code"] == "policy_violation"

    @rule(text=st.text(max_size=30), cut=st.integers(0, 60))
    def send_a_body_that_is_no_call(self, text: str, cut: int) -> None:
        body = json.dumps({"messages": text}).encode()[:cut]
        with self._connect() as sock:
            sock.sendall(request("", body))
            answer = read_answer(sock)
            assert answer is not None
            assert answer[0] < 500

    @invariant()
    def nothing_is_under_way_without_a_client(self) -> None:
        most = len(self.partial) + 1
        until = time.monotonic() + 10
        while self.proxy.server.proxy.capacity.under_way > most:
            assert time.monotonic() < until, "calls are under way that nobody waits for"
            time.sleep(0.005)

    def teardown(self) -> None:
        for sock in [*self.open, *(sock for sock, _, _ in self.partial)]:
            sock.close()


def test_any_client(proxy: InThread) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    AnyClient.proxy = proxy
    profile = settings(
        max_examples=25,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(AnyClient, settings=profile)
    until = time.monotonic() + 10
    while proxy.server.proxy.capacity.under_way:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert proxy.server.proxy.capacity.buffered == 0
