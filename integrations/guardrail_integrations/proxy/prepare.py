"""Before a call is screened: what it only names is fetched, its files are read, and what no check
can look at follows the policy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from guardrail.hosting import Image, Text
from guardrail_integrations.proxy.forward import upstream_headers
from guardrail_integrations.proxy.found import Document, Remote, Unscreenable
from guardrail_integrations.proxy.headers import without
from guardrail_integrations.proxy.interfaces import FetchError, Request
from guardrail_integrations.proxy.refusals import refused

if TYPE_CHECKING:
    from guardrail_integrations.proxy.guarded import GuardedCall


async def prepare(call: GuardedCall) -> None:
    """Fetch, read, and weigh what cannot be screened. Raises Refused."""
    found = call.found
    for kind, name in found.unscreenable:
        weigh(call, kind, name)
    for document in found.documents:
        await _read(call, document)
    limit = call.rules.guard.policy.limits.max_images
    if len(found.remote) > limit:
        raise refused(
            400, "content_unreadable", f"{len(found.remote)} addresses, over the limit of {limit}."
        )
    await asyncio.gather(*(_resolve(call, remote) for remote in found.remote))


def weigh(call: GuardedCall, kind: Unscreenable, name: str) -> None:
    """What the policy says of something that no check can look at."""
    action = getattr(call.rules.guard.policy.unscreenable, kind)
    if action == "block":
        message = f"{name}: this cannot be screened ({kind}), and the policy does not let it pass."
        raise refused(400, "unscreenable", message, name)
    if action == "flag":
        call.flags.append(f"unscreenable.{kind}")


async def _read(call: GuardedCall, document: Document) -> None:
    """A file in the body: text is text, a PDF its pages."""
    if document.media_type.startswith("text/") or document.media_type == "application/json":
        text = document.data.decode("utf-8", "replace")
        call.extra.append(Text(text, document.name, document.role, document.source))
    else:
        weigh(call, "file", document.name)


async def _resolve(call: GuardedCall, remote: Remote) -> None:
    proxying = call.rules.guard.policy.proxy
    if remote.kind == "url":
        if proxying.addresses == "refuse" or call.proxy.fetcher is None:
            message = f"{remote.name}: send the bytes; addresses are not fetched here."
            raise refused(400, "remote_content", message, remote.name)
        try:
            fetched = await call.proxy.fetcher.fetch(remote.address)
        except FetchError as error:
            message = f"{remote.name}: {error}."
            raise refused(400, f"fetch_{error.code}", message, remote.name) from None
        data = fetched.data
    else:
        if proxying.file_ids == "refuse":
            message = f"{remote.name}: send the bytes; file ids are not resolved here."
            raise refused(400, "remote_content", message, remote.name)
        data = await _file(call, remote)
    if not remote.picture:
        await _read(call, Document(data, "", remote.name, remote.role, remote.source))
        return
    limits = call.rules.guard.policy.limits
    image = Image(data, remote.name, remote.role, remote.source, limits)
    call.extra.append(image)
    call.found.pictures[remote.name] = remote.write
    if remote.kind == "url":
        call.fetched.update(remote.write(image))


async def _file(call: GuardedCall, remote: Remote) -> bytes:
    """An uploaded file, from the upstream's files API and with the client's own key."""
    exchange = call.exchange
    headers = without(
        upstream_headers(exchange, call.target),
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"accept-encoding",
    )
    identity = remote.address
    if not identity.replace("-", "").replace("_", "").isalnum() or len(identity) > 200:
        raise refused(400, "file_unreadable", f"{remote.name}: not a file id.", remote.name)
    target = call.target.prefix + b"/v1/files/" + identity.encode() + b"/content"
    response = await call.upstream.send(Request(b"GET", target, headers))
    try:
        if response.status != 200:
            message = f"{remote.name}: the upstream does not hand this file out; send its bytes."
            raise refused(400, "file_unreadable", message, remote.name)
        limit = int(call.rules.guard.policy.limits.max_image_mb * (1 << 20)) + 1
        pieces: list[bytes] = []
        size = 0
        while size <= limit and (piece := await response.read()):
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)
    finally:
        response.close()
