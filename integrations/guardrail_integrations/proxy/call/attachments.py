"""Before a call is screened: what it only names is fetched, its files are read, and what no check
can look at follows the policy. Where a policy only watches, what it would refuse goes on as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from guardrail import ContentError, Image, NotRun, Policy, Text
from guardrail.hosting import LIMITS_RULE, Action, Mode, Part, RuleResult, is_pdf, read_pdf
from guardrail_integrations.proxy.formats.json_splice import Path
from guardrail_integrations.proxy.interfaces import Fetcher, FetchError
from guardrail_integrations.proxy.media.data_urls import media_type
from guardrail_integrations.proxy.media.files import Document, File, Remote
from guardrail_integrations.proxy.reading.extraction import Extraction, Unscreenable
from guardrail_integrations.proxy.verdicts.proxy_rules import ADDRESSES, FILE_IDS, note_of
from guardrail_integrations.proxy.verdicts.refusals import Refused, refused

Files = Callable[[Remote], Awaitable[bytes]]


@dataclass
class Prepared:
    """What was made of it: further parts, what takes the place of addresses, and what went on
    though nothing could look at it."""

    parts: list[Part] = field(default_factory=list)
    changes: dict[Path, Any] = field(default_factory=dict)
    results: list[RuleResult] = field(default_factory=list)


async def prepare(
    found: Extraction, policy: Policy, fetcher: Fetcher | None, files: Files | None = None
) -> Prepared:
    """Fetch, read, and weigh what cannot be screened. Raises Refused."""
    made = Prepared()
    made.results += weighed(policy, found.unscreenable)
    if _over(policy, len(found.documents) + len(found.remote), "files and addresses", made):
        return made
    for document in found.documents:
        await _read(found, policy, document, made)
    if found.remote:
        got = await asyncio.gather(
            *(_fetched(remote, policy, fetcher, files, made) for remote in found.remote)
        )
        for remote, (data, media_type) in filter(None, got):
            await _resolved(found, policy, remote, data, media_type, made)
    return made


def _over(policy: Policy, count: int, what: str, made: Prepared) -> bool:
    """Whether there is more than the limit on pictures: then no more work is spent on them.
    Raises Refused."""
    limit = policy.limits.max_images
    if count <= limit:
        return False
    message = f"{count} {what}, over the limit of {limit} (limits.max_images)."
    refusal = refused(400, "content_unreadable", message, rule=LIMITS_RULE)
    made.results.append(_watched(policy, refusal))
    return True


def weighed(policy: Policy, unscreenable: Iterable[tuple[Unscreenable, str]]) -> list[RuleResult]:
    """What the policy says of what no check can look at. Raises Refused."""
    results = (_weigh(policy, kind, name) for kind, name in unscreenable)
    return [result for result in results if result is not None]


def _weigh(policy: Policy, kind: Unscreenable, name: str) -> RuleResult | None:
    rule, action = f"unscreenable.{kind}", getattr(policy.unscreenable, kind)
    if action == "pass":
        return None
    if action == "flag":
        return note_of(rule, Action.FLAG, f"{name}: no check can look at it")
    message = f"{name}: {kind} cannot be screened, and the policy does not let it pass."
    return _watched(policy, refused(400, "unscreenable", message, name, rule))


def _watched(policy: Policy, refusal: Refused) -> RuleResult:
    """A refusal as it is noted where the policy only watches. Raises it where it does not."""
    if policy.mode is Mode.ENFORCE:
        raise refusal
    about = refusal.refusal
    reason = f"{about.param}: {about.code}" if about.param else about.code
    return note_of(about.rule, Action.ALLOW, reason, would=Action.BLOCK)


async def _read(found: Extraction, policy: Policy, document: Document, made: Prepared) -> None:
    """A file: text is text, a PDF its pages with the text beneath; others cannot be looked at."""
    kind, name = document.media_type, document.name
    pages = sum(isinstance(part, Image) for part in made.parts)
    if _over(policy, pages, "pages", made):
        return
    if is_pdf(document.data):
        limits, role = policy.limits, document.role
        try:
            parts = await asyncio.to_thread(
                read_pdf, document.data, name=name, role=role, limits=limits
            )
        except NotRun:
            made.results += filter(None, [_weigh(policy, "file", name)])
            return
        except ContentError as error:
            refusal = refused(400, f"pdf_{error.code}", f"{error}.", name, LIMITS_RULE)
            made.results.append(_watched(policy, refusal))
            return
        shown = tuple(part for part in parts if isinstance(part, Image))
        found.files.update(dict.fromkeys((page.name for page in shown), File(document, shown)))
        made.parts += parts
    elif kind.startswith("text/") or kind == "application/json":
        text = document.data.decode("utf-8", "replace")
        found.files[name] = File(document)
        made.parts.append(Text(text, name, document.role, document.source))
    else:
        made.results += filter(None, [_weigh(policy, "file", name)])


async def _fetched(
    remote: Remote,
    policy: Policy,
    fetcher: Fetcher | None,
    files: Files | None,
    made: Prepared,
) -> tuple[Remote, tuple[bytes, str]] | None:
    try:
        return remote, await _bytes_of(remote, policy, fetcher, files)
    except Refused as refusal:
        made.results.append(_watched(policy, refusal))
        return None


async def _bytes_of(
    remote: Remote, policy: Policy, fetcher: Fetcher | None, files: Files | None
) -> tuple[bytes, str]:
    if remote.kind == "url":
        if policy.proxy.addresses == "refuse" or fetcher is None:
            message = f"{remote.name}: send the bytes; addresses are not fetched here."
            raise refused(400, "remote_content", message, remote.name, ADDRESSES)
        try:
            fetched = await fetcher.fetch(remote.address)
        except FetchError as error:
            message = f"{remote.name}: {error}."
            raise refused(400, f"fetch_{error.code}", message, remote.name, ADDRESSES) from None
        return fetched.data, fetched.media_type
    if policy.proxy.file_ids == "refuse" or files is None:
        message = f"{remote.name}: send the bytes; file ids are not resolved here."
        raise refused(400, "remote_content", message, remote.name, FILE_IDS)
    return await files(remote), ""


async def _resolved(
    found: Extraction, policy: Policy, remote: Remote, data: bytes, kind: str, made: Prepared
) -> None:
    if not remote.picture:
        named = (remote.name, remote.role, remote.source, remote.write)
        await _read(found, policy, Document(data, kind, *named), made)
        if remote.kind == "url":
            made.changes.update(remote.write(data, "application/pdf" if is_pdf(data) else kind))
        return
    image = Image(data, remote.name, remote.role, remote.source, policy.limits)
    made.parts.append(image)
    found.pictures[remote.name] = remote.write
    if remote.kind == "url":
        made.changes.update(remote.write(data, media_type(data)))
