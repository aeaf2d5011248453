"""What the proxy costs beside nginx and its own pass-through: make bench-proxy

An origin and the load generator share one core, and the proxy under test has another to itself.
The proxies take turns, medians of the rounds are shown, and what is judged are ratios. Needs nginx
and wrk (Debian: apt-get install nginx-light wrk) and two cores; all traffic stays on loopback.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import chunks, pages
from tests.bench.servers import (
    free_port,
    nginx_origin,
    nginx_proxy,
    reading_origin,
    serving,
    wait_until_ready,
)

CHAT, PASS = "/v1/chat/completions", "/pass"
PATTERNS = {
    "apiVersion": "guardrail/v1",
    "policy": {"id": "bench", "version": 1},
    "proxy": {"other_paths": "pass"},
    "rules": [
        {
            "id": "patterns",
            "when": ["input", "tool"],
            "check": {"use": "regex", "patterns": [f"internal-{n}-[0-9]{{4}}" for n in range(200)]},
            "action": "block",
        },
        {"id": "secrets", "when": ["input", "tool"], "check": "secrets", "action": "redact"},
    ],
}


def with_injection(**arguments: Any) -> dict[str, Any]:
    """The same policy with a rule on injection."""
    check = {"use": "injection", **arguments}
    rule = {"id": "injection", "when": ["input", "tool"], "check": check, "action": "block"}
    return {**PATTERNS, "rules": [*PATTERNS["rules"], rule]}


INJECTION = with_injection()
PICTURES = {
    **INJECTION,
    "extract": {"ocr": {}},
    "rules": [
        *INJECTION["rules"],
        {"id": "nsfw", "when": ["input", "tool"], "check": "nsfw", "action": "block"},
    ],
}
NUMBER = b"<number>"
_NUMBERED = """
local at, to = wrk.body:find("<number>", 1, true)
local before, after, number = wrk.body:sub(1, at - 1), wrk.body:sub(to + 1), os.time() % 10000 * 1e6
function letter(digit) return string.char(97 + digit) end
function request()
  number = number + 1
  local word = string.format("%010d", number):gsub("%d", letter)
  return wrk.format(nil, nil, nil, before .. word .. after)
end
"""
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass
class Proxy:
    """A server under test: where it listens, what it is asked for, and its processes."""

    name: str
    url: str
    pid: int
    path: str = CHAT
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def cores() -> tuple[int, int]:
    """A core for origin and load, and one for the proxy."""
    have = sorted(os.sched_getaffinity(0))
    return have[0], have[-1]


def chat_body(size: int, picture: bytes | None = None, *, numbered: bool = False) -> bytes:
    """A chat call of so many bytes."""
    text = "The harbour was quiet at dusk and the boats lay still. "
    content: Any = (text * (size // len(text) + 1))[: max(size - 80, 1)]
    if numbered:
        content = f"{NUMBER.decode()} {content}"
    if picture is not None:
        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        content = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def numbered(text: str, count: int) -> Iterator[str]:
    """So many texts with a number in letters in place of NUMBER, as the load generator sends."""
    letters = str.maketrans("0123456789", "abcdefghij")
    for number in range(count):
        yield text.replace(NUMBER.decode(), f"{number:010d}".translate(letters))


@contextlib.contextmanager
def guardrail(
    name: str, origin: str, policy: dict[str, Any] | str, core: int | None, *more: str
) -> Iterator[Proxy]:
    """Our own proxy in a process of its own; a policy by its name, or what it says."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        file.write_text(json.dumps(policy))
        program = Path(sys.executable).with_name("guardrail")
        command = [str(program), "serve", "--upstream", origin]
        command += ["--policy", policy if isinstance(policy, str) else str(file)]
        command += ["--port", str(port), "--no-access-log", *more]
        url = f"http://127.0.0.1:{port}"
        with serving(command, port, core) as pid:
            wait_until_ready(url)
            yield Proxy(name, url, pid)


@contextlib.contextmanager
def reference(origin: str, core: int | None) -> Iterator[Proxy | None]:
    """uvicorn with httpx, as most proxies in Python are built."""
    if importlib.util.find_spec("uvicorn") is None:
        yield None
        return
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.reference:app", "--port", str(port)]
    os.environ["BENCH_ORIGIN"] = origin
    with serving([*command, "--no-access-log", "--log-level", "error"], port, core) as pid:
        yield Proxy("uvicorn + httpx", f"http://127.0.0.1:{port}", pid)


