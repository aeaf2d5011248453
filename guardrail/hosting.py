"""Public names for those who host guarded calls themselves, such as servers and gateways.

A host reads a call into a `Call`, makes a `Recorder(guard.plan, call)` for it, plays that with
`begin` and an `AsyncCaller` of its own, which knows the model, and hands out what is released.
"""

from guardrail.content import (
    LONGEST_FIELD,
    Call,
    Content,
    Context,
    Image,
    Part,
    Reply,
    Role,
    Text,
    Usage,
    name_of,
)
from guardrail.detector import Stage
from guardrail.flow.drivers import OPENED, AsyncCaller, aplay
from guardrail.flow.fast_path import begin
from guardrail.flow.order import Outcome, screened_only
from guardrail.flow.pools import shared_pools
from guardrail.flow.recorder import Recorder
from guardrail.flow.steps import Ended, Release, Told
from guardrail.flow.stream import Delta
from guardrail.pdf import is_pdf, of_pictures, read_pdf
from guardrail.policy import LIMITS_RULE, Mode
from guardrail.reading.streams import call_numbers
from guardrail.record import Record, StageRecord, finding_dict, record_id
from guardrail.verdict import Action, RuleResult, Status, Verdict

__all__ = [
    "LIMITS_RULE",
    "LONGEST_FIELD",
    "OPENED",
    "Action",
    "AsyncCaller",
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
    "Recorder",
    "Release",
    "Reply",
    "Role",
    "RuleResult",
    "Stage",
    "StageRecord",
    "Status",
    "Text",
    "Told",
    "Usage",
    "Verdict",
    "aplay",
    "begin",
    "call_numbers",
    "finding_dict",
    "is_pdf",
    "name_of",
    "of_pictures",
    "read_pdf",
    "record_id",
    "screened_only",
    "shared_pools",
]
