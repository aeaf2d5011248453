"""Policies: what they say, how they are read from files, and what they decide.

model.py      Policy and Rule
decision.py   what the checks found -> a Verdict; pure
load.py       a file -> a Policy, or all of its mistakes; the rest serves this
document.py   YAML with the line of everything in it
format.py     the form of a policy file; schema.py: its JSON Schema
wording.py    mistakes in plain words
"""

from guardrail.policy.decision import NEUTRAL_MESSAGE, Failure, Observed, decide, judge
from guardrail.policy.model import (
    ANY_LABEL,
    LIMITS_RULE,
    PAGE,
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

__all__ = [
    "ANY_LABEL",
    "LIMITS_RULE",
    "NEUTRAL_MESSAGE",
    "PAGE",
    "Alert",
    "Failure",
    "Mode",
    "Observed",
    "OnError",
    "Policy",
    "PolicyTest",
    "Proxying",
    "Rule",
    "Scope",
    "Timeouts",
    "Unscreenable",
    "decide",
    "judge",
    "replacement_mistake",
]
