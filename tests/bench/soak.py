"""The proxy under load and failures for minutes: make soak MINUTES=30

Clients ask with a number each and must get that number back, whole or in a stream. The upstream
fails once in a thousand calls, in four ways; clients hang up once in a thousand; the policy is
read again every few seconds. At the end no answer was lost or mixed up, no call is under way, and
memory is level: that of the last quarter is that of the second. Then so many slow streams run at
once. Only loopback is used, and everything ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.interfaces import Request, UpstreamError
from guardrail_integrations.proxy.upstream.pool import HttpUpstream, Pooling
from tests.bench.proxy import CHAT, INJECTION
from tests.bench.servers import free_port, serving

WORDS = 12  # of an answer, each in a chunk of its own
FAILURE = 0.001
POLICY = {
    **INJECTION,
    "rules": [
        *INJECTION["rules"],
        {"id": "out", "when": ["output"], "check": "secrets", "action": "redact"},
    ],
}


@dataclass
class Tally:
    """What came of the calls."""

    right: int = 0
    failed: int = 0  # with an error of the upstream, as the client was told
    left: int = 0
    wrong: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def answer(number: str, stream: bool) -> tuple[str, bytes]:
    """The answer to a number: its words all name it."""
    words = [f"{number}-{place} " for place in range(WORDS)]
    if not stream:
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return "application/json", json.dumps({"id": number, "choices": [choice]}).encode()
    events = [
        json.dumps({"id": number, "choices": [{"index": 0, "delta": {"content": word}}]})
        for word in words
    ]
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    return "text/event-stream", body.encode()


async def upstream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float
) -> None:
    """Answers calls on one connection, and fails in a while."""
    try:
        while True:
            asked = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(asked.split(b"content-length: ")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            number = body["messages"][0]["content"].split()[-1]
            kind, data = answer(number, bool(body.get("stream")))
            fails = random.random() < FAILURE
            if fails and random.random() < 0.5:
                if random.random() < 0.5:
                    writer.write(b"no HTTP at all\r\n\r\n")
                return
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
            writer.write(head.encode())
            for piece in data.split(b"\n\n") if body.get("stream") else [data]:
                piece = piece + b"\n\n" if body.get("stream") else piece
                if piece.strip():
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if fails:
                    return
                if pause:
                    await asyncio.sleep(pause)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def ask(proxy: HttpUpstream, number: str, stream: bool, tally: Tally) -> None:
    """One call; its answer must be the number's own."""
    text = f"Tell me of the harbour {number}"
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    raw = json.dumps({**body, "stream": True} if stream else body).encode()
    headers = [(b"Host", b"p"), (b"Content-Type", b"application/json")]
    headers.append((b"Content-Length", b"%d" % len(raw)))
    leaves = random.random() < FAILURE
    try:
        response = await proxy.send(Request(b"POST", CHAT.encode(), headers, [raw]))
        if leaves:
            response.close()
            tally.left += 1
            return
        pieces = []
        while piece := await response.read():
            pieces.append(piece)
    except UpstreamError:
        tally.failed += 1
        return
    got = b"".join(pieces)
    if response.status != 200 or b'"error"' in got:
        tally.failed += 1
        if response.status not in (200, 502, 504):
            tally.wrong.append(f"{number}: {response.status} {got[:200]!r}")
        return
    expected = answer(number, stream)[1]
    if got != expected:
        tally.wrong.append(f"{number}: {len(got)} bytes, not its own {len(expected)}")
    else:
        tally.right += 1


def memory(pid: int) -> float:
    """The resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def soak(url: str, pid: int, seconds: float, at_once: int) -> Tally:
    """Load, failures and reloads for so long."""
    tally, until, numbers = Tally(), time.monotonic() + seconds, iter(range(10**12))
    limits = Timeouts(head=30, idle=30)
    proxy = HttpUpstream(url, timeouts=limits, pooling=Pooling(connections=at_once * 2))

    async def lane() -> None:
        while time.monotonic() < until:
            number = f"n{next(numbers):09d}"
            await ask(proxy, number, random.random() < 0.5, tally)

    async def watch() -> None:
        while time.monotonic() < until:
            await asyncio.sleep(min(5, seconds / 40))
            tally.memory.append(memory(pid))
            os.kill(pid, signal.SIGHUP)

    await asyncio.gather(watch(), *(lane() for _ in range(at_once)))
    await proxy.close()
    return tally


async def slow_streams(url: str, pid: int, count: int) -> tuple[Tally, float, float]:
    """So many streams at once, each word of which takes its time."""
    tally, before = Tally(), memory(pid)
    proxy = HttpUpstream(url, timeouts=Timeouts(connect=60), pooling=Pooling(connections=count))
    asked = [ask(proxy, f"s{n:09d}", True, tally) for n in range(count)]
    task = asyncio.gather(*asked)
    most = before
    while not task.done():
        await asyncio.sleep(0.25)
        most = max(most, memory(pid))
    await task
    await proxy.close()
    return tally, before, most


async def run(minutes: float, at_once: int, streams: int) -> list[str]:
    """Everything; gives what did not hold."""
    wrong: list[str] = []
    pause = 0.0
    port = free_port()
    open_ones: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(upstream(reader, writer, pause))
        open_ones.add(task)
        task.add_done_callback(open_ones.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, backlog=4096)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.yaml"
        policy.write_text(json.dumps(POLICY))
        command = [str(Path(sys.executable).with_name("guardrail")), "serve", "--upstream", origin]
        command += ["--policy", str(policy), "--port", str(port), "--no-access-log"]
        with serving(command, port) as pid:
            url = f"http://127.0.0.1:{port}"
            tally = await soak(url, pid, minutes * 60, at_once)
            quarter = max(1, len(tally.memory) // 4)
            early = statistics.median(tally.memory[quarter : 2 * quarter])
            late = statistics.median(tally.memory[-quarter:])
            print(
                f"{tally.right} right, {tally.failed} told of a failure, {tally.left} left, "
                f"{len(tally.memory)} reloads; memory {early:.0f} MiB, then {late:.0f} MiB"
            )
            wrong += tally.wrong[:10]
            if late > early * 1.1 + 5:
                wrong.append(f"memory grew from {early:.0f} to {late:.0f} MiB")
            if tally.failed > (tally.right + tally.left) * FAILURE * 4 + 10:
                wrong.append(f"{tally.failed} failures are more than the upstream's")
            pause = 0.8
            slow, before, most = await slow_streams(url, pid, streams)
            print(
                f"{slow.right} of {streams} slow streams right, {slow.failed} failed; "
                f"memory {before:.0f} MiB before, {most:.0f} MiB at most"
            )
            wrong += slow.wrong[:10]
            if slow.right + slow.failed + slow.left != streams or slow.failed > streams * 0.02:
                wrong.append(f"{slow.failed} of {streams} slow streams failed")
    server.close()
    for task in open_ones:
        task.cancel()
    return wrong


def main() -> None:
    """Ends with 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--streams", type=int, default=2_000)
    given = parser.parse_args()
    wrong = asyncio.run(run(given.minutes, given.at_once, given.streams))
    for one in wrong:
        print("WRONG", one)
    print("soak: failed" if wrong else "soak: passed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
