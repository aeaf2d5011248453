"""TLS on both sides: clients to the proxy, the proxy to its upstream, and wrong certificates."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from guardrail import Guard
from guardrail.testing import CapturedRecords, fixed_detector, policy_of, rule
from guardrail_integrations.proxy.http.tls import client_tls
from guardrail_integrations.proxy.server.configuration import read_settings
from guardrail_integrations.proxy.server.options import Options
from guardrail_integrations.proxy.server.serve import bound, serving
from tests.proxy.scripted import scripted
from tests.proxy.serving import chat_answer, chat_chunks, says

POLICY = policy_of(rule(fixed_detector({"forbidden": 0.9})))


@dataclass
class Paper:
    """An authority, and files with a certificate of it for localhost and one for a client."""

    authority: trustme.CA
    ca: Path
    certificate: Path
    key: Path

    def server(self, *, asks: bool = False) -> ssl.SSLContext:
        """TLS of an upstream, which may ask its clients for a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if asks:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext:
        """TLS of a client that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context


def paper(folder: Path, name: str, host: str = "localhost") -> Paper:
    authority = trustme.CA()
    issued = authority.issue_cert(host)
    made = Paper(authority, *(folder / f"{name}-{kind}.pem" for kind in ("ca", "cert", "key")))
    authority.cert_pem.write_to_path(str(made.ca))
    issued.private_key_pem.write_to_path(str(made.key))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(made.certificate), append=True)
    return made


@asynccontextmanager
async def secured(
    folder: Path, front: Paper, back: ssl.SSLContext, play: Any = None, **tls: Path
) -> AsyncIterator[tuple[str, CapturedRecords]]:
    """A proxy with TLS before and behind it, configured as `guardrail serve` is."""
    records = CapturedRecords()
    async with scripted(play or says(chat_answer("quiet")), back) as upstream:
        file = folder / "proxy.yaml"
        lines = [f"    {name}: {path.name}" for name, path in tls.items()]
        url = f"https://localhost:{upstream.port}"
        file.write_text("\n".join(["upstreams:", "  up:", f"    url: {url}", *lines]))
        options = Options("monitor", config=file, certificate=front.certificate, key=front.key)
        server = serving(Guard(POLICY, sinks=[records]), read_settings(file))
        await server.start(bound("127.0.0.1", 0), options.tls())
        try:
            yield f"https://localhost:{server.port}", records
        finally:
            await server.stop(2)


def asked(url: str, context: ssl.SSLContext) -> openai.AsyncOpenAI:
    client = httpx.AsyncClient(verify=context)
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, http_client=client)


def says_something(text: str = "hello") -> Any:
    return {"model": "m-1", "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("asks", [False, True])
async def test_calls_and_streams_go_through(tmp_path: Path, asks: bool) -> None:
    front, back = paper(tmp_path, "front"), paper(tmp_path, "back")
    shown = {"certificate": back.certificate, "certificate_key": back.key} if asks else {}
    tls = back.server(asks=asks)
    async with (
        secured(tmp_path, front, tls, ca=back.ca, **shown) as (url, _),
        asked(url, front.client()) as client,
    ):
        answer = await client.chat.completions.create(**says_something())
        assert answer.choices[0].message.content == "quiet"
        big = await client.chat.completions.create(**says_something("x" * 500_000))
        assert big.choices[0].message.content == "quiet"
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**says_something("forbidden"))
    streams = says(chat_chunks("a ", "quiet ", "answer"))
    async with (
        secured(tmp_path, front, tls, streams, ca=back.ca, **shown) as (url, _),
        asked(url, front.client()) as client,
    ):
        stream = await client.chat.completions.create(**says_something(), stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(said) == "a quiet answer"


@pytest.mark.parametrize("wrong", ["authority", "host", "none shown"])
async def test_an_upstream_that_cannot_be_trusted_gets_nothing(tmp_path: Path, wrong: str) -> None:
    front, back = paper(tmp_path, "front"), paper(tmp_path, "back")
    trusted = {"ca": back.ca}
    if wrong == "authority":
        trusted = {"ca": paper(tmp_path, "other").ca}
    elif wrong == "host":
        back = paper(tmp_path, "elsewhere", "example.com")
        trusted = {"ca": back.ca}
    tls = back.server(asks=wrong == "none shown")
    async with (
        secured(tmp_path, front, tls, **trusted) as (url, records),
        asked(url, front.client()) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**says_something())
        assert caught.value.code in ("upstream_unreachable", "upstream_closed")
        assert caught.value.status_code == 502
        assert records.last.error == "UpstreamError"


async def test_a_client_that_does_not_trust_the_proxy_says_nothing(tmp_path: Path) -> None:
    front, back = paper(tmp_path, "front"), paper(tmp_path, "back")
    async with secured(tmp_path, front, back.server(), ca=back.ca) as (url, records):
        async with asked(url, back.client()) as client:
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(**says_something())
        assert not len(records)
        old = front.client()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        async with asked(url, old) as client:
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(**says_something())
        async with asked(url, front.client()) as client:  # the next one is served
            assert (await client.chat.completions.create(**says_something())).choices


def test_what_cannot_be_read_is_named_and_no_passphrase_is_waited_for(tmp_path: Path) -> None:
    front = paper(tmp_path, "front")
    key = load_pem_private_key(front.key.read_bytes(), None)
    sealed = tmp_path / "sealed.pem"
    cipher = BestAvailableEncryption(b"a passphrase")
    sealed.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher))
    with pytest.raises(ValueError, match=r"sealed\.pem: a key without a passphrase is expected"):
        Options("monitor", certificate=front.certificate, key=sealed).tls()
    with pytest.raises(ValueError, match=r"front-cert\.pem, .*gone\.pem: No such file"):
        Options("monitor", certificate=front.certificate, key=tmp_path / "gone.pem").tls()
    with pytest.raises(ValueError, match=r"gone\.pem: No such file"):
        client_tls(tmp_path / "gone.pem")
