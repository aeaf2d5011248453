"""The proxy's own paths: health, verdicts without a model, OpenAI's Moderations."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from jsonschema import Draft202012Validator

from guardrail import Action
from guardrail.canaries import CANARIES
from guardrail.errors import NotRun
from guardrail.policy import Unscreenable
from guardrail.testing import fixed_detector, policy_of, rule
from guardrail_integrations.proxy.server.openapi import document
from guardrail_integrations.proxy.server.options import Options
from guardrail_integrations.proxy.server.worker import reload_policy
from guardrail_integrations.proxy.telemetry.metrics import Metrics
from tests.proxy.raw import Got, ask, post
from tests.proxy.serving import chat_answer, data_url, running, says, tight

POLICY = policy_of(
    rule(fixed_detector({"forbidden": 0.9}, name="words"), message="Not here."),
    rule(fixed_detector({"secret": 0.9}, name="keys"), Action.REDACT),
    rule(fixed_detector({"IDAT": 0.9}, name="eye", reads="image"), Action.FLAG),
)
CHECK = "/v1/guard/check"
KEYS = {
    "apiVersion": "guardrail/v1",
    "policy": {"id": "p"},
    "rules": [{"id": "keys", "when": "input", "check": "secrets", "action": "block"}],
}
QUIET = says(chat_answer("quiet"))


def conforms(got: Got, path: str) -> None:
    """The answer is as the OpenAPI document says."""
    whole = document()
    answer = whole["paths"][path]["post"]["responses"][str(got.status)]
    schema = answer["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": whole["components"]}).validate(got.json)


async def get(url: str, path: str, method: str = "GET") -> Got:
    return await ask(url, f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


async def test_a_verdict_on_an_input() -> None:
    body = {"prompt": "my secret", "images": [data_url()], "tool": "fine"}
    async with running(POLICY, QUIET) as proxy:
        got = await ask(proxy.url, post(body, "/v1/guard/screen"))
        conforms(got, "/v1/guard/screen")
        assert got.json["action"] == "redact"
        assert got.json["changed"] == {"prompt": "my [secret]"}
        assert {f["label"] for f in got.json["findings"]} == {"secret", "IDAT"}
        assert got.json["id"] == proxy.records.last.id
        got = await ask(
            proxy.url, post({"messages": [{"content": "forbidden"}]}, "/v1/guard/screen")
        )
        assert (got.json["action"], got.json["message"]) == ("block", "Not here.")
        assert not proxy.upstream.requests


async def test_a_verdict_says_what_no_check_could_look_at() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    body = {"messages": [{"role": "user", "content": [sound]}]}
    flags = policy_of(*POLICY.rules, unscreenable=Unscreenable(audio="flag"))
    async with running(flags, QUIET) as proxy:
        got = await ask(proxy.url, post(body, "/v1/guard/screen"))
        conforms(got, "/v1/guard/screen")
        assert got.json["action"] == "flag"
        assert got.json["rules"][-1]["id"] == "unscreenable.audio"
        assert got.json["rules"][-1]["status"] == "not_run"
        assert proxy.records.last.action is Action.FLAG
    async with running(POLICY, QUIET) as proxy:
        got = await ask(proxy.url, post(body, "/v1/guard/screen"))
        assert (got.status, got.code) == (400, "unscreenable")
        got = await ask(proxy.url, post({"output": {"image_url": "http://a.b/c"}}, CHECK))
        assert (got.status, got.code) == (400, "unscreenable")


async def test_a_verdict_on_an_answer() -> None:
    async with running(POLICY, QUIET) as proxy:
        body = {"output": {"deep": ["a secret"]}, "prompt": "forbidden"}
        got = await ask(proxy.url, post(body, "/v1/guard/check"))
        conforms(got, "/v1/guard/check")
        assert got.json["action"] == "redact"  # the prompt stands beside it and is not screened
        assert got.json["changed"] == {"output/deep/0": "a [secret]"}


@pytest.mark.parametrize("path", ["/v1/guard/screen", "/v1/guard/check", "/v1/moderations"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"unknown": 1}', b'{"prompt": 1, "output": "a"}'])
async def test_bodies_that_cannot_be_used(path: str, body: bytes) -> None:
    async with running(POLICY, QUIET) as proxy:
        got = await ask(proxy.url, post(body, path))
        assert got.status == 400
        conforms(got, path)


OURS = [
    ("/v1/guard/screen", {"prompt": "a", "images": [data_url()]}),
    (CHECK, {"output": "a", "images": [data_url()]}),
    ("/v1/moderations", {"input": [{"type": "image_url", "image_url": {"url": data_url()}}]}),
]


@pytest.mark.parametrize(("path", "body"), OURS)
@pytest.mark.parametrize("limits", [{"concurrent": 0}, {"buffered": 1}, {"picture_calls": 0}])
async def test_they_keep_to_the_limits_of_other_calls(path: str, body: Any, limits: Any) -> None:
    async with running(POLICY, QUIET, tight(**limits)) as proxy:
        got = await ask(proxy.url, post(body, path))
        assert (got.status, got.code, got.header("retry-after")) == (503, "overloaded", "1")
        conforms(got, path)
        assert (await get(proxy.url, "/healthz")).status == 200
        assert not proxy.server.proxy.capacity.buffered


@pytest.mark.parametrize(("path", "body"), OURS)
async def test_compressed_bodies_are_read(path: str, body: Any) -> None:
    data = json.dumps(body).encode()
    async with running(POLICY, QUIET) as proxy:
        plain = await ask(proxy.url, post(data, path))
        more = "Content-Encoding: gzip\r\n"
        got = await ask(proxy.url, post(gzip.compress(data), path, more))
        assert (got.status, plain.status) == (200, 200)
        assert {**got.json, "id": ""} == {**plain.json, "id": ""}
        for encoding, sent in (("br", data), ("gzip", data)):
            got = await ask(proxy.url, post(sent, path, f"Content-Encoding: {encoding}\r\n"))
            assert (got.status, got.code) == (415, "unsupported_encoding")
            conforms(got, path)


async def test_other_methods_are_refused() -> None:
    async with running(POLICY, QUIET) as proxy:
        got = await get(proxy.url, "/v1/guard/screen")
        assert (got.status, got.header("allow")) == (405, "POST")
        assert (await ask(proxy.url, post({}, "/healthz"))).status == 405


async def test_moderations_in_the_form_of_openai() -> None:
    async with running(POLICY, QUIET) as proxy:
        client = openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="k")
        made = await client.moderations.create(input=["quiet", "forbidden"])
        assert [result.flagged for result in made.results] == [False, True]
        assert made.results[1].category_scores.model_dump()["forbidden"] == 0.9
        assert made.results[1].categories.hate is None  # no check covers it
        picture: Any = [
            {"type": "text", "text": "quiet"},
            {"type": "image_url", "image_url": {"url": data_url()}},
        ]
        made = await client.moderations.create(input=picture)
        assert [result.flagged for result in made.results] == [True]
        assert made.results[0].category_applied_input_types.model_dump()["IDAT"] == ["image"]
        got = await ask(proxy.url, post({"input": "forbidden"}, "/v1/moderations"))
        conforms(got, "/v1/moderations")


async def test_moderation_by_a_check_that_could_not_run_is_no_result() -> None:
    broken = policy_of(rule(fixed_detector({"x": 1.0}, error=NotRun("weights are missing"))))
    async with running(broken, QUIET) as proxy:
        got = await ask(proxy.url, post({"input": "quiet"}, "/v1/moderations"))
        assert (got.status, got.code) == (503, "guardrail_unavailable")


async def ready(url: str) -> Got:
    for _ in range(1_200):
        got = await get(url, "/readyz")
        if "checks are being tried" not in got.json["reasons"]:
            return got
        await asyncio.sleep(0.05)
    raise AssertionError("never ready")


async def test_it_is_ready_when_checks_find_their_test_inputs() -> None:
    async with running(KEYS, QUIET) as proxy:
        assert (await get(proxy.url, "/healthz")).json == {"status": "ok"}
        got = await ready(proxy.url)
        assert (got.status, got.json["status"]) == (200, "ready")


async def test_it_is_not_ready_when_a_check_of_any_category_finds_nothing() -> None:
    reads: dict[str, Literal["image"]] = {"nsfw": "image"}
    deaf = [
        rule(fixed_detector({"unheard of": 1.0}, name=name, reads=reads.get(name, "text")))
        for name in sorted({canary.detector for canary in CANARIES})
    ]
    async with running(policy_of(*deaf), QUIET) as proxy:
        got = await ready(proxy.url)
        assert got.status == 503
        missed = [
            f"{canary.detector} does not find its test input: {canary.name}"
            for canary in CANARIES
            if not canary.through  # nothing is read out of pictures here
        ]
        assert got.json["reasons"] == missed


async def test_it_stays_ready_while_another_policy_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(KEYS))
    options = Options(str(file))
    async with running(KEYS, QUIET) as proxy:
        await ready(proxy.url)
        before = proxy.server.proxy.rules
        taking = asyncio.create_task(
            reload_policy(options, proxy.server, Metrics(), asyncio.Lock())
        )
        while not taking.done():
            assert (await get(proxy.url, "/readyz")).status == 200
        assert proxy.server.proxy.rules is not before
        assert (await get(proxy.url, "/readyz")).status == 200


@pytest.mark.parametrize("policy", ["default", "strict"])
async def test_shipped_policies_are_ready(policy: str) -> None:
    async with running(policy, QUIET) as proxy:
        got = await ready(proxy.url)
        assert (got.status, got.json["reasons"]) == (200, [])


async def test_the_document_is_served() -> None:
    async with running(POLICY, QUIET) as proxy:
        got = await get(proxy.url, "/openapi.json")
        assert got.json == json.loads(json.dumps(document()))
