"""The file of `guardrail serve --config`: upstreams, routes and limits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from guardrail import PolicyError
from guardrail.errors import Mistake
from guardrail.policy.document import Document, parse
from guardrail.policy.document import Path as Place
from guardrail.policy.wording import did_you_mean, in_words, place_in
from guardrail_integrations.proxy.http.request_head import TOKEN
from guardrail_integrations.proxy.http.timeouts import Clock, Timeouts
from guardrail_integrations.proxy.settings import Route, Settings, Target, address_fault
from guardrail_integrations.proxy.upstream.fetch import FetchRules

MIB = 1 << 20
_SAID = "said"  # a problem whose message says it all

Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _sound(fault: Callable[[str], str]) -> AfterValidator:
    """A text of which `fault` says what is wrong, or nothing."""

    def validated(text: str) -> str:
        said = fault(text)
        if said:
            raise PydanticCustomError(_SAID, "{said}", {"said": said})
        return text

    return AfterValidator(validated)


def _network_fault(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        return f"a network is expected, such as 10.20.0.0/16: {error}"
    return ""


def _header_fault(text: str) -> str:
    return "" if TOKEN.fullmatch(text.encode()) else "the name of a header is expected"


Address = Annotated[str, _sound(address_fault)]
Network = Annotated[str, _sound(_network_fault)]
HeaderName = Annotated[str, _sound(_header_fault)]


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

    url: Address
    key_env: str | None = None
    key_header: HeaderName = "authorization"
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

    tenant: HeaderName = Settings.tenant_header
    user: HeaderName = Settings.user_header
    session: HeaderName = Settings.session_header


class FetchEntry(_Entry):
    """What may be fetched by address; see fetch.FetchRules. `inside` holds networks (CIDR)."""

    hosts: list[str] = []
    inside: list[Network] = []
    ports: list[Annotated[int, Field(ge=1, le=65_535)]] = [80, 443]
    https_only: bool = False
    max_mb: Annotated[float, Field(gt=0, le=1_024)] = FetchRules.max_bytes / MIB
    seconds: Seconds = FetchRules.seconds
    redirects: Annotated[int, Field(ge=0, le=10)] = FetchRules.redirects

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
    """Read the file. Raises ValueError with every mistake: its line, its place and what would be
    right."""
    try:
        return _Reading(path, parse(path.read_text("utf-8"), str(path))).settings()
    except UnicodeDecodeError:
        raise ValueError(str(Mistake(str(path), 1, "", "not text in UTF-8"))) from None
    except PolicyError as error:
        raise ValueError(str(error)) from None


@dataclass
class _Reading:
    """Makes settings of a document and collects mistakes on the way."""

    path: Path
    document: Document
    mistakes: list[Mistake] = field(default_factory=list)

    def settings(self) -> Settings:
        entry = self._entry()
        upstreams = entry.upstreams.items()
        targets = {name: self._target(("upstreams", name), given) for name, given in upstreams}
        routes = self._routes(entry)
        limits = entry.limits
        if limits.buffered_mb < limits.body_mb:
            self._add(
                ("limits", "buffered_mb"),
                f"there is never room for a body of {limits.body_mb} MiB (body_mb)",
                f"set buffered_mb to {limits.body_mb} or more, or body_mb lower",
            )
        self._end()
        return Settings(
            targets=targets,
            routes=routes,
            max_body=limits.body_mb * MIB,
            max_answer=limits.answer_mb * MIB,
            buffered=limits.buffered_mb * MIB,
            connections=limits.connections,
            concurrent=limits.calls,
            picture_calls=limits.picture_calls,
            tenant_header=entry.headers.tenant,
            user_header=entry.headers.user,
            session_header=entry.headers.session,
            fetch=entry.fetch.rules(),
            clock=Clock(**entry.clients.model_dump()),
            drain_s=entry.drain_seconds,
        )

    def _entry(self) -> ProxyFile:
        try:
            return ProxyFile.model_validate(self.document.data)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                place = place_in(self.document.data, problem["loc"])
                if problem["type"] == _SAID:
                    self._add(place, problem["msg"])
                elif problem["loc"][:1] == ("upstreams",) and len(problem["loc"]) > 2:
                    below = {**problem, "loc": problem["loc"][2:]}
                    self._add(place, *in_words(below, UpstreamEntry))
                else:
                    self._add(place, *in_words(problem, ProxyFile))
        self._end()
        raise AssertionError("a file of wrong form has mistakes")

    def _add(self, place: Place, message: str, hint: str = "") -> None:
        self.mistakes.append(self.document.mistake(place, message, hint))

    def _end(self) -> None:
        if self.mistakes:
            raise PolicyError(sorted(self.mistakes, key=lambda mistake: mistake.line))

    def _target(self, place: Place, entry: UpstreamEntry) -> Target:
        key = None
        if entry.key_env is not None:
            key = os.environ.get(entry.key_env, "")
            if not key:
                self._add((*place, "key_env"), f"{entry.key_env} is not set")
            elif not (key.isascii() and key.isprintable()):
                self._add((*place, "key_env"), f"{entry.key_env} is no key")
        files = {
            name: None if given is None else self.path.parent / given
            for name in ("ca", "certificate", "certificate_key")
            for given in (getattr(entry, name),)
        }
        for name, file in files.items():
            if file is None:
                continue
            if not file.is_file():
                self._add((*place, name), f"there is no file {file}")
            if not entry.url.lower().startswith("https:"):
                self._add((*place, name), "only https addresses are spoken to over TLS")
        if entry.certificate_key is not None and entry.certificate is None:
            self._add((*place, "certificate_key"), "it needs the certificate beside it")
        timeouts = Timeouts(**entry.timeouts.model_dump())
        return Target(entry.url, key, entry.key_header, *files.values(), timeouts=timeouts)

    def _routes(self, entry: ProxyFile) -> tuple[Route, ...]:
        routes = []
        for number, given in enumerate(entry.routes):
            name = given.upstream
            if name not in entry.upstreams:
                place = ("routes", number, "upstream")
                self._add(
                    place, f"there is no upstream {name!r}", did_you_mean(name, entry.upstreams)
                )
            routes.append(Route(name, name, tuple(given.paths), tuple(given.models)))
        first = next(iter(entry.upstreams))
        return tuple(routes) or (Route(first, first),)
