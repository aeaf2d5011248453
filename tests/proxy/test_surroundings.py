"""`guardrail serve` among real servers: what it fetches from, what it shares findings in, what
takes its figures, and what a large body costs it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.proxy.process import served
from tests.proxy.raw import ask, chat, post, wire
from tests.proxy.scripted import Peer, chunk, scripted
from tests.proxy.serving import chat_answer, pixel, says
from tests.shared_cache.servers import Server, programs

QUIET = says(chat_answer("quiet"))


def shows(url: str) -> bytes:
    return post(chat([{"type": "image_url", "image_url": {"url": url}}]))


async def figures(url: str) -> dict[str, float]:
    """The sums of all metrics, by name, and of those with `what` by that as well."""
    got = await ask(url, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(got.body.decode()):
        for sample in family.samples:
            path = sample.labels.get("path", "/chat/completions")
            for name in {sample.name, f"{sample.name} {sample.labels.get('what', '')}".strip()}:
                if path == "/chat/completions":
                    sums[name] = sums.get(name, 0) + sample.value
    return sums


async def until_figure(url: str, name: str, value: float) -> None:
    seen: float | None = None
    for _ in range(300):
        seen = (await figures(url)).get(name)
        if seen == value:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{name} is {seen}, and was never {value}")


def hands_out(home: str) -> Any:
    """A server of pictures: one, and ways to other places."""

    async def play(peer: Peer) -> None:
        head, _ = await peer.request()
        name = head.split()[1].rpartition(b"/")[2].decode()
        places = {
            "metadata": "http://169.254.169.254/latest/meta-data",
            "private": "http://10.0.0.1/x.png",
            "mapped": "http://[::ffff:10.0.0.1]/x.png",
            "home": f"{home}/v1/models",
        }
        if name in places:
            where = f"HTTP/1.1 302 Found\r\nLocation: {places[name]}\r\nContent-Length: 0\r\n\r\n"
            await peer.say(where.encode())
        else:
            length = b"Content-Length: %d\r\n\r\n" % len(pixel())
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n" + length + pixel())

    return play


FETCHES = """
upstreams: {one: {url: UPSTREAM}}
fetch: {inside: [127.0.0.1/32], ports: [PORT]}
"""


async def test_pictures_are_fetched_and_no_redirect_leads_inside(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    async def notes(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            bodies.append(body)
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with scripted(QUIET) as home, scripted(hands_out(home.url)) as shelf:
        config = FETCHES.replace("PORT", str(shelf.port))
        async with served(tmp_path, notes, config=config) as (url, _):
            assert (await ask(url, shows(f"{shelf.url}/cat.png"))).status == 200
            assert base64.b64encode(pixel()) in bodies[0]
            for name in ("metadata", "private", "mapped", "home"):
                got = await ask(url, shows(f"{shelf.url}/{name}"))
                assert (got.status, got.code) == (400, "fetch_forbidden")
        assert len(bodies) == 1
        assert not home.requests


async def test_records_that_cannot_be_written_are_counted(tmp_path: Path) -> None:
    async with served(tmp_path, QUIET, "--records", "/dev/full") as (url, _):
        for text in ("hello", "forbidden", "hello"):
            got = await ask(url, post(chat(text)))
            assert got.status == (400 if text == "forbidden" else 200)
        await until_figure(url, "guardrail_telemetry failed", 3)


async def test_the_figures_of_all_workers_are_told_together(tmp_path: Path) -> None:
    async with served(tmp_path, QUIET, "--workers", "2") as (url, _):
        async with contextlib.AsyncExitStack() as stack:
            for number in range(16):  # so many that each worker has some of them
                one = await stack.enter_async_context(wire(url))
                one.send(post(chat("forbidden" if number % 2 else "hello")))
                assert (await one.get()).status == (400 if number % 2 else 200)
        for _ in range(6):  # whichever worker is asked
            await until_figure(url, "guardrail_requests_total", 16)


QR = """
apiVersion: guardrail/v1
policy: {id: words, version: 1}
extract: {qr: {}}
rules:
  - {id: words, when: [input], check: {use: keywords, words: [GUARDRAIL-TEST]}, action: block}
"""


@pytest.mark.parametrize("program", programs().values(), ids=list(programs()))
async def test_a_shared_cache_that_goes_and_returns_costs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    from guardrail.canaries import CANARIES

    monkeypatch.setenv("GUARDRAIL_DIGEST_KEY", "0123456789abcdef0123456789abcdef")
    code = next(one.picture() for one in CANARIES if one.through == "qr")

    async def calls(url: str, first: int) -> None:
        for padding in range(first, first + 4):
            data = code + b"\0" * padding  # a picture that nobody has seen
            got = await ask(url, shows("data:image/png;base64," + base64.b64encode(data).decode()))
            assert (got.status, got.code) == (400, "policy_violation")
            assert (await ask(url, post(chat("hello")))).status == 200

    server = Server(program, tmp_path)
    up = "guardrail_shared_cache up"
    try:
        options = ("--cache-url", server.url, "--no-access-log")
        async with served(tmp_path, QUIET, *options, rules=QR) as (url, _):
            await calls(url, 1)
            await until_figure(url, up, 1)
            await asyncio.to_thread(server.kill)
            await calls(url, 11)
            await until_figure(url, up, 0)
            await asyncio.to_thread(server.start)
            await until_figure(url, up, 1)
            await calls(url, 21)
            await until_figure(url, "guardrail_shared_cache waiting", 0)
    finally:
        server.kill()


async def test_a_slow_upstream_holds_an_upload_back_and_gets_all_of_it(tmp_path: Path) -> None:
    go, digest = asyncio.Event(), hashlib.sha256()
    size = 48 << 20

    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await go.wait()
        left = size
        while left:
            piece = await peer.reader.read(min(left, 1 << 20))
            digest.update(piece)
            left -= len(piece)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    piece, sent, sum_ = bytes(range(256)) * 256, 0, hashlib.sha256()
    async with served(tmp_path, play) as (url, _), wire(url) as one:
        one.send(b"POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            try:
                await asyncio.wait_for(one.writer.drain(), 1)
            except TimeoutError:  # nobody takes any more
                assert sent < size // 2
                go.set()
                await one.writer.drain()
            one.send(piece)
            sum_.update(piece)
            sent += len(piece)
        assert go.is_set()
        assert (await one.get()).body == b"ok"
        assert digest.digest() == sum_.digest()


def resident(pid: int) -> int:
    """The bytes of memory that a process holds, at the most so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_of_a_gigabyte_is_refused_and_not_held(tmp_path: Path, told: bool) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
    head += b"Content-Length: 1073741824\r\n" if told else b"Transfer-Encoding: chunked\r\n"
    piece = b"x" * (1 << 20)
    framed = piece if told else chunk(piece)
    async with served(tmp_path, QUIET) as (url, process), wire(url) as one:
        before = resident(process.pid)
        one.send(head + b"\r\n")
        answer = asyncio.create_task(one.get())
        with contextlib.suppress(ConnectionError):  # it hangs up on who goes on for long
            for _ in range(1_024):
                one.send(framed)
                await one.writer.drain()
        got = await answer
        assert (got.status, got.code) == (413, "body_too_large")
        assert resident(process.pid) - before < 300 << 20
        assert (await ask(url, post(chat()))).status == 200
        assert (await figures(url))["guardrail_buffered_bytes"] == 0