@contextlib.contextmanager
def litellm(origin: str, core: int | None) -> Iterator[Proxy | None]:
    """LiteLLM's proxy, where it is installed."""
    program = shutil.which("litellm")
    if program is None:
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        params = {"model": "openai/m", "api_base": f"{origin}/v1", "api_key": "k"}
        config = {
            "model_list": [{"model_name": "m", "litellm_params": params}],
            "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        }
        file.write_text(json.dumps(config))
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it fetches its prices otherwise
        command = [program, "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
        with serving(command, port, core) as pid:
            yield Proxy("LiteLLM", f"http://127.0.0.1:{port}", pid)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process and its children have taken."""
    spent, ticks = 0.0, os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            spent += (int(fields[11]) + int(fields[12])) / ticks
    return spent


def load(proxy: Proxy, script: Path, at_once: int, seconds: int, core: int) -> None:
    """One run of wrk."""
    before = cpu_of(proxy.pid)
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{at_once}", f"-d{seconds}s"]
    done = subprocess.run(
        [*command, "--latency", "-s", str(script), proxy.url + proxy.path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        sys.exit(f"{proxy.name}: not every request was answered\n{done}")
    proxy.cpu.append(cpu_of(proxy.pid) - before)
    for kept, share in ((proxy.p50, "50%"), (proxy.p99, "99%")):
        value, unit = re.findall(rf"{share}\s+([\d.]+)(us|ms|s)", done)[0]
        kept.append(float(value) * _UNITS[unit])
    requests = int(re.findall(r"(\d+) requests in", done)[0])
    proxy.rate.append(float(re.findall(r"Requests/sec:\s+([\d.]+)", done)[0]))
    proxy.cpu[-1] = proxy.cpu[-1] / max(requests, 1) * 1e6


def in_turn(
    proxies: list[Proxy], body: bytes, at_once: int, rounds: int, seconds: int
) -> dict[str, dict[str, float]]:
    """The medians of all proxies, which take turns. A number in letters in place of NUMBER makes
    each call another."""
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder) / "body", Path(folder) / "post.lua"
        data.write_bytes(body)
        script.write_text(
            f'local f = io.open("{data}", "rb")\nwrk.method = "POST"\nwrk.body = f:read("*a")\n'
            'wrk.headers["Content-Type"] = "application/json"\n' + (_NUMBERED * (NUMBER in body))
        )
        for proxy in proxies:
            load(proxy, script, at_once, 1, cores()[0])
            for kept in (proxy.p50, proxy.p99, proxy.rate, proxy.cpu):
                kept.clear()
        for _ in range(rounds):
            for proxy in proxies:
                load(proxy, script, at_once, seconds, cores()[0])
    return {
        proxy.name: {
            what: statistics.median(getattr(proxy, what)) for what in ("p50", "p99", "rate", "cpu")
        }
        for proxy in proxies
    }


def show(title: str, found: dict[str, dict[str, float]]) -> None:
    """A table of what was found; p50 beyond the direct call's."""
    direct = found["direct"]["p50"]
    print(f"\n{title}\n  {'':24}{'p50 us':>9}{'added':>9}{'p99 us':>10}{'req/s':>9}{'CPU us':>9}")
    for name, row in found.items():
        print(
            f"  {name:24}{row['p50']:9.0f}{row['p50'] - direct:9.0f}{row['p99']:10.0f}"
            f"{row['rate']:9.0f}{row['cpu']:9.0f}"
        )


def judge(what: str, value: float, bound: float, *, least: bool = False) -> None:
    """A ratio beside its bound."""
    holds = value >= bound if least else value <= bound
    sign = "at least" if least else "at most"
    print(f"  {'reached' if holds else 'MISSED ':8} {what}: {value:.2f} ({sign} {bound:g})")


def texts(rounds: int, seconds: int) -> None:
    """1 kB chat calls, alone and 16 at once."""
    low, high = cores()
    tier_one = with_injection(encoder=False)
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(nginx_origin(low))
        front, master = stack.enter_context(nginx_proxy(origin, high))
        plain = stack.enter_context(guardrail("patterns, secrets", origin, PATTERNS, high))
        proxies = [
            Proxy("direct", origin, 0),
            Proxy("nginx", front, master),
            Proxy("our pass-through", plain.url, plain.pid, PASS),
            plain,
            stack.enter_context(guardrail("and injection", origin, tier_one, high)),
            stack.enter_context(guardrail("policy default", origin, "default", high)),
        ]
        others = [stack.enter_context(made(origin, high)) for made in (reference, litellm)]
        proxies += [other for other in others if other is not None]
        body = chat_body(1_000, numbered=True)
        one = in_turn(proxies, body, 1, rounds, seconds)
        show("1 kB chat, 1 connection", one)
        many = in_turn(proxies, body, 16, rounds, seconds)
        show("1 kB chat, 16 connections", many)
    direct = one["direct"]["p50"]
    added = {name: row["p50"] - direct for name, row in one.items()}
    judge("added p50 to nginx's", added["patterns, secrets"] / added["nginx"], 2.0)
    ours = added["patterns, secrets"] / added["our pass-through"]
    judge("added p50 to our pass-through's", ours, 1.3)
    rate = many["patterns, secrets"]["rate"]
    judge("requests/s at 16 to nginx's", rate / many["nginx"]["rate"], 0.2, least=True)
    if "LiteLLM" in many:
        judge("requests/s at 16 to LiteLLM's", rate / many["LiteLLM"]["rate"], 50, least=True)
    text = json.loads(body)["messages"][0]["content"]
    bare = pages.bare_injection(list(numbered(text, 1_000)), encoder=False)
    allowed = added["patterns, secrets"] + bare
    judge(
        f"with injection to that + its bare {bare:.0f} us", added["and injection"] / allowed, 1.15
    )


def known_picture(rounds: int, seconds: int) -> None:
    """A picture of 1.5 MB (as base64 in the body) that has been seen before."""
    low, high = cores()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(reading_origin(low))
        front, master = stack.enter_context(nginx_proxy(origin, high))
        ours = stack.enter_context(guardrail("known picture", origin, PICTURES, high))
        proxies = [
            Proxy("direct", origin, 0),
            Proxy("nginx", front, master),
            Proxy("our pass-through", ours.url, ours.pid, PASS),
            ours,
        ]
        body = chat_body(0, pages.noise(1_125_000))
        pages.post(ours.url + CHAT, body)
        found = in_turn(proxies, body, 1, rounds, seconds)
        show(f"picture of {len(body) / 1e6:.1f} MB, known", found)
    beyond = found["known picture"]["p50"] - found["our pass-through"]["p50"]
    judge("us beyond our pass-through", beyond, 250)
    judge("CPU to it", found["known picture"]["cpu"] / found["our pass-through"]["cpu"], 1.4)


def unseen_pictures(seconds: int) -> None:
    """The p99 of text calls while A4 pages that were never seen are screened."""
    low, high = cores()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(nginx_origin(low))
        ours = stack.enter_context(guardrail("text", origin, PICTURES, high))
        pages.post(ours.url + CHAT, chat_body(0, pages.a4(0)))
        body = chat_body(1_000)
        alone = in_turn([ours], body, 1, 1, seconds)["text"]
        # drawn beforehand, as drawing would hold up the load generator
        unseen = [chat_body(0, pages.a4(number)) for number in range(1, 4 * seconds)]
        with pages.posting(ours.url + CHAT, unseen) as count:
            beside = in_turn([ours], body, 1, 1, seconds)["text"]
        screened = count()
    print(f"\nunseen A4 pages: {screened:.2f} a second on the core beside text calls")
    print(f"  p99 of text alone {alone['p99']:.0f} us, beside pages {beside['p99']:.0f} us")
    judge("p99 beside pages to alone", beside["p99"] / alone["p99"], 2.0)


def streams(rounds: int) -> None:
    """Streams of 100 chunks: what the first and each further chunk take."""
    low, high = cores()
    with contextlib.ExitStack() as stack:
        origin, _ = stack.enter_context(chunks.origin(low))
        front, _ = stack.enter_context(nginx_proxy(origin, high))
        ours = stack.enter_context(guardrail("guarded", origin, PATTERNS, high))
        urls = {
            "direct": origin + CHAT,
            "nginx": front + CHAT,
            "our pass-through": ours.url + PASS,
            "guarded": ours.url + CHAT,
        }
        found = chunks.in_turn(
            urls, json.dumps({**json.loads(chat_body(1_000)), "stream": True}), rounds
        )
    print(f"\nstreams of 100 chunks\n  {'':24}{'first us':>10}{'chunk us':>10}")
    for name, (first, each) in found.items():
        print(f"  {name:24}{first:10.0f}{each:10.0f}")
    for place, what, bound in ((0, "first chunk", 1.5), (1, "each chunk", 1.1)):
        guarded, own, other = (found[n][place] for n in ("guarded", "our pass-through", "nginx"))
        judge(f"{what}: guarded to our pass-through", guarded / own, 1.1)
        judge(f"{what}: our pass-through to nginx", own / other, bound)


def main() -> None:
    """Everything, or what is named."""
    parts = {
        "texts": lambda: texts(given.rounds, given.seconds),
        "picture": lambda: known_picture(given.rounds, given.seconds),
        "streams": lambda: streams(given.rounds),
        "unseen": lambda: unseen_pictures(max(10, given.seconds * 5)),
        "spans": pages.spans,
        "looks": pages.quick_looks,
    }
    parser = argparse.ArgumentParser(prog="python -m tests.bench.proxy", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    given = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2 or shutil.which("wrk") is None:
        sys.exit("two cores and wrk are needed: apt-get install wrk nginx-light")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in given.parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()
