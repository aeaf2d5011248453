"""The file of `guardrail serve --config`: upstreams, routes and limits."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from guardrail_integrations.proxy.http.timeouts import Clock, Timeouts
from guardrail_integrations.proxy.settings import Route, Settings, Target
from guardrail_integrations.proxy.upstream.fetch import FetchRules

MIB = 1 << 20
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TimeoutsEntry(_Entry):
    """How long an upstream may take, in seconds; see timeouts.Timeouts."""

    connect: Seconds | None = Timeouts.connect
    pool: Seconds | None = Timeouts.pool
    send: Seconds | None = Timeouts.send
    head: Seconds | None = Timeouts.head
    idle: Seconds | None = Timeouts.idle
    total: Seconds | None = Timeouts.total


class UpstreamEntry(_Entry):
    """One upstream. `key_env` names the environment variable that holds its key; `ca`,
    `certificate` and `certificate_key` are files of TLS."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    key_env: str | None = None
    key_header: str = "authorization"
    ca: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    timeouts: TimeoutsEntry = TimeoutsEntry()


class RouteEntry(_Entry):
    """Which requests go to an upstream; shell patterns."""

    upstream: str
    paths: list[str] = ["*"]
    models: list[str] = ["*"]


class LimitsEntry(_Entry):
    """Sizes in MiB, and how much may be under way at once."""

    body_mb: Annotated[int, Field(ge=1)] = Settings.max_body // MIB
    answer_mb: Annotated[int, Field(ge=1)] = Settings.max_answer // MIB
    buffered_mb: Annotated[int, Field(ge=1)] = Settings.buffered // MIB
    connections: Annotated[int, Field(ge=1)] = Settings.connections
    calls: Annotated[int, Field(ge=1)] = Settings.concurrent
    picture_calls: Annotated[int, Field(ge=1)] = Settings.picture_calls


class ClientsEntry(_Entry):
    """How long clients may take, in seconds; see timeouts.Clock."""

    head: Seconds = Clock.head
    idle: Seconds = Clock.idle
    pause: Seconds = Clock.pause
    rate: Annotated[float, Field(gt=0)] = Clock.rate
    write: Seconds = Clock.write


class HeadersEntry(_Entry):
    """The headers that say whose call it is."""

    tenant: str = Settings.tenant_header
    user: str = Settings.user_header
    session: str = Settings.session_header


class FetchEntry(_Entry):
    """What may be fetched by address; see fetch.FetchRules. `inside` holds networks (CIDR)."""

    hosts: list[str] = []
    inside: list[str] = []
    ports: list[Annotated[int, Field(ge=1, le=65_535)]] = [80, 443]
    https_only: bool = False
    max_mb: Annotated[float, Field(gt=0, le=1_024)] = FetchRules.max_bytes / MIB
    seconds: Seconds = FetchRules.seconds
    redirects: Annotated[int, Field(ge=0, le=10)] = FetchRules.redirects

    @field_validator("inside")
    @classmethod
    def _networks(cls, given: list[str]) -> list[str]:
        for network in given:
            ip_network(network)
        return given

    def rules(self) -> FetchRules:
        """The rules it stands for."""
        return FetchRules(
            hosts=tuple(self.hosts),
            inside=tuple(ip_network(network) for network in self.inside),
            ports=frozenset(self.ports),
            https_only=self.https_only,
            max_bytes=int(self.max_mb * MIB),
            seconds=self.seconds,
            redirects=self.redirects,
        )


class ProxyFile(_Entry):
    """The whole file. The first route that fits is taken; without routes, the first upstream."""

    upstreams: Annotated[dict[str, UpstreamEntry], Field(min_length=1)]
    routes: list[RouteEntry] = []
    limits: LimitsEntry = LimitsEntry()
    clients: ClientsEntry = ClientsEntry()
    headers: HeadersEntry = HeadersEntry()
    fetch: FetchEntry = FetchEntry()
    drain_seconds: Seconds = Settings.drain_s


def read_settings(path: Path) -> Settings:
    """Read the file. Raises ValueError with every mistake, each with its place."""
    try:
        data: Any = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{line}: not valid YAML") from None
    try:
        entry = ProxyFile.model_validate(data)
    except ValidationError as error:
        mistakes = (
            f"{path}: {'.'.join(map(str, problem['loc'])) or '(top)'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise ValueError("\n".join(mistakes)) from None
    return Settings(
        targets={name: _target(path, name, given) for name, given in entry.upstreams.items()},
        routes=_routes(path, entry),
        max_body=entry.limits.body_mb * MIB,
        max_answer=entry.limits.answer_mb * MIB,
        buffered=entry.limits.buffered_mb * MIB,
        connections=entry.limits.connections,
        concurrent=entry.limits.calls,
        picture_calls=entry.limits.picture_calls,
        tenant_header=entry.headers.tenant,
        user_header=entry.headers.user,
        session_header=entry.headers.session,
        fetch=entry.fetch.rules(),
        clock=Clock(**entry.clients.model_dump()),
        drain_s=entry.drain_seconds,
    )


def _target(path: Path, name: str, entry: UpstreamEntry) -> Target:
    key = None
    if entry.key_env is not None:
        key = os.environ.get(entry.key_env)
        if not key:
            raise ValueError(f"{path}: upstreams.{name}.key_env: {entry.key_env} is not set")
        if any(character in key for character in "\r\n\0"):
            raise ValueError(f"{path}: upstreams.{name}.key_env: {entry.key_env} is no key")
    files = [
        None if given is None else path.parent / given
        for given in (entry.ca, entry.certificate, entry.certificate_key)
    ]
    for file in files:
        if file is not None and not file.is_file():
            raise ValueError(f"{path}: upstreams.{name}: there is no file {file}")
    timeouts = Timeouts(**entry.timeouts.model_dump())
    return Target(entry.url, key, entry.key_header, *files, timeouts=timeouts)


def _routes(path: Path, entry: ProxyFile) -> tuple[Route, ...]:
    routes = []
    for place, given in enumerate(entry.routes):
        if given.upstream not in entry.upstreams:
            known = ", ".join(entry.upstreams)
            raise ValueError(
                f"{path}: routes.{place}.upstream: there is no upstream {given.upstream!r}; "
                f"there are: {known}"
            )
        routes.append(
            Route(given.upstream, given.upstream, tuple(given.paths), tuple(given.models))
        )
    first = next(iter(entry.upstreams))
    return tuple(routes) or (Route(first, first),)
