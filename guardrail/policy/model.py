"""What a policy says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from string import Formatter
from typing import Any, Literal

from guardrail.content import Context, Image, Limits, Part, Role, Text
from guardrail.detector import Detector, Extractor, Stage, Window
from guardrail.harden import Trust
from guardrail.reencode import Reencode
from guardrail.verdict import Action, Finding, RuleResult, Status

ANY_LABEL = "*"
LIMITS_RULE = "limits"  # the id of the built-in rule that opens every picture
SWITCHED_OFF = "switched off"  # the reason of a rule that the policy does not run
MOST_ASKED = 5  # times that a rule may ask for another answer in a call
PAGE = "pdf:page"  # the source of a picture that is a page of a PDF

_SCOPE_OF_ROLE: Mapping[Role, str] = {
    "system": "system",
    "user": "input",
    "assistant": "input",
    "tool": "tool",
}


class Mode(StrEnum):
    """Whether rules act, only record what they would have done, or do not run."""

    OFF = "off"
    SHADOW = "shadow"
    ENFORCE = "enforce"


@dataclass(frozen=True)
class OnError:
    """The action of a check that did not run, by stage: there is nothing found to redact."""

    input: Action = Action.BLOCK
    output: Action = Action.BLOCK

    def __post_init__(self) -> None:
        if Action.REDACT in (self.input, self.output):
            raise ValueError("a check that did not run found nothing to redact")

    def at(self, stage: Stage) -> Action:
        """The action for a stage."""
        return self.input if stage is Stage.INPUT else self.output


@dataclass(frozen=True)
class Unscreenable:
    """What follows for parts of a call that no check can look at, by their kind."""

    audio: Literal["block", "flag", "pass"] = "block"
    video: Literal["block", "flag", "pass"] = "block"
    file: Literal["block", "flag", "pass"] = "block"
    tokens: Literal["block", "flag", "pass"] = "block"
    other: Literal["block", "flag", "pass"] = "block"


@dataclass(frozen=True)
class Proxying:
    """How the proxy treats what is no guarded call, and what it tells its clients."""

    other_paths: Literal["pass", "refuse"] = "pass"
    malformed: Literal["pass", "refuse"] = "refuse"
    addresses: Literal["fetch", "refuse"] = "fetch"
    file_ids: Literal["resolve", "refuse"] = "resolve"
    verdict_headers: bool = True
    retry_unavailable: bool = False
    stream_usage: bool = False


@dataclass(frozen=True)
class Timeouts:
    """How long one check may take, in milliseconds, by what it looks at."""

    text: int = 2_000
    image: int = 15_000


@dataclass(frozen=True)
class Alert:
    """When a rule hits too often: over this share of its last `window` answers."""

    rate_over: float = 0.05
    window: int = 200


@dataclass(frozen=True)
class Rule:
    """One rule: which detector looks where, and what follows from its scores.

    `when` holds scopes such as "input", "input.image", "tool.text" or "output". `levels` maps a
    label (or "*" for all others) to its thresholds, strictest last. `replacement` is the text an
    edit leaves behind, with the fields {label} and {found} (the text that was found); None stands
    for the label in brackets. Where a rule on output hits, the model is asked again, at most
    `ask_again` times in a call, before its action counts. `alert` watches how often it hits.
    """

    id: str
    when: frozenset[str]
    detector: Detector
    arguments: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, tuple[tuple[Action, float], ...]] = field(default_factory=dict)
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    message: str | None = None
    replacement: str | None = None
    mode: Mode = Mode.ENFORCE
    on_error: OnError | None = None
    timeout_ms: int | None = None
    ask_again: int = 0
    alert: Alert | None = None
    line: int | None = None

    def __post_init__(self) -> None:
        if mistake := replacement_mistake(self.replacement or ""):
            raise ValueError(f"{self.id}: replacement: {mistake}")
        if not 0 <= self.ask_again <= MOST_ASKED:
            raise ValueError(f"{self.id}: ask_again is from 0 to {MOST_ASKED}")
        if self.ask_again and not all(where.startswith("output") for where in self.when):
            raise ValueError(f"{self.id}: ask_again is for rules on output alone")

    @cached_property
    def _seen(self) -> dict[tuple[bool, str, str, bool], bool]:
        return {}

    def sees(self, part: Part) -> bool:
        """Whether this rule looks at `part`: its scope fits and the detector reads its kind."""
        key = (isinstance(part, Image), part.role, part.source, _is_answer(part))
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = self._sees(part)
        return seen

    def _sees(self, part: Part) -> bool:
        kind = "image" if isinstance(part, Image) else "text"
        spec = self.detector.spec
        if kind not in spec.reads or not part.source.startswith(spec.sources or ""):
            return False
        scope = "output" if _is_answer(part) else _SCOPE_OF_ROLE[part.role]
        seen = "image" if isinstance(part, Image) or part.source.startswith("image:") else "text"
        return scope in self.when or f"{scope}.{seen}" in self.when

    def reads_pictures_of(self, image: Image) -> bool:
        """Whether this rule looks at text that is read out of `image`."""
        source = "image:page:any" if image.source == PAGE else "image:any"
        return self.sees(Text("", role=image.role, source=source, answered=_is_answer(image)))

    @cached_property
    def passed(self) -> RuleResult:
        """The result of this rule where it found nothing."""
        return RuleResult(self.id, Status.PASSED)

    @property
    def window(self) -> Window:
        """How much of an answer this rule has to see at once; see `Spec.window`.

        Everything where the model may be asked again: what has left cannot be taken back.
        """
        return None if self.ask_again else self.detector.spec.window

    def holds(self) -> bool:
        """Whether a streamed answer waits for this rule: it may stop or change it."""
        if self.detector.spec.window == 0:
            return False
        return self._acts() and self.sees(Text("", role="assistant", source="model"))

    def holds_pictures(self, *, read: bool) -> bool:
        """Whether the pictures of a streamed answer wait for this rule; `read` says that text in
        pictures is read."""
        image = Image(b"", role="assistant", source="model")
        return self._acts() and (self.sees(image) or (read and self.reads_pictures_of(image)))

    def _acts(self) -> bool:
        """Whether it may do more than flag."""
        return any(at[0] > Action.FLAG for steps in self.levels.values() for at in steps)

    def redacts(self) -> bool:
        """Whether it may change content."""
        return any(action is Action.REDACT for steps in self.levels.values() for action, _ in steps)

    def level(self, finding: Finding) -> tuple[Action, float | None]:
        """The strictest action whose threshold is at most the finding's score."""
        reached: tuple[Action, float | None] = (Action.ALLOW, None)
        others = ANY_LABEL if finding.label not in self.detector.spec.by_name else ""
        for action, threshold in self.levels.get(finding.label, self.levels.get(others, ())):
            if finding.score >= threshold:
                reached = (action, threshold)
        return reached


