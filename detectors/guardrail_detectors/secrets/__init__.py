"""Credentials in text: providers' keys and tokens, private keys, passwords in settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from guardrail.detector import Detector, Spec, View
from guardrail.verdict import Finding, Span
from guardrail_detectors.secrets.formats import LABELS

if TYPE_CHECKING:
    from guardrail_detectors.secrets.scan import Hit

VERSION = "2"
WINDOW = 384  # the longest beginning that is not known for a secret yet
BEFORE = 512  # the longest way from a name or a command to its value


def secrets(*, kinds: list[str] | None = None) -> Detector:
    """Finds credentials. A finding's span covers the value, not the name it is assigned to.

    Args:
        kinds: the labels to look for; all when left out. API_KEY stands for the keys of all
            providers without a label of their own and for what is assigned to names such as
            `api_key` or `token`; PASSWORD for passwords in settings, in URLs and in headers.
    """
    chosen = _chosen(kinds)
    spec = Spec(
        name="secrets",
        version=VERSION,
        labels=chosen,
        inline=True,
        threshold=0.5,
        window=WINDOW,
        before=BEFORE,
    )

    def run(view: View) -> list[Finding]:
        find = _finder()
        return [
            Finding(spec.name, hit.label, hit.score, Span(part.name, hit.start, hit.end))
            for part in view.texts
            for hit in find(part.text)
            if hit.label in chosen
        ]

    return Detector(spec, run, _warm)


@cache
def _finder() -> Callable[[str], list[Hit]]:
    from guardrail_detectors.secrets.scan import find_secrets

    return find_secrets


def _warm() -> object:
    from guardrail_detectors.secrets.scan import scanner

    return scanner()


def _chosen(kinds: list[str] | None) -> tuple[str, ...]:
    if kinds is None:
        return LABELS
    unknown = sorted(set(kinds) - set(LABELS))
    if unknown or not kinds:
        raise ValueError(f"kinds: choose some of {', '.join(LABELS)}, not {unknown}")
    return tuple(label for label in LABELS if label in kinds)
