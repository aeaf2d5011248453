"""Asking the model again: the note that tells it what was wrong with its answer.

A note may quote the answer, so it goes to the model and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator

from guardrail.content import Content, Text
from guardrail.edit import quoted
from guardrail.verdict import Finding, Span, Verdict

MOST = 20  # findings that a note tells of
_BEGIN = "Your previous answer was not accepted. Answer again, so that this no longer holds of it:"


def asked_text(content: Content) -> Text | None:
    """The text that a note is put under: the last that the user typed."""
    typed = [text for text in content.texts if text.role == "user" and text.source == "typed"]
    return typed[-1] if typed else None


def with_note(asked: Text, verdict: Verdict, answer: Content) -> str:
    """The text of `asked` with a note on what the rules that want another answer found."""
    lines = list(dict.fromkeys(_lines(verdict, answer)))
    more = [f"- and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n".join([asked.text, "", _BEGIN, *lines[:MOST], *more])


def _lines(verdict: Verdict, answer: Content) -> Iterator[str]:
    texts = {text.name: text.text for text in answer.texts}
    for result in verdict.rules:
        for finding in result.findings if result.ask_again else ():
            yield f"- {_said(finding, texts)}"


def _said(finding: Finding, texts: dict[str, str]) -> str:
    about = finding.note or finding.label
    where = finding.where
    if not isinstance(where, Span) or where.part not in texts:
        return about
    found = quoted(texts[where.part][where.start : where.end])
    return f"{about}: “{found}”" if found else about
