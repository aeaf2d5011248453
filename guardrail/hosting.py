"""Public names for those who host guarded calls themselves, such as servers and gateways.

A host reads a call into a `Call`, opens a `Book(guard.plan, call)` for it, plays that with `begin`
and an `AsyncCaller` of its own, which knows the model, and hands out what is released.
"""

from guardrail.book import Book
from guardrail.content import Call, Content, Context, Image, Part, Reply, Role, Text, Usage
from guardrail.detector import Stage
from guardrail.drive import OPENED, AsyncCaller, aplay
from guardrail.flow import Outcome, screened_only
from guardrail.ids import record_id
from guardrail.pdf import is_pdf, of_pictures, read_pdf
from guardrail.policy import LIMITS_RULE, Mode
from guardrail.record import Record, StageRecord, finding_dict
from guardrail.short import begin
from guardrail.steps import Ended, Release
from guardrail.stream import Delta
from guardrail.verdict import Action, RuleResult, Status, Verdict

__all__ = [
    "LIMITS_RULE",
    "OPENED",
    "Action",
    "AsyncCaller",
    "Book",
    "Call",
    "Content",
    "Context",
    "Delta",
    "Ended",
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
    "begin",
    "finding_dict",
    "is_pdf",
    "of_pictures",
    "read_pdf",
    "record_id",
    "screened_only",
]
