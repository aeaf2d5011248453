"""Safety and observability for calls to vision-language models.

from guardrail import guard

@guard(policy="strict")
def describe(prompt: str, image: bytes) -> str: ...

The way of a call through the package:

guard.py, calls.py    in: a guarded function, or content to be screened
reading/              arguments and answers -> content.py
flow/                 screened, asked, checked: the order of it in flow/order.py
  detector.py         what a check is; registry.py finds them by name
  image.py, pdf/      pictures and files, opened safely; image_bytes.py
policy/               what follows from what is found -> verdict.py
edit.py, harden.py    what is changed before it goes on; reencode.py, jsontext.py
structure/            typed answers
record.py             out: what is told of the call; telemetry.py, rates.py
hosting.py            the same flow for servers; testing.py: for your own tests
cli/                  the commands; evaluate/, redteam/, canaries/
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
from guardrail.harden import canary
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
