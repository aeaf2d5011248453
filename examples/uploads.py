"""Screening pictures when they are uploaded, without a model.

It prints:

    injection on a page: block, This looks like an attempt to override the assistant's instructions.
    injection in a QR code: block, This looks like an attempt to override the assistant's instructions.
    card number on a page: redact, A safety policy applies to this.
    explicit picture: block, This picture cannot be processed.
    a broken file: block, images/0: its header is damaged or cut off
"""

from guardrail import Guard
from guardrail.canaries import CANARIES

guard = Guard("strict")

for canary in CANARIES:
    if canary.file is not None and canary.beneath is None:  # a picture, and no page of a PDF
        screening = guard.screen(images=[canary.picture()])
        print(f"{canary.name}: {screening.action}, {screening.verdict.message}")

broken = guard.screen(images=[b"\x89PNG\r\n\x1a\n and then nothing"])
print(f"a broken file: {broken.action}, {broken.verdict.message}")