@dataclass(frozen=True)
class Scope:
    """Which calls a policy covers; patterns as in the shell (`qwen*`). Empty means all."""

    routes: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def covers(self, context: Context) -> bool:
        """Whether a call falls under the policy."""
        if not (self.routes or self.tenants or self.models):
            return True
        from fnmatch import fnmatchcase

        def fits(value: str | None, patterns: tuple[str, ...]) -> bool:
            return not patterns or any(fnmatchcase(value or "", pattern) for pattern in patterns)

        return (
            fits(context.route, self.routes)
            and fits(context.tenant, self.tenants)
            and fits(context.model, self.models)
        )


@dataclass(frozen=True)
class PolicyTest:
    """An input and what the policy must make of it, written in the policy itself."""

    prompt: str | None
    images: tuple[str, ...]
    output: str | None
    tool: str | None
    system: str | None
    expect: Action | None
    expect_rules: Mapping[str, Action]
    line: int


@dataclass(frozen=True)
class Policy:
    """A loaded policy. `digest` is the sha256 of the file it came from.

    With `overlap` the model is asked while the input is still being screened (on an event loop);
    ValueError where a rule may change what it is to be asked.
    """

    id: str
    version: str = "1"
    owner: str | None = None
    mode: Mode = Mode.ENFORCE
    on_error: OnError = OnError()
    timeouts: Timeouts = Timeouts()
    scope: Scope = Scope()
    limits: Limits = Limits()
    overlap: bool = False
    trust: Trust | None = None
    reencode: Reencode | None = None
    unscreenable: Unscreenable = Unscreenable()
    proxy: Proxying = Proxying()
    extractors: tuple[Extractor, ...] = ()
    extractor_arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    file: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.overlap and (changing := self.changing()):
            raise ValueError(f"overlap: the rule {changing[0].id!r} may change what is asked")
        if self.overlap and self.trust is not None:
            raise ValueError("overlap: trust changes what is asked")
        if self.overlap and self.reencode is not None:
            raise ValueError("overlap: reencode changes what is asked")

    @cached_property
    def watched(self) -> Mapping[str, Alert]:
        """The rules whose rate of hits is watched."""
        return {rule.id: rule.alert for rule in self.rules if rule.alert is not None}

    @property
    def reencodes(self) -> Reencode | None:
        """How pictures are encoded anew before the model sees them, where the policy acts."""
        return self.reencode if self.mode is Mode.ENFORCE else None

    def changing(self) -> tuple[Rule, ...]:
        """The rules that may change what the model is asked."""
        return tuple(
            rule
            for rule in self.active()
            if self.mode_of(rule) is Mode.ENFORCE
            and not all(where.startswith("output") for where in rule.when)
            and rule.redacts()
        )

    def mode_of(self, rule: Rule) -> Mode:
        """The weaker of the rule's own mode and the policy's."""
        if self.mode is Mode.ENFORCE:
            return rule.mode
        order = (Mode.OFF, Mode.SHADOW, Mode.ENFORCE)
        return min(self.mode, rule.mode, key=order.index)

    def active(self) -> tuple[Rule, ...]:
        """The rules that run."""
        return tuple(rule for rule in self.rules if self.mode_of(rule) is not Mode.OFF)

    @cached_property
    def off(self) -> tuple[RuleResult, ...]:
        """The results of the rules that are switched off, which tell them from absent ones."""
        return tuple(
            RuleResult(rule.id, Status.SKIPPED, reason=SWITCHED_OFF)
            for rule in self.rules
            if self.mode_of(rule) is Mode.OFF
        )

    def holding(self) -> tuple[Rule, ...]:
        """The rules that a streamed answer waits for."""
        return tuple(
            rule for rule in self.active() if self.mode_of(rule) is Mode.ENFORCE and rule.holds()
        )

    def holding_pictures(self) -> tuple[Rule, ...]:
        """The rules that the pictures of a streamed answer wait for."""
        return tuple(
            rule
            for rule in self.active()
            if self.mode_of(rule) is Mode.ENFORCE
            and rule.holds_pictures(read=bool(self.extractors))
        )

    def timeout_s(self, rule: Rule, part: Part) -> float:
        """How long a rule may take over a part, in seconds."""
        default = self.timeouts.image if isinstance(part, Image) else self.timeouts.text
        return (rule.timeout_ms or default) / 1000


def _is_answer(part: Part) -> bool:
    return part.source == "model" or (isinstance(part, Text) and part.answered)


def replacement_mistake(text: str) -> str:
    """What is wrong with a rule's replacement text, in plain words; empty where nothing is."""
    try:
        for _, name, form, conversion in Formatter().parse(text):
            if name is not None and (name not in ("found", "label") or form or conversion):
                return f"there is no field {{{name}}}"
    except ValueError:
        return "a brace stands alone"
    return ""
