"""Fetching by address: what is fetched, and every way of being sent somewhere private."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_integrations.proxy.interfaces import FetchError
from guardrail_integrations.proxy.server.configuration import read_settings
from guardrail_integrations.proxy.upstream.addresses import is_public
from guardrail_integrations.proxy.upstream.fetch import FetchRules, SafeFetcher, read_url, sniff
from tests.proxy.scripted import Peer, certified, scripted

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100
LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
HERE = FetchRules(inside=LOOPBACK, ports=None, seconds=3)


def answer(body: bytes, *more: bytes, status: bytes = b"200 OK") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, *more, b"", body])


def serves(raw: bytes):
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(raw)

    return play


def resolving(*answers: Sequence[str]):
    """A DNS that gives these answers in turn, and the last one for ever."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve


async def refused(fetcher: SafeFetcher, url: str, code: str) -> FetchError:
    with pytest.raises(FetchError) as raised:
        await fetcher.fetch(url)
    assert raised.value.code == code, raised.value
    assert "secret" not in str(raised.value)
    return raised.value


async def test_the_bytes_and_their_own_type_are_what_comes_back() -> None:
    raw = answer(PNG, b"Content-Type: application/octet-stream")
    async with scripted(serves(raw)) as seen:
        fetcher = SafeFetcher(HERE, resolve=resolving(["127.0.0.1"]))
        found = await fetcher.fetch(f"http://pictures.test:{seen.port}/a%20b?sig=secret&ü#part")
        assert (found.data, found.media_type) == (PNG, "image/png")
        head = seen.requests[0][0]
        assert head.startswith(b"GET /a%20b?sig=secret&%C3%BC HTTP/1.1\r\n")
        assert b"Host: pictures.test:%d\r\n" % seen.port in head
        assert b"cookie" not in head.lower()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://169.254.169.254/latest/meta-data/secret",
        "http://168.63.129.16/",
        "http://100.100.100.200/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://172.31.255.255/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "https://user:secret@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1:22/secret",
        "http://example.com:22/",
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "gopher://example.com/",
        "http:///a.png",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http://[::1%25eth0]/",
        "http://[::1/",
        "//example.com/a.png",
        "http://example.com:99999/",
        "http://" + "a" * 9000,
    ],
)
async def test_nothing_private_is_reached(url: str) -> None:
    await refused(SafeFetcher(), url, "forbidden")


OUTSIDE = ["93.184.216.34"]
INSIDE = ["127.0.0.1"]


@pytest.mark.parametrize(
    "addresses", [INSIDE, OUTSIDE + INSIDE, ["::ffff:10.0.0.1"], ["fe80::1%eth0"], ["nonsense"]]
)
async def test_every_address_of_a_host_counts(addresses: list[str]) -> None:
    fetcher = SafeFetcher(resolve=resolving(addresses))
    await refused(fetcher, "http://innocent.test/a.png", "forbidden")


async def test_what_is_connected_to_is_what_was_checked() -> None:
    """The second answer of the DNS would lead elsewhere; it is never asked for."""
    async with scripted(serves(answer(PNG))) as good, scripted(serves(answer(b"GIF89a"))) as bad:
        assert good.port != bad.port
        fetcher = SafeFetcher(HERE, resolve=resolving(INSIDE, ["169.254.169.254"]))
        assert (await fetcher.fetch(f"http://a.test:{good.port}/")).data == PNG


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "//10.0.0.1/x",
        "file:///etc/passwd",
        "http://user:secret@a.test/",
        "http://127.0.0.2/",
    ],
)
async def test_redirects_go_through_the_same_door(location: str) -> None:
    raw = answer(b"", b"Location: " + location.encode(), status=b"302 Found")
    async with scripted(serves(raw)) as seen:
        await refused(SafeFetcher(HERE), f"http://127.0.0.1:{seen.port}/", "forbidden")


async def test_a_host_whose_address_changes_on_a_redirect() -> None:
    raw = answer(b"", b"Location: /again", status=b"307 Go")
    async with scripted(serves(raw)) as seen:
        fetcher = SafeFetcher(HERE, resolve=resolving(INSIDE, ["10.0.0.1"]))
        await refused(fetcher, f"http://a.test:{seen.port}/", "forbidden")


async def test_redirects_are_followed_and_counted() -> None:
    async def play(peer: Peer) -> None:
        head, _ = await peer.request()
        step = int(head.split()[1].lstrip(b"/"))
        if step == 0:
            await peer.say(answer(PNG))
        else:
            await peer.say(answer(b"", b"Location: %d" % (step - 1), status=b"301 Moved"))

    async with scripted(play) as seen:
        url = f"http://127.0.0.1:{seen.port}"
        assert (await SafeFetcher(HERE).fetch(url + "/3")).data == PNG
        await refused(SafeFetcher(HERE), url + "/4", "redirects")


