"""`guardrail serve` as a process of its own, in front of a scripted upstream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.proxy.raw import Got, ask, chat, post
from tests.proxy.scripted import Play, scripted

GUARDRAIL = (sys.executable, "-c", "from guardrail.cli import main; main()")
POLICY = """
apiVersion: guardrail/v1
policy: {id: words, version: 1}
rules:
  - {id: words, when: [input], check: {use: keywords, words: [WORD]}, action: block}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.asynccontextmanager
async def served(
    folder: Path, play: Play, *options: str, rules: str = POLICY, config: str = ""
) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """The command, with this policy. In a `config` UPSTREAM stands for the upstream's address."""
    policy = folder / "policy.yaml"
    policy.write_text(rules.replace("WORD", "forbidden"))
    port = free_port()
    async with scripted(play) as upstream:
        where = ["--upstream", upstream.url]
        if config:
            file = folder / "proxy.yaml"
            file.write_text(config.replace("UPSTREAM", upstream.url))
            where = ["--config", str(file)]
        command = [*GUARDRAIL, "serve", *where, "--policy", str(policy), "--port", str(port)]
        command += options
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            url = f"http://127.0.0.1:{port}"
            if "--tls-cert" not in options:
                await until_ready(url)
            yield url, process
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)


async def until_status(url: str, text: str, status: int) -> None:
    for _ in range(200):
        if (await ask(url, post(chat(text)))).status == status:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{text!r} was never answered with {status}")


async def until_ready(url: str) -> Got:
    for _ in range(300):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            got = await ask(url, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            if got.status == 200:
                return got
        await asyncio.sleep(0.1)
    raise AssertionError("the proxy did not start")


async def until_said(process: subprocess.Popen[bytes], words: str) -> str:
    """What the process has logged up to the line with these words."""
    assert process.stderr is not None
    said = ""
    while words not in said:
        line = await asyncio.to_thread(process.stderr.readline)
        assert line, f"it ended without {words!r}"
        said += line.decode()
    return said


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes of the workers."""
    said = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    pids = map(int, said.split())
    return [p for p in pids if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
