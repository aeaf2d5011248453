"""What one screening has seen so far, and the checks that it has to make.

Every check is a job for the driver, with what is to be done with its result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from guardrail.content import Call, Content, Image, Part, Text
from guardrail.detector import Detector, Extractor, Ignored, Stage, View
from guardrail.flow.fast_stage import INLINE_CHARS
from guardrail.flow.locations import as_read_from, placed
from guardrail.flow.plan import Plan
from guardrail.flow.steps import Job, Result, Run, Step
from guardrail.jsontext import Unescaped, is_json, unescaped
from guardrail.policy import LIMITS_RULE, Failure, Mode, Observed, Rule, decide
from guardrail.record import CheckRun
from guardrail.verdict import Action, Finding, RuleResult, Span, Status, Verdict

MAX_REASONS = 5  # of what one extractor ignored, in the record

MANY = 128  # parts or checks, after which others have their turn
MOST_QUICK = 32  # checks of one stage that are done at once where they are quick

STOPPED = "the call had already stopped"

Found = dict[str, list[tuple[str, Finding]]]  # by the name of a part: rules and what they found
Use = tuple[Job, Callable[[Result], None]]


class Room:
    """What one screening has seen so far, rule by rule."""

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        call: Call,
        rules: Sequence[Rule] | None = None,
        asked: int | None = None,
    ) -> None:
        self.plan, self.stage, self.call, self.asked = plan, stage, call, asked
        self.rules = plan.rules if rules is None else rules
        self.findings: dict[str, list[Finding]] = {rule.id: [] for rule in self.rules}
        self.found: Found = {}
        self.failures: dict[str, list[Failure]] = {rule.id: [] for rule in self.rules}
        self.looked_at: dict[str, int] = {rule.id: 0 for rule in self.rules}
        self.meant: dict[str, Unescaped] = {}
        self.done: set[tuple[str, str]] = set()  # rule and part, once looked at to the end
        self.left_out: set[str] = set()
        self.broken: list[Failure] = []
        self.texts: list[Text] = []
        self.beside: list[Text] = []  # what extractors read in the call's own pictures
        self.pictures: dict[str, Mapping[str, Any]] = {}
        self.runs: list[CheckRun] = []
        self._quick_left = MOST_QUICK
        self._weighed, self._stops = 0, False  # how much was known when it was last decided on

    def wave(self, uses: Iterable[Use]) -> Generator[Step, Any, None]:
        """Run the jobs of a wave, so many at a time, and hand on their results."""
        coming = iter(uses)
        while batch := list(islice(coming, MANY)):
            yield from self._run(batch)

    def _run(self, uses: Sequence[Use]) -> Generator[Step, Any, None]:
        """Run each job once, and hand every result to all that wait for it."""
        jobs: dict[bytes, Job] = {}
        for job, _ in uses:
            key = job.key or id(job).to_bytes(8, "little")
            known = jobs.get(key)
            if known is None or known.timeout_s < job.timeout_s:
                jobs[key] = job
        results = dict(zip(jobs, (yield Run(tuple(jobs.values()))), strict=True))
        for key, job in jobs.items():
            self.runs.append(_check_run(job, self.stage, results[key]))
        for job, use in uses:
            use(results[job.key or id(job).to_bytes(8, "little")])

    def as_meant(self, part: Text, json: bool | None = None) -> Text:
        """JSON with its escapes resolved: nothing hides behind them from a detector."""
        if "\\" not in part.text or not (is_json(part.text) if json is None else json):
            return part
        self.meant[part.name] = plain = unescaped(part.text)
        return replace(part, text=plain.text)

    def _placed(self, finding: Finding, part: Part) -> Finding:
        where, plain = finding.where, self.meant.get(part.name)
        if plain is not None and isinstance(where, Span):
            start, end = plain.source(where.start, where.end)
            finding = replace(finding, where=Span(part.name, start, end))
        return placed(finding, part)

    def detections(self, parts: Sequence[Part], *, keep: bool = True) -> Iterator[Use]:
        """Each part under each rule that looks at it; `keep` says whether to cache the results."""
        whole = self.rules is self.plan.rules
        for part in parts:
            for rule in self.plan.looking_at(part):
                if whole or rule in self.rules:
                    yield self._detection(rule, part, keep)

    def _detection(self, rule: Rule, part: Part, keep: bool) -> Use:
        spec = rule.detector.spec
        inline = spec.inline and isinstance(part, Text) and len(part.text) <= INLINE_CHARS
        identity = self.plan.identity[rule.id]
        view = View(self.stage, (part,))
        job = Job(
            name=spec.name,
            version=spec.version,
            kind="detector",
            part=part.name,
            run=partial(_detect, rule.detector, view),
            # an inline run takes no longer than looking up what it found before
            key=None if inline else self.plan.key("detector", identity, self.stage, (part,)),
            timeout_s=self.plan.policy.timeout_s(rule, part),
            inline=inline,
            picture=isinstance(part, Image),
            keep=keep,
            model=spec.model,
            load=self.plan.loading[id(rule.detector)],
            quick=self._quick(rule, view),
        )
        return job, partial(self._detected, rule, part)

    def _quick(self, rule: Rule, view: View) -> Callable[[], tuple[Finding, ...] | None] | None:
        """What a detector finds at once, where it offers that and has loaded what it needs."""
        quick = rule.detector.quick
        if quick is None or not self._quick_left or not self.plan.loading[id(rule.detector)].done:
            return None
        self._quick_left -= 1
        return partial(_looked, quick, view)

    def _detected(self, rule: Rule, part: Part, result: Result) -> None:
        self.looked_at[rule.id] += 1
        self.done.add((rule.id, part.name))
        if result.failure is not None:
            self.failures[rule.id].append(result.failure)
            return
        found = [self._placed(finding, part) for finding in result.value]
        self.findings[rule.id] += found
        if found:
            of_part = self.found.setdefault(part.name.partition("#")[0], [])
            of_part += [(rule.id, finding) for finding in found]

    def whole_call(self, parts: Sequence[Part], *, keep: bool = True) -> list[Use]:
        """The detectors that look at all parts together, with the rest of the call beside."""
        uses: list[Use] = []
        for rule in self.rules:
            spec = rule.detector.spec
            if spec.scope != "call":
                continue
            seen = tuple(part for part in parts if rule.sees(part))
            if not seen:
                continue
            call = self.call
            if spec.reads_beside:
                call = replace(call, content=Content((*call.content.parts, *self.beside)))
            everything = (*seen, *call.content.parts)
            names = [self.plan.digester.of(part.name) for part in everything]
            identity = b"".join([self.plan.identity[rule.id], *names])
            view = View(self.stage, seen, call)
            pictures = call.content.images if "image" in spec.reads else ()
            job = Job(
                name=spec.name,
                version=spec.version,
                kind="detector",
                part="*",
                run=partial(_detect, rule.detector, view),
                key=self.plan.key("detector", identity, self.stage, everything),
                timeout_s=max(self.plan.policy.timeout_s(rule, p) for p in (*seen, *pictures)),
                picture=bool(pictures),
                keep=keep,
                model=spec.model,
                load=self.plan.loading[id(rule.detector)],
                quick=self._quick(rule, view),
            )
            uses.append((job, partial(self._detected_together, rule, seen)))
        return uses

    def _detected_together(self, rule: Rule, parts: Sequence[Part], result: Result) -> None:
        self.looked_at[rule.id] += len(parts)
        if result.failure is not None:
            self.failures[rule.id].append(result.failure)
            return
        by_name = {part.name: part for part in parts}
        for finding in result.value:
            part = by_name.get(finding.where.part) if finding.where else None
            self.findings[rule.id].append(self._placed(finding, part) if part else finding)

    def opening(self, image: Image) -> Use:
        """Open a picture once, whatever the rules are: a broken one is never passed on unseen."""
        job = Job(
            name="picture",
            version="2",
            kind="picture",
            part=image.name,
            run=partial(_open, image),
            key=self.plan.key("picture", b"", self.stage, (image,)),
            timeout_s=self.plan.policy.timeouts.image / 1000,
            picture=True,
        )
        return job, partial(self._opened, image)

    def _opened(self, image: Image, result: Result) -> None:
        if result.failure is None:
            self.pictures[image.name] = result.value
            return
        self.broken.append(result.failure)
        for rule in self.rules:
            if rule.sees(image) or rule.reads_pictures_of(image):
                self.failures[rule.id].append(result.failure)

    def weigh_parts(self, content: Content) -> None:
        """Hold the parts together against the policy's limits."""
        limits, broken = self.plan.policy.limits, self.broken
        count = chars = 0
        for part in content.parts:
            if isinstance(part, Text):
                chars += len(part.text)
            else:
                count += 1
        if count > limits.max_images:
            broken.append(_over("images", f"{count} pictures", limits.max_images, "max_images"))
        if chars > limits.max_text_chars:
            broken.append(
                _over("text", f"{chars} characters", limits.max_text_chars, "max_text_chars")
            )
        texts = len(content.parts) - count
        if texts > limits.max_texts:
            broken.append(_over("text", f"{texts} texts", limits.max_texts, "max_texts"))

    def weigh_pictures(self, images: Sequence[Image]) -> None:
        """Hold the pictures together against the policy's visual-token budget."""
        budget = self.plan.policy.limits.max_visual_tokens
        spent = sum(
            self.pictures[i.name]["visual_tokens"] for i in images if i.name in self.pictures
        )
        if budget is not None and spent > budget:
            self.broken.append(
                _over("images", f"{spent} visual tokens", budget, "max_visual_tokens")
            )

    def extractions(self, image: Image) -> list[Use]:
        """The extractors, if any rule wants to read this picture."""
        rules = [rule for rule in self.rules if rule.reads_pictures_of(image)]
        extractors = self.plan.policy.extractors if rules else ()
        return [
            (self._extraction(extractor, image), partial(self._extracted, image, rules))
            for extractor in extractors
        ]

    def extractions_beside(self, parts: Sequence[Part]) -> list[Use]:
        """The extractors on the call's pictures, for checks of the answer that compare with them.

        The input's screening has read them in most calls, and the cache answers.
        """
        rules = [
            rule
            for rule in self.rules
            if rule.detector.spec.reads_beside and any(rule.sees(part) for part in parts)
        ]
        images = self.call.content.images if rules and self.stage is Stage.OUTPUT else ()
        return [
            (self._extraction(extractor, image), partial(self._read_beside, image, rules))
            for image in images
            for extractor in self.plan.policy.extractors
        ]

    def _extraction(self, extractor: Extractor, image: Image) -> Job:
        spec = extractor.spec
        identity = self.plan.extractor_identity[spec.name]
        return Job(
            name=spec.name,
            version=spec.version,
            kind="extractor",
            part=image.name,
            run=partial(_extract, extractor, image),
            key=self.plan.key("extractor", identity, Stage.INPUT, (image,)),
            timeout_s=self.plan.policy.timeouts.image / 1000,
            picture=True,
            model=spec.model,
            load=self.plan.loading[id(extractor)],
        )

    def _read_beside(self, image: Image, rules: Sequence[Rule], result: Result) -> None:
        if result.failure is None:
            self.beside += [as_read_from(image, text) for text in result.value]
            return
        for rule in rules:
            self.failures[rule.id].append(result.failure)

    def _extracted(self, image: Image, rules: Sequence[Rule], result: Result) -> None:
        for rule in rules:
            if result.failure is not None:
                self.failures[rule.id].append(result.failure)
                continue
            self.looked_at[rule.id] += 1
            if not any(isinstance(text, Text) for text in result.value):
                self.done.add((rule.id, _inside(image)))
        if result.failure is None:
            self.texts += [
                as_read_from(image, text) for text in result.value if isinstance(text, Text)
            ]

    def leave_out(self, parts: Sequence[Part]) -> None:
        """Mark the rules that still had something to look at when the call stopped."""
        self.left_out = {
            rule.id
            for rule in self.rules
            for part in parts
            if (rule.sees(part) and (rule.id, part.name) not in self.done)
            or (
                isinstance(part, Image)
                and rule.reads_pictures_of(part)
                and (rule.id, _inside(part)) not in self.done
            )
        }

    def stops(self) -> bool:
        """Whether what is known so far stops the call."""
        known = len(self.broken)
        for rule in self.rules:
            known += len(self.findings[rule.id]) + len(self.failures[rule.id])
        if known != self._weighed:
            self._weighed, self._stops = known, self.verdict().action.stops
        return self._stops

    def verdict(self) -> Verdict:
        """The decision on the stage."""
        policy = self.plan.policy
        observations = [
            Observed(
                rule,
                tuple(self.findings[rule.id]),
                tuple(self.failures[rule.id]),
                self.looked_at[rule.id],
                STOPPED if rule.id in self.left_out else "",
            )
            for rule in self.rules
        ]
        return decide(policy, self.stage, observations, [self._limits_result()], self.asked)

    def _limits_result(self) -> RuleResult:
        if not self.broken:
            return RuleResult(LIMITS_RULE, Status.PASSED)
        action = self.plan.policy.on_error.at(self.stage)
        enforced = self.plan.policy.mode is Mode.ENFORCE
        return RuleResult(
            LIMITS_RULE,
            self.broken[0].status,
            action=action if enforced else Action.ALLOW,
            would=action,
            reason=self.broken[0].reason,
        )