async def test_no_way_back_from_https_to_http() -> None:
    server, client = certified("a.test")
    raw = answer(b"", b"Location: http://a.test/x", status=b"302 Found")
    async with scripted(serves(raw), server) as seen, scripted(serves(answer(PNG)), server) as good:
        fetcher = SafeFetcher(HERE, tls=client, resolve=resolving(INSIDE))
        assert (await fetcher.fetch(f"https://a.test:{good.port}/")).data == PNG
        await refused(fetcher, f"https://a.test:{seen.port}/", "forbidden")
        await refused(fetcher, f"https://b.test:{good.port}/", "unreachable")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (answer(b"<html>", b"Content-Type: image/png"), "wrong_type"),
        (answer(b"PK\x03\x04"), "wrong_type"),
        (answer(b""), "wrong_type"),
        (answer(PNG, b"Content-Encoding: gzip"), "wrong_type"),
        (answer(PNG, status=b"404 Not Found"), "status"),
        (answer(PNG, status=b"206 Partial Content"), "status"),
        (answer(PNG, status=b"302 Found"), "status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + PNG, "too_large"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + PNG * 20, "too_large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + PNG, "unreachable"),
        (b"what?\r\n\r\n", "unreachable"),
        (b"", "unreachable"),
    ],
)
async def test_what_is_not_a_whole_picture_is_refused(raw: bytes, code: str) -> None:
    async with scripted(serves(raw)) as seen:
        fetcher = SafeFetcher(replace(HERE, max_bytes=100_000))
        await refused(fetcher, f"http://127.0.0.1:{seen.port}/", code)


async def test_time_is_limited_whoever_is_slow() -> None:
    async def drips(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n")
        while True:
            await peer.say(b"x")
            await asyncio.sleep(0.02)

    async def slow_dns(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    rules = replace(HERE, seconds=0.2)
    async with scripted(drips) as seen:
        await refused(SafeFetcher(rules), f"http://127.0.0.1:{seen.port}/", "timeout")
    await refused(SafeFetcher(rules, resolve=slow_dns), "http://a.test/", "timeout")


async def test_only_listed_hosts_when_there_is_a_list() -> None:
    rules = replace(HERE, hosts=("a.test", "*.cdn.test"))
    for url in ("http://a.test/", "http://A.test./", "http://x.cdn.test/", "http://y.x.cdn.test/"):
        read_url(url, rules)
    for url in ("http://b.test/", "http://cdn.test/", "http://evilcdn.test/", "http://a.test.b/"):
        await refused(SafeFetcher(rules), url, "forbidden")


async def test_https_only() -> None:
    await refused(SafeFetcher(FetchRules(https_only=True)), "http://example.com/", "forbidden")


PRIVATE = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24"
        " 192.168.0.0/16 198.18.0.0/15 224.0.0.0/4 240.0.0.0/4 ::/8 fc00::/7 fe80::/10 ff00::/8"
        " 2002::/16 64:ff9b::/96 2001::/32 100::/64"
    ).split()
]


@given(st.sampled_from(PRIVATE), st.data())
def test_no_address_of_a_private_network_is_public(network, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, network.num_addresses - 1))
    address = network[offset]
    assert not is_public(str(address))
    if address.version == 4:
        assert not is_public(f"::ffff:{address}")
        assert not is_public(str(ipaddress.IPv6Address((0x64FF9B << 96) + int(address))))
        assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) + (int(address) << 80))))


def test_public_addresses_are_public() -> None:
    for address in ("1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"):
        assert is_public(address)


@given(st.text())
def test_any_text_is_read_or_refused(url: str) -> None:
    for text in (url, "http://" + url, "https://example.com/" + url):
        try:
            place = read_url(text, FetchRules())
        except FetchError:
            continue
        assert place.target.isascii()
        assert b" " not in place.target
        assert b"\n" not in place.target
        assert place.port in (80, 443)


@given(st.binary(max_size=40))
def test_any_bytes_have_a_type_or_none(data: bytes) -> None:
    assert sniff(data) is None or "/" in sniff(data)


def test_the_rules_come_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    begin = "upstreams: {a: {url: 'http://localhost:1'}}\nfetch: "
    file.write_text(begin + "{hosts: [a.test], inside: [10.0.0.0/8], https_only: true, max_mb: 1}")
    rules = read_settings(file).fetch
    assert rules == FetchRules(
        hosts=("a.test",),
        inside=(ipaddress.ip_network("10.0.0.0/8"),),
        https_only=True,
        max_bytes=2**20,
    )
    file.write_text(begin + "{inside: [everything]}")
    with pytest.raises(ValueError, match=r"fetch\.inside"):
        read_settings(file)
