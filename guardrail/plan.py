"""A policy made ready: what follows from it for every call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardrail.cache import Digester
from guardrail.content import Context, Image, Part, Text
from guardrail.detector import Detector, Extractor, Stage, Window
from guardrail.policy import LIMITS_RULE, Observed, Policy, Rule, judge
from guardrail.verdict import RuleResult, Status, Verdict

MAX_KINDS = 1_000  # of parts, by role and source, whose rules are remembered


@dataclass(frozen=True)
class Pane:
    """The rules that have to see as much as `window` of a streamed text at once, and, where that
    is a number, at least `before` characters before a place."""

    window: Window
    rules: tuple[Rule, ...]
    before: int = 0


class Loading:
    """Loads what a plug-in needs, once; threads that come meanwhile wait."""

    def __init__(self, warm: Callable[[], object]) -> None:
        self._warm = warm
        self._done = False
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Load; where that fails, the next call tries again."""
        if self._done:
            return
        with self._lock:
            if not self._done:
                self._warm()
                self._done = True


class Plan:
    """A policy with what follows from it for every call: digests of each check's settings."""

    def __init__(self, policy: Policy, digester: Digester | None = None) -> None:
        self.policy = policy
        self.rules = policy.active()
        self.digester = digester or Digester()
        self.lines = {rule.id: rule.line for rule in policy.rules}
        self._limits = repr(policy.limits)
        plugins: list[Detector | Extractor] = [rule.detector for rule in self.rules]
        plugins += policy.extractors
        self.loading = {id(plugin): Loading(plugin.warm) for plugin in plugins}
        self.identity = {
            rule.id: self._identify(rule.detector, rule.arguments) for rule in self.rules
        }
        self.extractor_identity = {
            extractor.spec.name: self._identify(
                extractor, policy.extractor_arguments.get(extractor.spec.name, {})
            )
            for extractor in policy.extractors
        }
        self._looking_at: dict[tuple[type, str, str, bool], tuple[Rule, ...]] = {}
        self.looks_at_calls = any(rule.detector.spec.scope != "part" for rule in self.rules)
        unseen = (judge(policy, Stage.INPUT, Observed(rule)) for rule in self.rules)
        self.unseen = Verdict(rules=(RuleResult(LIMITS_RULE, Status.PASSED), *unseen))
        self._panes = panes_of(policy.holding())
        self._holds_pictures = bool(policy.holding_pictures())

    def looking_at(self, part: Part) -> tuple[Rule, ...]:
        """The rules that look at this part on its own."""
        kind = (type(part), part.role, part.source, isinstance(part, Text) and part.answered)
        rules = self._looking_at.get(kind)
        if rules is None:
            rules = tuple(
                rule
                for rule in self.rules
                if rule.detector.spec.scope == "part" and rule.sees(part)
            )
            if len(self._looking_at) < MAX_KINDS:
                self._looking_at[kind] = rules
        return rules

    def looks_at_none_of(self, parts: Sequence[Part]) -> bool:
        """Whether there is nothing among the parts that would have to be looked at."""
        return not self.looks_at_calls and not any(
            isinstance(part, Image) or self.looking_at(part) for part in parts
        )

    @property
    def holds_output(self) -> bool:
        """Whether a streamed answer may be held back."""
        return bool(self._panes) or self._holds_pictures

    def _identify(self, plugin: Detector | Extractor, arguments: Mapping[str, Any]) -> bytes:
        settings = json.dumps(arguments, sort_keys=True, default=repr)
        return self.digester.of(plugin.spec.name, plugin.spec.version, settings)

    def key(self, kind: str, identity: bytes, stage: Stage, parts: Iterable[Part]) -> bytes:
        """The cache key of a check on parts: over its settings and all that it reads."""
        digests = [self.digester.of_part(part) for part in parts]
        return self.digester.of(kind, identity, stage, self._limits, *digests)

    def panes(self, context: Context) -> tuple[Pane, ...]:
        """What a streamed answer waits for."""
        return self._panes if self.policy.scope.covers(context) else ()

    def holds_pictures(self, context: Context) -> bool:
        """Whether pictures of a streamed answer wait for its end."""
        return self._holds_pictures and self.policy.scope.covers(context)


def panes_of(rules: Sequence[Rule]) -> tuple[Pane, ...]:
    """What the rules that hold a streamed answer have to see of it at once, together."""
    bounded = tuple(rule for rule in rules if isinstance(rule.window, int))
    sentences = tuple(rule for rule in rules if rule.window == "sentence")
    if len(bounded) + len(sentences) < len(rules):
        return (Pane(None, tuple(rules)),)
    panes = []
    if bounded:
        window = max(int(rule.window or 0) for rule in bounded)
        before = max(window, *(rule.detector.spec.before for rule in bounded))
        panes.append(Pane(window, bounded, before))
    if sentences:
        panes.append(Pane("sentence", sentences))
    return tuple(panes)
