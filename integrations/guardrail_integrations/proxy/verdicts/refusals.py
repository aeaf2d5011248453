"""Why a request gets no answer of an upstream, said so that clients take it rightly."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from guardrail.hosting import LIMITS_RULE, Action, Outcome, Status
from guardrail_integrations.proxy.http.exchange import BodyLost, BodyTooLarge, NoRoom
from guardrail_integrations.proxy.interfaces import Headers, UpstreamError
from guardrail_integrations.proxy.verdicts.proxy_rules import MALFORMED


@dataclass(frozen=True)
class Refusal:
    """Why a call gets no answer, in words that hold nothing of it."""

    status: int
    code: str
    message: str
    record: str = ""
    rule: str = ""
    param: str = ""
    model: str = ""


UNAVAILABLE = "A safety check could not be made. Try again later."
# Without these a page in a browser does not get to read why it was refused, and tries again. They
# open nothing: a refusal holds no content.
READABLE: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
]
NO_ROOM = Refusal(503, "overloaded", "Too much is being held in memory.")

_log = logging.getLogger("guardrail.proxy")
_FAULT_STATUS = {"unreachable": 502, "closed": 502, "garbage": 502, "timeout": 504, "busy": 503}


class Refused(Exception):
    """A request that ends here, with what the client is told."""

    def __init__(self, refusal: Refusal, headers: Headers | None = None) -> None:
        self.refusal, self.headers = refusal, headers or []
        super().__init__(refusal.code)


def refused(status: int, code: str, message: str, param: str = "", rule: str = "") -> Refused:
    """A refusal without a verdict; `rule` says what of the policy, or of its limits, it follows."""
    return Refused(Refusal(status, code, message, param=param, rule=rule))


def sentence(error: Exception) -> str:
    """What an error says, as a sentence."""
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."


def refusal_of(outcome: Outcome, model: str) -> Refusal:
    """What a client is told of a verdict that stops its call.

    A block is 400, which no client tries again. Where only checks that could not run stop the
    call there is no verdict: 503. What the client itself did wrong (a broken picture, too many
    of them) is 400 as well.
    """
    verdict, record = outcome.verdict, outcome.record.id
    strongest = [result for result in verdict.rules if result.action is verdict.action]
    limits = next((result for result in strongest if result.rule == LIMITS_RULE), None)
    if limits is not None and limits.status is Status.ERROR:
        return Refusal(400, "content_unreadable", limits.reason, record, LIMITS_RULE, model=model)
    hit = next((result for result in strongest if result.status is Status.HIT), None)
    if hit is None:
        rule = strongest[0].rule if strongest else ""
        return Refusal(503, "guardrail_unavailable", UNAVAILABLE, record, rule, model=model)
    code = "review_required" if verdict.action is Action.REVIEW else "policy_violation"
    rule = verdict.reason.partition(":")[0]
    return Refusal(400, code, verdict.message or verdict.reason, record, rule, model=model)


def unavailable(outcome: Outcome) -> Refusal:
    """What a client is told where a check could not be made."""
    return Refusal(503, "guardrail_unavailable", UNAVAILABLE, outcome.record.id)


def unreadable_answer(why: str) -> Refused:
    """An answer that must be checked and cannot be read."""
    return refused(502, "unreadable_answer", f"The model's answer could not be checked: {why}.")


def refusal_for(error: Exception, max_body: int) -> Refusal:
    """What a client is told of an error that ended its request. One that is none of the
    expected is logged, by its type alone."""
    if isinstance(error, UpstreamError):
        status, code = _FAULT_STATUS[error.fault], f"upstream_{error.fault}"
        return Refusal(status, code, f"The upstream gave no answer: {error}.")
    if isinstance(error, BodyTooLarge):
        message = f"The body is over the limit of {max_body >> 20} MiB."
        return Refusal(413, "body_too_large", message, rule=LIMITS_RULE)
    if isinstance(error, NoRoom):
        return NO_ROOM
    if isinstance(error, BodyLost):
        late = error.status == 408
        message = "The body took too long." if late else "The body is not valid HTTP/1.1."
        return Refusal(error.status, "bad_body", message, rule=MALFORMED)
    _log.error("a request failed: %s", type(error).__name__)
    return Refusal(500, "internal_error", "The proxy failed to handle this request.")


def refusal_headers(refusal: Refusal, size: int, *, retry_unavailable: bool) -> Headers:
    """The headers of a refusal in JSON of so many bytes. Clients are told whether to try again."""
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % size),
    ]
    if refusal.record:
        identity = refusal.record.encode()
        headers += [(b"x-request-id", identity), (b"request-id", identity)]
    if refusal.code == "guardrail_unavailable":
        headers.append((b"x-should-retry", b"true" if retry_unavailable else b"false"))
    elif refusal.code == "overloaded":
        headers.append((b"retry-after", b"1"))
    elif refusal.status < 500:
        headers.append((b"x-should-retry", b"false"))
    return headers
