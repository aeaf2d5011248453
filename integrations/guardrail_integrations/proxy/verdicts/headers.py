"""Headers of our own."""

from __future__ import annotations

from guardrail.hosting import Ended, RuleResult
from guardrail_integrations.proxy.interfaces import Headers

OURS = b"x-guardrail-"


def verdict_headers(results: list[RuleResult], ended: Ended | None) -> Headers:
    """What clients are told of a call that went on: flags, changes, and what shadow rules say."""
    acted: dict[str, str] = {}
    would: dict[str, str] = {}
    for result in results:
        if result.action:
            acted[result.rule] = str(result.action)
        elif result.would:
            would[result.rule] = str(result.would)
    headers: Headers = []
    if ended is not None:
        headers.append((b"x-guardrail-record", ended.id.encode()))
    if not acted and not would:
        return headers
    for name, rules in ((b"x-guardrail-rules", acted), (b"x-guardrail-would", would)):
        if rules:
            said = ", ".join(f"{rule}={action}" for rule, action in rules.items())
            headers.append((name, said.encode("ascii", "replace")))
    return headers
