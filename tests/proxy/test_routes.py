"""Which upstream a request goes to, with whose key; addresses, files and overlap."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from guardrail import Guard, Sink
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.http.timeouts import Timeouts
from guardrail_integrations.proxy.interfaces import Fetched, FetchError
from guardrail_integrations.proxy.server.configuration import read_settings
from guardrail_integrations.proxy.server.options import Options
from guardrail_integrations.proxy.server.worker import reload_policy
from guardrail_integrations.proxy.settings import Route, Settings, Target
from guardrail_integrations.proxy.telemetry.metrics import Metrics
from tests.proxy.raw import ask, chat, post, wire
from tests.proxy.scripted import STREAM, Peer, chunk, scripted
from tests.proxy.serving import chat_answer, chat_chunks, pixel, running, says

ALLOWS = policy_of(rule(fixed_detector({"forbidden": 0.9}), when=["input", "tool"]))
EYE = policy_of(rule(fixed_detector({"IDAT": 0.9}, name="eye", reads="image")))


async def test_requests_go_by_path_and_model() -> None:
    async with scripted(says(chat_answer("other"))) as other:

        def settings(url: str) -> Settings:
            targets = {"one": Target(url), "two": Target(other.url + "/base/v1", key="sk-2")}
            routes = (
                Route("two", "two", models=("big-*",)),
                Route("two", "two", paths=("/v1/files*",), models=("none",)),
                Route("one", "one"),
            )
            return Settings(targets, routes)

        async with running(ALLOWS, says(chat_answer("one")), settings) as proxy:
            got = await ask(proxy.url, post(chat()))
            assert b'"one"' in got.body
            more = "Authorization: Bearer client\r\nx-api-key: client\r\n"
            got = await ask(proxy.url, post({**chat(), "model": "big-1"}, more=more))
            assert b'"other"' in got.body
            head = other.requests[0][0]
            assert head.startswith(b"POST /base/v1/chat/completions HTTP/1.1")
            assert b"authorization: Bearer sk-2" in head
            assert b"client" not in head


async def test_a_request_that_no_route_fits_is_refused() -> None:
    def settings(url: str) -> Settings:
        return Settings({"one": Target(url)}, (Route("one", "one", models=("m-1",)),))

    async with running(ALLOWS, says(chat_answer("one")), settings) as proxy:
        assert (await ask(proxy.url, post(chat()))).status == 200
        got = await ask(proxy.url, post({**chat(), "model": "other"}))
        assert (got.status, got.code) == (404, "no_route")


class Shelf:
    """A fetcher with what stands on it."""

    def __init__(self, **shelf: bytes) -> None:
        self.shelf = shelf
        self.asked: list[str] = []

    async def fetch(self, url: str) -> Fetched:
        self.asked.append(url)
        name = url.rpartition("/")[2]
        if name not in self.shelf:
            raise FetchError("status", "the host answered 404")
        return Fetched(self.shelf[name], "image/png")


def shows(url: str) -> Any:
    return chat([{"type": "image_url", "image_url": {"url": url, "detail": "low"}}])


async def test_a_picture_at_an_address_is_fetched_once_and_its_bytes_are_what_the_model_gets() -> (
    None
):
    shelf = Shelf(cat=pixel())
    async with running(ALLOWS, says(chat_answer("a cat")), fetcher=shelf) as proxy:
        got = await ask(proxy.url, post(shows("https://pictures.example/cat")))
        assert got.status == 200
        sent = json.loads(proxy.upstream.requests[0][1])
        image = sent["messages"][0]["content"][0]["image_url"]
        assert image["detail"] == "low"
        assert image["url"].startswith("data:image/png;base64,")
        assert shelf.asked == ["https://pictures.example/cat"]
        got = await ask(proxy.url, post(shows("https://pictures.example/dog")))
        assert (got.status, got.code) == (400, "fetch_status")
    async with running(EYE, says(chat_answer("a cat")), fetcher=shelf) as proxy:
        got = await ask(proxy.url, post(shows("https://pictures.example/cat")))
        assert (got.status, got.code) == (400, "policy_violation")


async def test_a_client_that_leaves_while_something_is_fetched_leaves_a_record() -> None:
    asked = asyncio.Event()

    class Hangs:
        async def fetch(self, url: str) -> Fetched:
            asked.set()
            await asyncio.sleep(60)
            raise AssertionError("it was not cancelled")

    async with running(ALLOWS, says(chat_answer("a cat")), fetcher=Hangs()) as proxy:
        async with wire(proxy.url) as one:
            one.send(post(shows("https://pictures.example/cat")))
            await asyncio.wait_for(asked.wait(), 5)
        for _ in range(200):
            if len(proxy.records):
                break
            await asyncio.sleep(0.02)
        assert proxy.records.last.error == "client_left"
        assert not proxy.upstream.requests
        assert proxy.server.proxy.capacity.under_way == 0


async def test_an_uploaded_file_is_read_from_the_upstream_with_the_clients_key() -> None:
    async def play(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            body = pixel() if b"/files/" in head else json.dumps({"output": []}).encode()
            status = b"404 No" if b"file-gone" in head else b"200 OK"
            kind = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            await peer.say(b"HTTP/1.1 " + status + b"\r\n" + kind + body)

    def body(identity: str) -> Any:
        block = {"type": "input_image", "file_id": identity}
        return {"model": "m", "input": [{"role": "user", "content": [block]}]}

    more = "Authorization: Bearer client\r\n"
    async with running(ALLOWS, play) as proxy:
        request = post(body("file-1"), "/v1/responses", more)
        assert (await ask(proxy.url, request)).status == 200
        read, asked = proxy.upstream.requests
        assert read[0].startswith(b"GET /v1/files/file-1/content HTTP/1.1")
        assert b"Authorization: Bearer client" in read[0]
        assert request.endswith(asked[1])
        for identity in ("file-gone", "../../etc"):
            got = await ask(proxy.url, post(body(identity), "/v1/responses"))
            assert (got.status, got.code) == (400, "file_unreadable")
    async with running(EYE, play) as proxy:
        got = await ask(proxy.url, post(body("file-1"), "/v1/responses"))
        assert (got.status, got.code) == (400, "policy_violation")


@pytest.mark.parametrize(
    ("called", "prefix", "read"),
    [
        ("/openai/v1/responses", "", "/openai/v1/files/F/content"),
        ("/openai/v1/responses?api-version=p", "", "/openai/v1/files/F/content?api-version=p"),
        ("/openai/deployments/d/responses", "", "/openai/files/F/content"),
        ("/api/v1/responses", "/gateway", "/gateway/api/v1/files/F/content"),
        ("/v1/responses", "/gateway/v1", "/gateway/v1/files/F/content"),
        ("/responses", "/gateway/v1", "/gateway/v1/files/F/content"),
        ("/responses", "", "/v1/files/F/content"),
        ("/../v1/responses", "", "/v1/files/F/content"),
        ("/x//responses/", "", "/v1/files/F/content"),
    ],
)
async def test_files_are_looked_for_beside_the_path_of_the_call(
    called: str, prefix: str, read: str
) -> None:
    block = {"type": "input_image", "file_id": "F"}
    asked = {"model": "m", "input": [{"role": "user", "content": [block]}]}

    def settings(url: str) -> Settings:
        return Settings.of(url + prefix)

    async with running(ALLOWS, says(b"no picture"), settings) as proxy:
        await ask(proxy.url, post(asked, called))
        assert proxy.upstream.requests[0][0].startswith(f"GET {read} HTTP/1.1".encode())


SLOW = fixed_detector({"forbidden": 0.9}, seconds=0.3)


async def test_with_overlap_the_model_is_asked_at_once_and_nothing_leaves_before_the_verdict() -> (
    None
):
    policy = policy_of(rule(SLOW, when=["input"]), overlap=True)
    async with running(policy, says(chat_chunks("a", "b"))) as proxy, wire(proxy.url) as one:
        one.send(post(chat(stream=True)))
        await asyncio.sleep(0.15)
        assert len(proxy.upstream.requests) == 1
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(one.reader.read(1), 0.01)
        assert (await one.get()).body.endswith(b"[DONE]\n\n")


async def test_with_overlap_a_block_cancels_the_upstream_call() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.left()

    policy = policy_of(rule(SLOW, when=["input"]), overlap=True)
    async with running(policy, play) as proxy:
        got = await ask(proxy.url, post(chat("forbidden")))
        assert (got.status, got.code) == (400, "policy_violation")
        await asyncio.wait_for(proxy.upstream.left.wait(), 5)


async def test_a_reload_holds_from_the_next_call_on() -> None:
    async with running(ALLOWS, says(chat_answer("quiet"))) as proxy, wire(proxy.url) as one:
        one.send(post(chat("odd")))
        assert (await one.get()).status == 200
        odd = policy_of(rule(fixed_detector({"odd": 0.9})))
        proxy.server.proxy.reload(Guard(odd))
        one.send(post(chat("odd")))
        assert (await one.get()).status == 400


async def test_a_policy_that_is_slow_to_load_does_not_undo_a_later_one() -> None:
    later = threading.Event()

    class Slow(Options):
        def guard(self, *sinks: Sink, **_: Any) -> Guard:
            version = str(next(read))
            if version == "1":
                later.wait(0.5)
                time.sleep(0.05)
            else:
                later.set()
            return Guard(policy_of(version=version), sinks=sinks)

    read, in_turn = itertools.count(1), asyncio.Lock()
    async with running(ALLOWS, says(chat_answer("quiet"))) as proxy:
        options, server, metrics = Slow("any", warm=False), proxy.server, Metrics()
        both = (reload_policy(options, server, metrics, in_turn) for _ in range(2))
        await asyncio.gather(*both)
        assert server.proxy.rules.guard.policy.version == "2"


async def test_stopping_finishes_streams() -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(STREAM)
        for event in chat_chunks("a", "b"):
            await peer.say(chunk(event))
            await go.wait()
        await peer.say(b"0\r\n\r\n")

    async with running(ALLOWS, play) as proxy:
        async with wire(proxy.url) as one, wire(proxy.url) as idle:
            one.send(post(chat(stream=True)))
            await asyncio.sleep(0.2)
            stopping = asyncio.create_task(proxy.server.stop(10))
            assert await idle.closed()
            go.set()
            got = await one.get()
            assert got.body == b"".join(chat_chunks("a", "b"))
            assert await one.closed()
            await stopping
        with pytest.raises(OSError):
            await ask(proxy.url, post(chat()))


@pytest.mark.parametrize("behind", ["", "/v1", "/inside"])
async def test_a_redirect_to_the_upstream_itself_leads_to_the_proxy(behind: str) -> None:
    async def play(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            host = head.lower().split(b"host: ")[1].split(b"\r\n")[0]
            path = head.split(b" ")[1]
            if b"away" in path:
                host = b"elsewhere.example"
            where = b"location: http://%b%b\r\n" % (host, path.rstrip(b"/"))
            await peer.say(b"HTTP/1.1 307 T\r\n" + where + b"content-length: 0\r\n\r\n")

    async with running(ALLOWS, play, lambda url: Settings.of(url + behind)) as proxy:
        for path in ("/v1/chat/completions", "/v1/models"):
            got = await ask(proxy.url, post(chat(), path + "/"))
            assert got.status == 307
            assert got.header("location") == path
        got = await ask(proxy.url, post(chat(), "/v1/models/away"))
        assert str(got.header("location")).startswith("http://elsewhere.example/")


CONFIG = """
upstreams:
  vllm: {url: http://localhost:8000, timeouts: {head: 60, idle: 20.5, total: 300}}
  openai: {url: https://api.openai.com, key_env: PROXY_TEST_KEY}
routes:
  - {upstream: openai, models: [gpt-*]}
  - {upstream: vllm}
limits: {body_mb: 16, calls: 200}
clients: {head: 5}
headers: {tenant: x-team}
"""


def test_a_configuration_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_TEST_KEY", "sk-1")
    path = tmp_path / "proxy.yaml"
    path.write_text(CONFIG)
    settings = read_settings(path)
    assert settings.targets["openai"].credential == b"Bearer sk-1"
    assert "sk-1" not in repr(settings)
    assert settings.targets["vllm"].timeouts == Timeouts(head=60, idle=20.5, total=300)
    assert settings.targets["openai"].timeouts == Timeouts()
    assert [route.upstream for route in settings.routes] == ["openai", "vllm"]
    assert settings.max_body == 16 << 20
    assert settings.clock.head == 5
    assert settings.tenant_header == "x-team"


ONE = "upstreams: {a: {url: http://x}}"
NO_ADDRESS = "an http or https address is expected, such as http://localhost:8000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: (top): the file is empty"),
        ("rules: []", "1: (top): the key 'upstreams' is missing"),
        (ONE + "\nruotes: []", "2: ruotes: unknown key 'ruotes'\n    did you mean 'routes'?"),
        ("upstreams: {}", "1: upstreams: must not be empty, not a mapping"),
        ("upstreams:\n  a:\n    url: ftp://x", f"3: upstreams.a.url: {NO_ADDRESS}"),
        ("upstreams: {a: {url: http://}}", f"1: upstreams.a.url: {NO_ADDRESS}"),
        ("upstreams: {a: {url: http://x:port}}", f"1: upstreams.a.url: {NO_ADDRESS}"),
        ("upstreams: {a: {url: http://me:secret@x}}", "without a user or password is expected"),
        ("upstreams: {a: {url: 'http://x?v=1'}}", "without a query is expected"),
        (
            "upstreams:\n  a: {url: http://x}\n  a: {url: http://y}",
            "3: upstreams.a: this key stands here twice (first on line 2)",
        ),
        (
            "upstreams:\n  a:\n    ulr: http://x",
            "3: upstreams.a.ulr: unknown key 'ulr'\n    did you mean 'url'?",
        ),
        (
            "upstreams:\n  a:\n    url: http://x\n    timeouts: {haed: 1}",
            "4: upstreams.a.timeouts.haed: unknown key 'haed'\n    did you mean 'head'?",
        ),
        (
            "upstreams: {a: {url: http://x, timeouts: {head: 0}}}",
            "1: upstreams.a.timeouts.head: must be more than 0.0, not 0",
        ),
        ("upstreams: {a: {url: http://x, key_env: NOT_SET}}", "a.key_env: NOT_SET is not set"),
        (
            "upstreams: {a: {url: http://x, key_header: x y}}",
            "a.key_header: the name of a header is expected",
        ),
        ("upstreams: {a: {url: https://x, ca: no.pem}}", "1: upstreams.a.ca: there is no file"),
        (
            "upstreams: {a: {url: http://x, ca: proxy.yaml}}",
            "1: upstreams.a.ca: only https addresses are spoken to over TLS",
        ),
        (
            "upstreams: {a: {url: https://x, certificate_key: proxy.yaml}}",
            "1: upstreams.a.certificate_key: it needs the certificate beside it",
        ),
        (
            ONE + "\nroutes:\n  - {upstream: b}",
            "3: routes[0].upstream: there is no upstream 'b'\n    there are: a",
        ),
        (
            ONE + "\nlimits:\n  buffered_mb: 32",
            "3: limits.buffered_mb: there is never room for a body of 64 MiB (body_mb)",
        ),
        (
            ONE + "\nfetch:\n  inside: [10.0.0.0/8, 10.0.0.1/8]",
            "3: fetch.inside[1]: a network is expected, such as 10.20.0.0/16: 10.0.0.1/8 has",
        ),
        ("upstreams: [", "1: (top): this is not YAML: "),
        ("upstreams: \udcff", "1: (top): not text in UTF-8"),
    ],
)
def test_mistakes_in_a_configuration_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=str(path)) as caught:
        read_settings(path)
    assert said in str(caught.value).replace(f"{path}:", "")
    assert "secret" not in str(caught.value)


def test_all_mistakes_in_a_configuration_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_text("limits: {calls: 0}\nupstreams:\n  a: {ulr: x}\n")
    with pytest.raises(ValueError, match=str(path)) as caught:
        read_settings(path)
    lines = [line.split(":")[1] for line in str(caught.value).splitlines() if line[0] == "/"]
    assert lines == ["1", "3", "3"]
