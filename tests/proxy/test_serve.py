"""`guardrail serve` as a process: signals, reloads, several workers, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.proxy.process import (
    GUARDRAIL,
    POLICY,
    served,
    until_said,
    until_status,
    workers_of,
)
from tests.proxy.raw import ask, chat, post, wire
from tests.proxy.scripted import STREAM, Peer, Play, chunk
from tests.proxy.serving import answered, chat_answer, chat_chunks, says


async def test_the_policy_is_read_again_without_dropping_a_connection(tmp_path: Path) -> None:
    play = says(chat_answer("quiet"))
    async with served(tmp_path, play, "--records", str(tmp_path / "records")) as (url, process):
        async with wire(url) as one:
            one.send(post(chat("forbidden")))
            assert (await one.get()).status == 400
            (tmp_path / "policy.yaml").write_text(POLICY.replace("WORD", "other"))
            process.send_signal(signal.SIGHUP)
            for _ in range(100):
                one.send(post(chat("forbidden")))
                if (await one.get()).status == 200:
                    break
                await asyncio.sleep(0.05)
            else:
                raise AssertionError("the policy was not read again")
            (tmp_path / "policy.yaml").write_text("broken: [")
            process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.3)
            one.send(post(chat("other")))
            assert (await one.get()).status == 400
        assert (tmp_path / "records").read_text().count("\n") >= 3


def stepped(go: asyncio.Event) -> Play:
    """An upstream whose streams stop after their first event until `go` is set."""

    async def play(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            if not json.loads(body).get("stream"):
                await peer.say(*answered(chat_answer("quiet"), 200, {}))
                continue
            await peer.say(STREAM)
            for event in chat_chunks("a", "b"):
                await peer.say(chunk(event))
                await go.wait()
            await peer.say(b"0\r\n\r\n")

    return play


async def test_a_stream_goes_on_through_a_reload(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, stepped(go)) as (url, process), wire(url) as one:
        one.send(post(chat(stream=True)))
        first = await one.reader.readuntil(b"\n\n")
        (tmp_path / "policy.yaml").write_text(POLICY.replace("WORD", "other"))
        process.send_signal(signal.SIGHUP)
        await until_status(url, "other", 400)
        go.set()
        rest = await asyncio.wait_for(one.reader.readuntil(b"0\r\n\r\n"), 10)
        for event in chat_chunks("a", "b"):
            assert event in first + rest
        one.send(post(chat("other")))  # the same connection, under the new policy
        assert (await one.get()).status == 400


async def test_a_signal_ends_it_once_streams_are_over(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, stepped(go)) as (url, process):
        async with wire(url) as one:
            one.send(post(chat(stream=True)))
            await one.reader.readuntil(b"\r\n\r\n")
            process.terminate()
            await asyncio.sleep(0.3)
            assert process.poll() is None
            go.set()
            rest = await asyncio.wait_for(one.reader.read(), 10)
            assert rest.endswith(b"0\r\n\r\n")
        assert await asyncio.to_thread(process.wait, 20) == 0


async def test_workers_share_a_port_and_are_started_again(tmp_path: Path) -> None:
    async with served(tmp_path, says(chat_answer("quiet")), "--workers", "2") as (url, process):
        workers = workers_of(process)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(200):
            now = workers_of(process)
            if len(now) == 2 and workers[0] not in now:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the worker was not started again")
        assert (await ask(url, post(chat()))).status == 200


async def test_a_worker_that_cannot_start_says_why_and_is_started_once_it_can(
    tmp_path: Path,
) -> None:
    play = says(chat_answer("quiet"))
    async with served(tmp_path, play, "--workers", "2") as (url, process):
        (tmp_path / "policy.yaml").write_text("broken: [")
        workers = workers_of(process)
        os.kill(workers[0], signal.SIGKILL)
        early = await asyncio.wait_for(until_said(process, "a worker could not start: "), 60)
        assert (await ask(url, post(chat("forbidden")))).status == 400
        (tmp_path / "policy.yaml").write_text(POLICY.replace("WORD", "forbidden"))
        for _ in range(200):
            if len(workers_of(process)) == 2:
                break
            await asyncio.sleep(0.1)
        process.terminate()
        assert process.stderr is not None
        log = await asyncio.wait_for(asyncio.to_thread(process.stderr.read), 20)
        await asyncio.to_thread(process.wait, 20)
    said = early + log.decode()
    assert process.returncode == 0
    assert "this is not YAML" in said
    assert "Traceback" not in said
    assert said.count("is started again") <= 3


async def test_workers_do_not_outlive_who_keeps_them_running(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, stepped(go), "--workers", "2") as (url, process):
        workers = workers_of(process)
        async with wire(url) as one:
            one.send(post(chat(stream=True)))
            await one.reader.readuntil(b"\r\n\r\n")
            process.kill()
            await asyncio.sleep(0.5)
            go.set()
            rest = await asyncio.wait_for(one.reader.read(), 20)
            assert rest.endswith(b"0\r\n\r\n")
        for _ in range(200):
            if not any(Path(f"/proc/{worker}").exists() for worker in workers):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("a worker is still there")


async def test_two_proxies_do_not_share_a_port(tmp_path: Path) -> None:
    async with served(tmp_path, says(chat_answer("quiet")), "--workers", "2") as (url, _):
        port = url.rpartition(":")[2]
        command = [*GUARDRAIL, "serve", "--upstream", "http://x", "--workers", "2", "--port", port]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
        assert done.returncode == 2
        assert f"127.0.0.1:{port}: Address already in use" in done.stderr.decode()


async def test_all_workers_read_the_policy_again_and_end_once_streams_are_over(
    tmp_path: Path,
) -> None:
    go = asyncio.Event()
    async with served(tmp_path, stepped(go), "--workers", "2") as (url, process):
        workers = workers_of(process)
        async with contextlib.AsyncExitStack() as stack:
            kept = [await stack.enter_async_context(wire(url)) for _ in range(12)]
            for one in kept:  # so many that each worker has some of them
                one.send(post(chat("forbidden")))
                assert (await one.get()).status == 400
            (tmp_path / "policy.yaml").write_text(POLICY.replace("WORD", "other"))
            process.send_signal(signal.SIGHUP)
            for one in kept:
                for _ in range(200):
                    one.send(post(chat("other")))
                    if (await one.get()).status == 400:
                        break
                    await asyncio.sleep(0.05)
                else:
                    raise AssertionError("a worker did not read the policy again")
            for one in kept:
                one.send(post(chat("forbidden", stream=True)))
                assert b" 200 " in await one.reader.readuntil(b"\r\n\r\n")
            process.terminate()
            await asyncio.sleep(0.5)
            assert workers_of(process) == workers
            go.set()
            for one in kept:
                rest = await asyncio.wait_for(one.reader.read(), 20)
                assert rest.endswith(b"0\r\n\r\n")
        assert await asyncio.to_thread(process.wait, 20) == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


async def test_logs_and_records_hold_no_keys_and_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDRAIL_DIGEST_KEY", "sk-digest-0123456789")
    records = tmp_path / "records"
    answer = says(chat_answer("sk-answered"))
    more = "Authorization: Bearer sk-client\r\nx-api-key: sk-other\r\nx-guardrail-tenant: shop\r\n"
    async with served(tmp_path, answer, "--records", str(records)) as (url, process):
        for request in (
            post(chat("sk-asked"), more=more),
            post(chat("forbidden sk-asked"), more=more),
            post(b'{"sk-broken', more=more),
            post(b"sk-other-path", "/v1/sk-path?key=sk-query", more=more),
            post(chat([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/sk"}}])),
        ):
            await ask(url, request)
        process.terminate()
        _, log = await asyncio.to_thread(process.communicate, None, 20)
    assert len(records.read_text().splitlines()) == 4
    rows = [json.loads(line) for line in log.decode().splitlines() if line.startswith("{")]
    calls = [row for row in rows if row["path"] != "/readyz"]
    assert [row["status"] for row in calls] == [200, 400, 400, 200, 400]
    assert calls[0]["tenant"] == "shop"
    assert calls[2]["record"].startswith("gr_")
    assert "sk-" not in log.decode() + records.read_text()


@contextlib.contextmanager
def few_files(count: int) -> Iterator[None]:
    """What is started here may open few files, unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_more_clients_are_served_than_files_may_be_open_at_first(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        with few_files(128):
            url, _ = await stack.enter_async_context(served(tmp_path, says(chat_answer("fine"))))
        wires = [await stack.enter_async_context(wire(url)) for _ in range(200)]
        for one in (wires[0], wires[-1]):
            one.send(post(chat()))
            assert (await one.get()).status == 200


async def test_tls_towards_clients(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    options = ("--tls-cert", str(tmp_path / "cert.pem"))
    async with served(tmp_path, says(chat_answer("quiet")), *options) as (url, _):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        port = int(url.rpartition(":")[2])
        for _ in range(200):
            try:
                reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
                break
            except OSError:
                await asyncio.sleep(0.1)
        writer.write(post(chat("forbidden")))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()


async def shown(port: int, authority: trustme.CA) -> str:
    """The serial number of the certificate that a new connection is shown, once there is one."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("localhost", port, ssl=context)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
            continue
        serial = str(writer.get_extra_info("peercert")["serialNumber"])
        writer.close()
        return serial
    raise AssertionError("it does not answer")


async def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(tmp_path: Path) -> None:
    authority, file = trustme.CA(), tmp_path / "cert.pem"

    def renew() -> None:
        issued = authority.issue_cert("localhost").private_key_and_cert_chain_pem
        issued.write_to_path(str(file))

    renew()
    options = ("--tls-cert", str(file))
    async with served(tmp_path, says(chat_answer("quiet")), *options) as (url, process):
        port = int(url.rpartition(":")[2])
        first = await shown(port, authority)
        renew()
        assert await shown(port, authority) == first
        process.send_signal(signal.SIGHUP)
        for _ in range(200):
            second = await shown(port, authority)
            if second != first:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("the certificate was not read again")
        file.write_text("broken")
        process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        assert await shown(port, authority) == second


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give either --upstream or --config"),
        (["--upstream", "http://x", "--policy", "nowhere.yaml"], "nowhere.yaml"),
        (["--upstream", "ftp://x"], "http or https"),
        (["--upstream", "http://"], "--upstream: an http or https address"),
        (["--upstream", "http://localhost:8080"], "the proxy itself would listen there"),
        (["--upstream", "http://10.0.0.9:81", "--host", "10.0.0.9", "--port", "81"], "itself"),
        (["--upstream", "http://x:port"], "--upstream: an http or https address"),
        (["--upstream", "http://x", "--tls-cert", "no.pem"], "no.pem: no certificate in PEM"),
        (["--upstream", "http://x", "--tls-key", "no.pem"], "--tls-key: it needs --tls-cert"),
        (["--config", "proxy.yaml"], "no.pem: no certificates in PEM"),
        (["--upstream", "http://x", "--host", "192.0.2.1"], "192.0.2.1:8080: "),
        (["--upstream", "http://x", "--cache-url", "redis://x"], "GUARDRAIL_DIGEST_KEY"),
    ],
)
def test_mistakes_end_the_command(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "no.pem").write_text("this is no certificate")
    entry = "upstreams: {one: {url: https://x, ca: no.pem}}"
    (tmp_path / "proxy.yaml").write_text(entry)
    command = [*GUARDRAIL, "serve", *options]
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


async def test_a_stream_whose_client_has_left_is_recorded_before_the_end(tmp_path: Path) -> None:
    records = tmp_path / "records"
    rules = POLICY.replace("[input]", "[input, output]").replace("block", "flag")
    options = ("--records", str(records))
    async with served(tmp_path, says(chat_chunks("a", "b")), *options, rules=rules) as (url, one):
        for _ in range(20):
            async with wire(url) as client:
                client.send(post(chat(stream=True)))
                await client.reader.readuntil(b"[DONE]\n\n")
        one.terminate()
        assert await asyncio.to_thread(one.wait, 20) == 0
    rows = [json.loads(line) for line in records.read_text().splitlines()]
    assert len(rows) == 20
    for row in rows:
        assert row.get("error") is None
        assert [stage["stage"] for stage in row["stages"]] == ["input", "output"]
