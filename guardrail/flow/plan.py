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
from guardrail.policy import LIMITS_RULE, Observed, Policy, Rule, decide
from guardrail.verdict import Finding, RuleResult, Status, Verdict

MOST_PARTS = 100  # of a stage on the fast path; more leave the event loop its turns
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
        self.done = False
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Load; where that fails, the next call tries again."""
        if self.done:
            return
        with self._lock:
            if not self.done:
                self._warm()
                self.done = True


@dataclass(frozen=True)
class FastPath:
    """For parts that may take the fast path: the rules that look at each, whether these are
    quick to run, those that look at all of them together, and the verdict where nothing is found.
    With pictures among the parts, those that are not quick may be known (`keeps`)."""

    rules: tuple[tuple[Rule, ...], ...]
    quick: tuple[bool, ...]
    together: tuple[Rule, ...]
    keeps: bool
    looking: frozenset[str]  # the rules that have something to look at
    verdict: Verdict
    loads: tuple[Loading, ...]  # what has to be loaded before

    @property
    def loaded(self) -> bool:
        """Whether it has been."""
        for load in self.loads:  # noqa: SIM110  several times as fast as all()
            if not load.done:
                return False
        return True


class Plan:
    """A policy with what follows from it for every call: digests of each check's settings."""

    def __init__(self, policy: Policy, digester: Digester | None = None) -> None:
        self.policy = policy
        self.rules = policy.active()
        self.digester = digester or Digester()
        self._by_id = {rule.id: rule for rule in self.rules}
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
        self._everything = self.digester.of(
            *(piece for rule in self.rules for piece in (rule.id, *sorted(rule.when), ":")),
            *self.identity.values(),
            "extract",
            *self.extractor_identity.values(),
        )
        self._looking_at: dict[_Kind, tuple[Rule, ...]] = {}
        self._fast_paths: dict[tuple[_Kind, ...], FastPath | None] = {}
        self.asks_again = any(rule.ask_again for rule in self.rules)
        changes = policy.overlap or policy.trust is not None or self.asks_again
        self.asks_at_once = not changes  # the model, where the fast path lets the input pass
        scopes = {scope for rule in self.rules for scope in rule.when}
        self.reads_answers = any(scope.partition(".")[0] == "output" for scope in scopes)
        self.looks_at_calls = any(rule.detector.spec.scope != "part" for rule in self.rules)
        self._panes = panes_of(policy.holding())
        self._holds_pictures = bool(policy.holding_pictures())

    def looking_at(self, part: Part) -> tuple[Rule, ...]:
        """The rules that look at this part on its own."""
        kind = _kind(part)
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

    def fast_path_of(self, parts: Sequence[Part]) -> FastPath | None:
        """What there is to look at in parts that may take the fast path; None for others."""
        if len(parts) > MOST_PARTS:
            return None
        shape = tuple([_kind(part) for part in parts])
        if shape not in self._fast_paths:
            if len(self._fast_paths) >= MAX_KINDS:
                return None
            self._fast_paths[shape] = self._fast_path(parts)
        path = self._fast_paths[shape]
        if path is None or not path.loaded:
            return None  # the first call loads, and is timed, apart
        return path

    def _fast_path(self, parts: Sequence[Part]) -> FastPath | None:
        policy, limits = self.policy, self.policy.limits
        pictures = [part for part in parts if isinstance(part, Image)]
        if len(pictures) > limits.max_images or len(parts) - len(pictures) > limits.max_texts:
            return None
        changes = policy.reencodes is not None or limits.max_visual_tokens is not None
        if pictures and (changes or self.looks_at_calls):
            return None
        together = tuple(
            rule
            for rule in self.rules
            if rule.detector.spec.scope == "call" and any(rule.sees(part) for part in parts)
        )
        if not all(rule.detector.quick for rule in together):
            return None
        rules = tuple(self.looking_at(part) for part in parts)
        quick = tuple(
            isinstance(part, Text) and all(_is_quick(rule.detector) for rule in looking)
            for part, looking in zip(parts, rules, strict=True)
        )
        if not (pictures or all(quick)):
            return None
        looking = {rule.id for of_one in (*rules, together) for rule in of_one}
        for picture in pictures if policy.extractors else ():
            looking |= {rule.id for rule in self.rules if rule.reads_pictures_of(picture)}
        passed = RuleResult(LIMITS_RULE, Status.PASSED)
        observed = [Observed(rule, looked_at=rule.id in looking) for rule in self.rules]
        verdict = decide(policy, Stage.INPUT, observed, [passed])
        detectors = [rule.detector for of_one in (*rules, together) for rule in of_one]
        needed = {id(detector) for detector in detectors if _is_quick(detector)}
        loads = tuple(self.loading[one] for one in needed)
        return FastPath(rules, quick, together, bool(pictures), frozenset(looking), verdict, loads)

    def reach(self, found: Iterable[tuple[str, Finding]]) -> bool:
        """Whether anything that rules found reaches a threshold."""
        return any(self._by_id[rule].level(finding)[0] for rule, finding in found)

    def verdict_on(
        self, path: FastPath, stage: Stage, found: Iterable[tuple[str, Finding]]
    ) -> Verdict:
        """The verdict on parts of that kind in which rules found this."""
        by_rule: dict[str, list[Finding]] = {}
        for name, finding in found:
            by_rule.setdefault(name, []).append(finding)
        if not by_rule:
            return path.verdict
        observed = [
            Observed(rule, tuple(by_rule.get(rule.id, ())), looked_at=rule.id in path.looking)
            for rule in self.rules
        ]
        return decide(self.policy, stage, observed, path.verdict.rules[:1])  # the limits

    def key_of_known(self, stage: Stage, part: Part) -> bytes:
        """The cache key of all checks on a part, and on what is read in it."""
        return self.key("kept", self._everything, stage, (part,))

    def digest(self, part: Text) -> str:
        """The keyed digest of a text that a record keeps."""
        return self.digester.of(part.text).hex()

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


def _is_quick(detector: Detector) -> bool:
    """Whether a detector may find at once what there is."""
    return detector.spec.inline or detector.quick is not None


_Kind = tuple[type, str, str, bool]


def _kind(part: Part) -> _Kind:
    """All that decides which rules look at a part on its own."""
    return type(part), part.role, part.source, isinstance(part, Text) and part.answered


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
