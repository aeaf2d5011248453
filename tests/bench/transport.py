"""What a request costs through each client: python -m tests.bench.transport

The same requests go to the same nginx on loopback through the proxy's transport, the same under
httpx, aiohttp and httpx itself, all in one process and on one core, taking turns. Medians of the
rounds are shown; CPU is that of the client's process.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

import aiohttp
import httpx

from guardrail_integrations.httpx import HttpxTransport
from guardrail_integrations.proxy.interfaces import Request
from guardrail_integrations.proxy.upstream.pool import HttpUpstream
from tests.bench.servers import nginx_origin

ROUNDS = 9
Ask = Callable[[bytes], Awaitable[int]]


def clients(
    url: str, quick: httpx.AsyncClient, plain: httpx.AsyncClient, session: aiohttp.ClientSession
) -> dict[str, Ask]:
    upstream = HttpUpstream(url)
    target = "/v1/chat/completions"

    async def ours(body: bytes) -> int:
        headers = [(b"Host", b"up"), (b"Content-Length", b"%d" % len(body))]
        answer = await upstream.send(Request(b"POST", target.encode(), headers, [body]))
        size = 0
        while piece := await answer.read():
            size += len(piece)
        return size

    async def aio(body: bytes) -> int:
        async with session.post(url + target, data=body) as answer:
            return len(await answer.read())

    def under(client: httpx.AsyncClient) -> Ask:
        async def ask(body: bytes) -> int:
            return len((await client.post(url + target, content=body)).content)

        return ask

    return {
        "the proxy's transport": ours,
        "httpx on it": under(quick),
        "aiohttp": aio,
        "httpx": under(plain),
    }


async def spend(ask: Ask, body: bytes, side_by_side: int, seconds: float) -> tuple[float, float]:
    """Microseconds and microseconds of CPU a request."""
    until = time.perf_counter() + seconds
    done = 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < until:
            assert await ask(body) > 0
            done += 1

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(side_by_side)))
    spent, cpu = time.perf_counter() - started, time.process_time() - cpu
    return spent / done * 1e6, cpu / done * 1e6


async def main() -> None:
    with nginx_origin() as url:
        async with (
            httpx.AsyncClient(transport=HttpxTransport()) as quick,
            httpx.AsyncClient() as plain,
            aiohttp.ClientSession() as session,
        ):
            await compare(clients(url, quick, plain, session))


async def compare(asks: dict[str, Ask]) -> None:
    for size, side_by_side in ((1_000, 1), (1_000, 16), (1_500_000, 1)):
        body = b"x" * size
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in asks}
        for _ in range(ROUNDS):
            for name, ask in asks.items():
                found[name].append(await spend(ask, body, side_by_side, 0.3))
        print(f"\n{size} bytes, {side_by_side} at once: µs a request, µs of CPU, times ours")
        base = 0.0
        for name, pairs in found.items():
            wall, cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
            base = base or cpu
            print(f"  {name:24}{wall:10.0f}{cpu:10.0f}{cpu / base:8.1f}")


if __name__ == "__main__":
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    import uvloop

    uvloop.run(main())
