"""Testing your application without models: fixed findings, a scripted model, kept records.

It prints:

    a quiet answer
    sorry (block)
    sorry (block)
    3 records, 2 calls reached the model
"""

from guardrail import Action, Guard
from guardrail.testing import CapturedRecords, ScriptedModel, fixed_detector, policy_of, rule

records = CapturedRecords()
forbidden = fixed_detector({"forbidden": 0.9})
guard = Guard(policy_of(rule(forbidden, Action.BLOCK)), sinks=[records])
model = ScriptedModel(["a quiet answer", "a forbidden answer"])
ask = guard(model, on_block=lambda refusal: f"sorry ({refusal.verdict.action})")

print(ask("hello"))
print(ask("hello"))
print(ask("something forbidden"))
print(f"{len(records)} records, {len(model.asked)} calls reached the model")
