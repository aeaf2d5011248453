"""Safety and observability for calls to vision-language models.

from guardrail import guard

@guard(policy="strict")
def describe(prompt: str, image: bytes) -> str: ...
"""

from guardrail.calls import Refusal
from guardrail.content import Box, Call, Content, Context, Image, Limits, Region, Text, Usage
from guardrail.detector import Detector, Extractor, Ignored, Spec, Stage, View
from guardrail.errors import (
    Blocked,
    ContentError,
    GuardrailError,
    MissingExtra,
    NotRun,
    PictureError,
    PolicyError,
    ReviewRequired,
    SchemaError,
)
from guardrail.guard import Guard, Screening, guard
from guardrail.marks import canary
from guardrail.policy import Policy, Rule
from guardrail.record import JsonLinesSink, Record, Sink
from guardrail.verdict import Action, Area, Finding, RuleResult, Span, Status, Verdict

__all__ = [
    "Action",
    "Area",
    "Blocked",
    "Box",
    "Call",
    "Content",
    "ContentError",
    "Context",
    "Detector",
    "Extractor",
    "Finding",
    "Guard",
    "GuardrailError",
    "Ignored",
    "Image",
    "JsonLinesSink",
    "Limits",
    "MissingExtra",
    "NotRun",
    "PictureError",
    "Policy",
    "PolicyError",
    "Record",
    "Refusal",
    "Region",
    "ReviewRequired",
    "Rule",
    "RuleResult",
    "SchemaError",
    "Screening",
    "Sink",
    "Span",
    "Spec",
    "Stage",
    "Status",
    "Text",
    "Usage",
    "Verdict",
    "View",
    "canary",
    "guard",
]
