"""The form of a policy file, version 1: one definition for reading it and for its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from guardrail.content import Limits
from guardrail.harden import Mark
from guardrail.policy.model import MOST_ASKED
from guardrail.reencode import Reencode

ActionName = Literal["allow", "flag", "redact", "review", "block"]
ErrorAction = Literal["allow", "flag", "review", "block"]
RuleAction = Literal["flag", "redact", "replace", "review", "block"]
ModeName = Literal["off", "shadow", "enforce"]
UnscreenableAction = Literal["block", "flag", "pass"]
Where = Literal[
    "input",
    "input.text",
    "input.image",
    "system",
    "system.text",
    "system.image",
    "tool",
    "tool.text",
    "tool.image",
    "output",
    "output.text",
    "output.image",
]
Threshold = Annotated[float, Field(ge=0, le=1)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]
Millis = Annotated[int, Field(ge=1, le=600_000)]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _named(key: str, *others: str) -> BeforeValidator:
    """A bare value stands for the same value under every key."""

    def spread(value: Any) -> Any:
        return value if isinstance(value, dict) else dict.fromkeys((key, *others), value)

    return BeforeValidator(spread)


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class About(_Entry):
    """Which policy this is."""

    id: Identifier
    version: Annotated[
        str, BeforeValidator(_as_text), WithJsonSchema({"type": ["string", "number"]})
    ] = "1"
    owner: str | None = None
    description: str | None = None


class OnErrorEntry(_Entry):
    """What follows where a check could not run."""

    input: ErrorAction = "block"
    output: ErrorAction = "block"


class TimeoutEntry(_Entry):
    """How long one check may take, in milliseconds."""

    text: Millis = 2_000
    image: Millis = 15_000


class ScopeEntry(_Entry):
    """Which calls the policy covers; shell patterns. Nothing given means all."""

    routes: list[str] = []
    tenants: list[str] = []
    models: list[str] = []


class LimitsEntry(_Entry):
    """Bounds on what a call may hold."""

    max_images: Annotated[int, Field(ge=0)] = Limits.max_images
    max_image_mb: Annotated[float, Field(gt=0)] = Limits.max_image_mb
    max_image_mpx: Annotated[float, Field(gt=0, le=175)] = Limits.max_image_mpx
    max_frames: Annotated[int, Field(ge=1, le=1000)] = Limits.max_frames
    max_visual_tokens: Annotated[int, Field(ge=1)] | None = None
    max_text_chars: Annotated[int, Field(ge=1)] = Limits.max_text_chars
    max_texts: Annotated[int, Field(ge=1)] = Limits.max_texts


class UnscreenableEntry(_Entry):
    """What follows for parts of a call that no check can look at, by their kind."""

    audio: UnscreenableAction = "block"
    video: UnscreenableAction = "block"
    file: UnscreenableAction = "block"
    tokens: UnscreenableAction = "block"
    other: UnscreenableAction = "block"


class ProxyEntry(_Entry):
    """How the proxy treats what is no guarded call, and what it tells its clients."""

    other_paths: Literal["pass", "refuse"] = "pass"
    malformed: Literal["pass", "refuse"] = "refuse"
    addresses: Literal["fetch", "refuse"] = "fetch"
    file_ids: Literal["resolve", "refuse"] = "resolve"
    verdict_headers: bool = True
    retry_unavailable: bool = False
    stream_usage: bool = False


class CheckEntry(BaseModel):
    """Which detector looks, with its arguments beside `use`."""

    model_config = ConfigDict(extra="allow", strict=True)

    use: str

    @property
    def arguments(self) -> dict[str, Any]:
        """What stands beside `use`."""
        return dict(self.model_extra or {})


class TrustEntry(_Entry):
    """What the model is told not to obey, and how untrusted text is marked."""

    tool: Literal["trusted", "untrusted"] = "untrusted"
    images: Literal["trusted", "untrusted"] = "untrusted"
    mark: Mark = "delimit"
    system_note: bool = True
    canary: bool = False


class ReencodeEntry(_Entry):
    """How pictures are encoded anew before the model sees them."""

    quality: Annotated[int, Field(ge=30, le=95)] = Reencode.quality
    scale: Annotated[float, Field(ge=0.5, le=1)] = Reencode.scale


Levels = dict[RuleAction, Threshold]
LevelsOrAction = Annotated[
    Levels | RuleAction,
    Field(description="Thresholds by action, or one action at the detector's default threshold."),
]
OnErrorForm = Annotated[
    OnErrorEntry,
    _named("input", "output"),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["allow", "flag", "review", "block"]},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        stage: {"enum": ["allow", "flag", "review", "block"]}
                        for stage in ("input", "output")
                    },
                },
            ]
        }
    ),
]
TimeoutForm = Annotated[
    TimeoutEntry,
    _named("text", "image"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 600_000},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        kind: {"type": "integer", "minimum": 1, "maximum": 600_000}
                        for kind in ("text", "image")
                    },
                },
            ]
        }
    ),
]


class AlertEntry(_Entry):
    """When a rule hits too often to be chance: a share of its last results."""

    rate_over: Threshold = 0.05
    window: Annotated[int, Field(ge=10, le=100_000)] = 200


class RuleEntry(_Entry):
    """One rule: what looks where, and what follows."""

    id: Identifier
    when: Annotated[
        list[Where],
        BeforeValidator(_one_or_many),
        Field(min_length=1),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": list(Where.__args__)},
                    {"type": "array", "minItems": 1, "items": {"enum": list(Where.__args__)}},
                ]
            }
        ),
    ]
    check: Annotated[CheckEntry, _named("use")]
    categories: dict[str, LevelsOrAction] | None = None
    threshold: Levels | Threshold | None = None
    action: RuleAction | None = None
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    message: Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\n]*$")] | None = None
    text: Annotated[str, Field(max_length=300)] | None = None
    ask_again: Annotated[int, Field(ge=0, le=MOST_ASKED)] = 0
    alert: AlertEntry | Literal[False] | None = None
    mode: ModeName = "enforce"
    on_error: OnErrorForm | None = None
    timeout_ms: Millis | None = None
    description: str | None = None


class TestEntry(_Entry):
    """An input, and what the policy must make of it."""

    prompt: str | None = None
    image: str | None = None
    images: list[str] | None = None
    output: str | None = None
    tool: str | None = None
    system: str | None = None
    expect: ActionName | dict[str, ActionName]
    description: str | None = None


class PolicyFile(_Entry):
    """A guardrail policy."""

    apiVersion: Literal["guardrail/v1"]  # noqa: N815
    policy: About
    mode: ModeName = "enforce"
    on_error: OnErrorForm = OnErrorEntry()
    timeout_ms: TimeoutForm = TimeoutEntry()
    scope: ScopeEntry = ScopeEntry()
    limits: LimitsEntry = LimitsEntry()
    overlap: bool = False
    trust: TrustEntry | None = None
    reencode: bool | ReencodeEntry = False
    unscreenable: UnscreenableEntry = UnscreenableEntry()
    proxy: ProxyEntry = ProxyEntry()
    extract: dict[str, dict[str, Any] | None] = {
        name: {} for name in ("ocr", "hidden", "scaled", "alpha", "thumbnail", "metadata", "qr")
    }
    rules: list[RuleEntry]
    tests: list[TestEntry] = []
    changelog: str | list[str] | None = None
