"""Policy files to policies. Every mistake is found, with its line and what would be right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from guardrail.content import Limits
from guardrail.detector import Detector, Extractor, Spec
from guardrail.errors import Mistake, PolicyError
from guardrail.harden import Trust
from guardrail.policy import (
    ANY_LABEL,
    LIMITS_RULE,
    Alert,
    Mode,
    OnError,
    Policy,
    PolicyTest,
    Proxying,
    Rule,
    Scope,
    Timeouts,
    Unscreenable,
    replacement_mistake,
)
from guardrail.policy.document import Document, Path, parse
from guardrail.policy.format import OnErrorEntry, PolicyFile, ReencodeEntry, RuleEntry, TrustEntry
from guardrail.policy.wording import did_you_mean, in_words, place_in
from guardrail.reencode import Reencode
from guardrail.registry import Kind, Registry, UnknownPlugin
from guardrail.verdict import Action

PATHS = ("file", "calibration")  # arguments that are paths, relative to the policy's folder
SHIPPED = ("default", "strict", "monitor")

Levels = tuple[tuple[Action, float], ...]
M = TypeVar("M", bound=BaseModel)


def policies_folder() -> FilePath:
    """The folder of the shipped policies, in an installed package or in a checkout."""
    packaged = FilePath(str(files("guardrail") / "policies"))
    return packaged if packaged.is_dir() else FilePath(__file__).parents[2] / "policies"


def load_policy(
    source: str | FilePath | Mapping[str, Any], *, registry: Registry | None = None
) -> Policy:
    """Load a shipped policy by name, a policy file, or a mapping of the same shape.

    Raises PolicyError with all mistakes. No model is loaded.
    """
    if isinstance(source, Mapping):
        text, file, folder = json.dumps(source, default=str), "policy", FilePath()
        path = None
    else:
        path = FilePath(source)
        if str(source) in SHIPPED:
            path = policies_folder() / f"{source}.yaml"
        file, folder = str(path), path.parent
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            hint = f"shipped policies: {', '.join(SHIPPED)}"
            raise PolicyError([Mistake(file, 1, "", f"{error.strerror}", hint)]) from None
        except UnicodeDecodeError:
            raise PolicyError([Mistake(file, 1, "", "not text in UTF-8")]) from None
    document = parse(text, file)
    policy = _Build(document, registry or Registry(), folder).policy()
    digest = hashlib.sha256(text.encode()).hexdigest()
    return replace(policy, file=None if path is None else file, digest=digest)


@dataclass
class _Build:
    """Builds a policy from a document and collects mistakes on the way."""

    document: Document
    registry: Registry
    folder: FilePath

    def __post_init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def policy(self) -> Policy:
        entry = self._validated(PolicyFile, self.document.data, ())
        if entry is None:
            self._look_at_sound_rules()
            raise PolicyError(sorted(self.mistakes, key=lambda mistake: mistake.line))
        extractors, extractor_arguments = self._extractors(entry.extract)
        rules = [self._rule(i, rule, bool(extractors)) for i, rule in enumerate(entry.rules)]
        self._unique_ids(entry)
        tests = [self._test(i, entry) for i in range(len(entry.tests))]
        policy = self._assembled(entry, [rule for rule in rules if rule is not None])
        for rule in policy.changing() if entry.overlap else ():
            self._add(
                ("overlap",),
                f"the rule {rule.id!r} may change what is asked, so it has to run before",
                "leave out overlap, or the rule's redact and replace on input, system and tool",
            )
        if entry.overlap and entry.trust is not None:
            self._add(("overlap",), "trust changes what is asked", "leave out overlap or trust")
        if entry.overlap and entry.reencode:
            self._add(
                ("overlap",), "reencode changes what is asked", "leave out overlap or reencode"
            )
        if self.mistakes:
            raise PolicyError(sorted(self.mistakes, key=lambda mistake: mistake.line))
        return replace(
            policy,
            overlap=entry.overlap,
            trust=_trust(entry.trust),
            reencode=_reencode(entry.reencode),
            extractors=tuple(extractors),
            extractor_arguments=extractor_arguments,
            tests=tuple(tests),
        )

    def _assembled(self, entry: PolicyFile, rules: Sequence[Rule]) -> Policy:
        return Policy(
            id=entry.policy.id,
            version=entry.policy.version,
            owner=entry.policy.owner,
            mode=Mode(entry.mode),
            on_error=_on_error(entry.on_error) or OnError(),
            timeouts=Timeouts(entry.timeout_ms.text, entry.timeout_ms.image),
            scope=Scope(*(tuple(names) for names in vars(entry.scope).values())),
            limits=Limits(**entry.limits.model_dump()),
            unscreenable=Unscreenable(**entry.unscreenable.model_dump()),
            proxy=Proxying(**entry.proxy.model_dump()),
            rules=tuple(rules),
        )

    def _look_at_sound_rules(self) -> None:
        """The file's form is wrong somewhere: say what else is wrong in rules of right form."""
        data = self.document.data
        rules = data.get("rules") if isinstance(data, dict) else None
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            try:
                entry = RuleEntry.model_validate(rule)
            except ValidationError:
                continue
            self._rule(index, entry, reads_pictures=True)

    def _add(self, path: Path, message: str, hint: str = "") -> None:
        self.mistakes.append(self.document.mistake(path, message, hint))

    def _validated(self, model: type[M], data: Any, path: Path) -> M | None:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            problems: dict[Path, Any] = {}
            for problem in error.errors(include_url=False):
                problems.setdefault((*path, *place_in(data, problem["loc"])), problem)
            for place, problem in problems.items():
                inner = any(len(p) > len(place) and p[: len(place)] == place for p in problems)
                if not inner or problem["type"] == "missing":
                    self._add(place, *in_words(problem, model))
            return None

    def _extractors(
        self, entries: Mapping[str, Mapping[str, Any] | None]
    ) -> tuple[list[Extractor], dict[str, Mapping[str, Any]]]:
        made: list[Extractor] = []
        arguments: dict[str, Mapping[str, Any]] = {}
        for name, given in entries.items():
            extractor = self._plugin("extractor", name, given or {}, ("extract", name))
            if extractor is not None:
                made.append(extractor)
                arguments[name] = dict(given or {})
        return made, arguments

    def _plugin(self, kind: Kind, name: str, arguments: Mapping[str, Any], path: Path) -> Any:
        known = self.registry.names(kind)
        try:
            model = self.registry.arguments(kind, name)
        except UnknownPlugin:
            what = "check" if kind == "detector" else kind
            self._add(path, f"there is no {what} {name!r}", did_you_mean(name, known))
            return None
        except Exception as error:
            self._add(path, f"{name!r} cannot be imported ({type(error).__name__})")
            return None
        if self._validated(model, dict(arguments), path) is None:
            return None
        resolved = {
            key: str(self.folder / value) if key in PATHS and isinstance(value, str) else value
            for key, value in arguments.items()
        }
        build = self.registry.detector if kind == "detector" else self.registry.extractor
        try:
            return build(name, resolved)
        except ValueError as error:
            said = str(error)
            argument = said.split(":")[0].split(".")[0]
            self._add((*path, argument) if argument in arguments else path, said)
            return None

    def _rule(self, index: int, entry: RuleEntry, reads_pictures: bool) -> Rule | None:
        path: Path = ("rules", index)
        known = len(self.mistakes)
        use, arguments = entry.check.use, entry.check.arguments
        detector: Detector | None = self._plugin("detector", use, arguments, (*path, "check"))
        if detector is None:
            return None
        spec = detector.spec
        self._scopes(entry, spec, path, reads_pictures)
        judges = any(where.startswith("output") for where in entry.when)
        if spec.reads_beside and judges and not reads_pictures:
            self._add(
                (*path, "check"),
                f"{spec.name} compares with the text in pictures, and nothing reads it here",
                "add `extract: {ocr: {}}` to the policy, or `read: false` to the check",
            )
        levels = self._levels(entry, spec, path)
        self._text(entry, path)
        if entry.ask_again and not all(where.startswith("output") for where in entry.when):
            self._add(
                (*path, "ask_again"),
                "only an answer can be asked for again",
                "make a rule of its own for `when: output`",
            )
        if entry.id == LIMITS_RULE:
            self._add((*path, "id"), f"{LIMITS_RULE!r} is the name of a built-in rule")
        if len(self.mistakes) > known:
            return None
        return Rule(
            id=entry.id,
            when=frozenset(entry.when),
            detector=detector,
            arguments=arguments,
            levels=levels,
            severity=entry.severity,
            message=entry.message,
            replacement=entry.text,
            mode=Mode(entry.mode),
            on_error=_on_error(entry.on_error),
            timeout_ms=entry.timeout_ms,
            ask_again=entry.ask_again,
            alert=_alert(entry, spec),
            line=self.document.line(path),
        )

    def _text(self, entry: RuleEntry, path: Path) -> None:
        if entry.text is None:
            return
        if not _uses(entry, "replace"):
            self._add((*path, "text"), "text is only used by the action replace")
        mistake = replacement_mistake(entry.text)
        if mistake:
            hint = "there are {found} and {label}; a brace as such is written twice"
            self._add((*path, "text"), mistake, hint)

    def _scopes(self, entry: RuleEntry, spec: Spec, path: Path, reads_pictures: bool) -> None:
        for number, where in enumerate(entry.when):
            place = (*path, "when", number)
            only_text, only_image = where.endswith(".text"), where.endswith(".image")
            if only_text and "text" not in spec.reads:
                self._add(place, f"{spec.name} reads pictures only", f"try {where[:-5]}.image")
            if only_image and "image" not in spec.reads and not reads_pictures:
                self._add(
                    place,
                    f"{spec.name} reads text, and nothing reads text out of pictures here",
                    "add `extract: {ocr: {}}` to the policy",
                )

    def _levels(self, entry: RuleEntry, spec: Spec, path: Path) -> dict[str, Levels]:
        if entry.categories is not None:
            if entry.threshold is not None or entry.action is not None:
                self._add(
                    path,
                    "categories stand beside action or threshold",
                    "give either categories, or action and threshold for all of them",
                )
            for label in entry.categories:
                if label not in spec.labels:
                    place = (*path, "categories", label)
                    hint = did_you_mean(label, spec.labels)
                    self._add(place, f"{spec.name} has no category {label!r}", hint)
            return {
                label: self._steps(given, _default(spec, label), (*path, "categories", label))
                for label, given in entry.categories.items()
            }
        if isinstance(entry.threshold, dict):
            if entry.action is not None:
                self._add(
                    (*path, "action"),
                    "action stands beside thresholds that name their actions",
                    "leave out action",
                )
            return {ANY_LABEL: self._steps(entry.threshold, spec.threshold, (*path, "threshold"))}
        if entry.action is None:
            self._add(
                path,
                "this rule does not say what to do",
                "add `action: block`, `threshold: {flag: 0.5, block: 0.9}` or `categories:`",
            )
            return {}
        if entry.threshold is not None:
            return {ANY_LABEL: ((_action(entry.action), entry.threshold),)}
        levels: dict[str, Levels] = {ANY_LABEL: ((_action(entry.action), spec.threshold),)}
        for label in spec.thresholds:
            levels[label] = ((_action(entry.action), _default(spec, label)),)
        return levels

    def _steps(self, given: Mapping[Any, float] | str, default: float, path: Path) -> Levels:
        if isinstance(given, str):
            return ((_action(given), default),)
        steps = sorted((_action(name), at) for name, at in given.items())
        if not steps:
            self._add(path, "no thresholds", "as in `{flag: 0.5, block: 0.9}`")
        for (mild, low), (strict, high) in pairwise(steps):
            if mild is strict:
                self._add(path, "redact and replace are one level", "keep one of them")
            elif high < low:
                self._add(
                    path,
                    f"thresholds must rise with strictness: {strict} at {high} is below "
                    f"{mild} at {low}",
                    f"set {strict} to {low} or more",
                )
        return tuple(steps)

    def _unique_ids(self, entry: PolicyFile) -> None:
        first: dict[str, int] = {}
        for index, rule in enumerate(entry.rules):
            if rule.id in first:
                line = self.document.line(("rules", first[rule.id], "id"))
                self._add(("rules", index, "id"), f"{rule.id!r} is also the rule on line {line}")
            first.setdefault(rule.id, index)

    def _test(self, index: int, policy: PolicyFile) -> PolicyTest:
        entry, path = policy.tests[index], ("tests", index)
        images = [*([entry.image] if entry.image else []), *(entry.images or [])]
        texts = (entry.prompt, entry.output, entry.tool, entry.system)
        if not images and all(text is None for text in texts):
            self._add(path, "nothing to test", "add prompt, image, tool, system or output")
        rules = entry.expect if isinstance(entry.expect, dict) else {}
        for rule_id in rules:
            known = [LIMITS_RULE, *(rule.id for rule in policy.rules)]
            if rule_id not in known:
                place = (*path, "expect", rule_id)
                self._add(place, f"there is no rule {rule_id!r}", did_you_mean(rule_id, known))
        for image in images:
            if not (self.folder / image).is_file():
                self._add(path, f"there is no file {image}", "paths start at the policy's folder")
        return PolicyTest(
            prompt=entry.prompt,
            images=tuple(str(self.folder / image) for image in images),
            output=entry.output,
            tool=entry.tool,
            system=entry.system,
            expect=_action(entry.expect) if isinstance(entry.expect, str) else None,
            expect_rules={name: _action(action) for name, action in rules.items()},
            line=self.document.line(path),
        )


