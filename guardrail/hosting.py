"""Public names for those who host guarded calls themselves, such as servers and gateways.

A host reads a call into a `Call`, plays `guarded(guard.plan, call)` through `arun` with an
`AsyncCaller` of its own, which knows the model, and hands out what the flow releases.
"""

from guardrail.content import Call, Content, Context, Image, Part, Reply, Role, Text, Usage
from guardrail.detector import Stage
from guardrail.drive import OPENED, AsyncCaller, aplay, arun
from guardrail.flow import Outcome, guarded, screened_only
from guardrail.pdf import is_pdf, of_pictures, read_pdf
from guardrail.policy import LIMITS_RULE, Mode
from guardrail.record import Record, StageRecord, finding_dict
from guardrail.steps import Release
from guardrail.stream import Delta
from guardrail.verdict import Action, RuleResult, Status, Verdict

__all__ = [
    "LIMITS_RULE",
    "OPENED",
    "Action",
    "AsyncCaller",
    "Call",
    "Content",
    "Context",
    "Delta",
    "Image",
    "Mode",
    "Outcome",
    "Part",
    "Record",
    "Release",
    "Reply",
    "Role",
    "RuleResult",
    "Stage",
    "StageRecord",
    "Status",
    "Text",
    "Usage",
    "Verdict",
    "aplay",
    "arun",
    "finding_dict",
    "guarded",
    "is_pdf",
    "of_pictures",
    "read_pdf",
    "screened_only",
]
