"""The typed answer of one call: taken out of what the model returns, whole or in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from guardrail.content import Content, Reply, Text
from guardrail.errors import ContentError
from guardrail.flow.drivers import NOTHING
from guardrail.flow.stream import Delta
from guardrail.policy import Rule
from guardrail.reading.documents import document_key, read_document
from guardrail.structure.check import CALLED, documents_in, read_text, schema_detector
from guardrail.structure.progress import Progress
from guardrail.structure.shape import Shape
from guardrail.verdict import Action

_NAMES = {"said": "output", "called": CALLED}
_MESSAGE = "The answer did not have the form that was asked for."


def rules_of(shape: Shape, ask_again: int) -> tuple[Rule, ...]:
    """The rules of a declared output. Another answer is only asked for where it could help: not
    of a model that refused, or that would be cut off at the same place."""
    check = schema_detector(shape)
    # Partial objects need not wait for it: only the last has passed.
    detector = replace(check, spec=replace(check.spec, window=0))

    def rule(name: str, *labels: str, ask_again: int = 0) -> Rule:
        return Rule(
            name,
            frozenset({"output"}),
            detector,
            arguments={"schema": shape.schema, "type": shape.token},
            levels=dict.fromkeys(labels, ((Action.BLOCK, 0.5),)),
            severity="low",
            message=_MESSAGE,
            ask_again=ask_again,
        )

    return (
        rule("output-schema", "invalid_json", "invalid_value", ask_again=ask_again),
        rule("output-whole", "cut_off", "refused"),
    )


class TypedAnswer:
    """Reads one answer of a call under its shape.

    Of what the model returns, only the document goes on: the text, or the arguments of the tool
    call that was asked for. `hopeless` is set once a stream cannot end as a document that fits.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._coming, self._shown = Progress(shape), Progress(shape)
        self._kept: dict[int, Mapping[str, str]] = {}
        self._called = self._shown_called = self._refused = False

    @property
    def hopeless(self) -> bool:
        """Whether nothing that the model could still say would help."""
        return self._coming.problem is not None

    def whole(self, value: Any, processor: Any) -> Reply:
        """An answer that came at once."""
        return read_document(value, self._shape.name, processor=processor)

    def take(self, index: int, delta: Delta) -> Delta:
        """What chunk number `index` brings of the document."""
        parts: list[tuple[str, str]] = [] if index else [(_NAMES["said"], "")]
        self._refused = self._refused or any("refusal" in key and text for key, text in delta.parts)
        for key, text in delta.parts:
            kind = document_key(key)
            if kind is None or (self._called and kind == "said"):
                continue
            if kind == "called" and not self._called:
                self._called, self._coming = True, Progress(self._shape)
            self._coming.feed(text)
            parts.append((_NAMES[kind], text))
        self._kept[index] = dict(_joined(parts))
        reason = delta.finish_reason and ("refusal" if self._refused else delta.finish_reason)
        return replace(delta, parts=tuple(parts), finish_reason=reason)

    def release(self, index: int, texts: Mapping[str, str]) -> Any:
        """The object as far as it has come with this chunk, or NOTHING."""
        more = False
        for name, text in {**self._kept.pop(index), **texts}.items():
            if name == _NAMES["called"] and not self._shown_called:
                self._shown_called, self._shown = True, Progress(self._shape)
            more = self._shown.feed(text) or more
        partial = self._shown.partial if more else None
        return NOTHING if partial is None or self._shown.complete else partial

    def value(self, content: Content) -> Any:
        """The typed value of the whole answer. Raises ContentError where it has none, as under a
        policy that does not enforce its rules, or after an edit that took what the type needs."""
        (text, *_) = [*documents_in(content.texts), Text("", "output")]
        reading = read_text(self._shape, text)
        if not reading.fits:
            said = "; ".join(map(str, reading.problems)) or "the model refused to answer"
            raise ContentError("output", reading.label or "invalid_value", said)
        return reading.value


def _joined(parts: list[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, text in parts:
        joined[name] = joined.get(name, "") + text
    return joined