def _action(name: str) -> Action:
    return Action.REDACT if name == "replace" else Action[name.upper()]


def _on_error(entry: OnErrorEntry | None) -> OnError | None:
    return None if entry is None else OnError(_action(entry.input), _action(entry.output))


def _alert(entry: RuleEntry, spec: Spec) -> Alert | None:
    """As the rule says; by default the rules that hold an answer against its call are watched."""
    if entry.alert is not None:
        return Alert(entry.alert.rate_over, entry.alert.window) if entry.alert else None
    judges = spec.scope == "call" and all(where.startswith("output") for where in entry.when)
    return Alert() if judges else None


def _trust(entry: TrustEntry | None) -> Trust | None:
    if entry is None:
        return None
    tool, images = entry.tool == "untrusted", entry.images == "untrusted"
    return Trust(tool, images, entry.mark, entry.system_note, entry.canary)


def _reencode(entry: ReencodeEntry | bool) -> Reencode | None:
    if isinstance(entry, bool):
        return Reencode() if entry else None
    return Reencode(entry.quality, entry.scale)


def _default(spec: Spec, label: str) -> float:
    return spec.thresholds.get(label, spec.threshold)


def _uses(entry: RuleEntry, action: str) -> bool:
    given = [entry.action, entry.threshold, *(entry.categories or {}).values()]
    return any(one == action or (isinstance(one, dict) and action in one) for one in given)