def _detect(detector: Detector, view: View) -> tuple[Finding, ...]:
    return tuple(detector.run(view))


def _looked(
    quick: Callable[[View], Sequence[Finding] | None], view: View
) -> tuple[Finding, ...] | None:
    found = quick(view)
    return None if found is None else tuple(found)


def _extract(extractor: Extractor, image: Image) -> tuple[Text | Ignored, ...]:
    return tuple(extractor.run(image))


def _open(image: Image) -> Mapping[str, Any]:
    """What the cache keeps of a picture, its sha256 with it: hashing it again takes longer."""
    picture = image.picture
    return {**picture.info(), "visual_tokens": picture.visual_tokens, "sha256": image.sha256}


def _over(part: str, measured: str, limit: float, key: str) -> Failure:
    return Failure(Status.ERROR, f"{part}: {measured}, over the limit of {limit} (limits.{key})")


def _inside(image: Image) -> str:
    """Stands for the text in a picture, which has no name before it is read."""
    return f"{image.name}#"


def _check_run(job: Job, stage: Stage, result: Result) -> CheckRun:
    best: dict[str, float] = {}
    if result.failure is None and job.kind == "detector":
        for finding in result.value:
            best[finding.label] = max(best.get(finding.label, 0.0), finding.score)
    if result.failure is not None:
        status, reason = result.failure.status, result.failure.reason
    else:
        status, reason = (Status.HIT if best else Status.PASSED), ""
        if job.kind == "extractor":
            ignored = [piece.reason for piece in result.value if isinstance(piece, Ignored)]
            reason = "; ".join(ignored[:MAX_REASONS])
    return CheckRun(
        name=job.name,
        version=job.version,
        stage=stage,
        part=job.part,
        status=status,
        started_ns=result.started_ns,
        ended_ns=result.ended_ns,
        loading_ns=result.loading_ns,
        cached=result.cached,
        model=job.model,
        reason=reason,
        kind=job.kind,
        best=tuple(best.items()),
    )
