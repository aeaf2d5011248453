"""A real local model asked for answers of the ten schemas: free, asked again, and held."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guardrail.errors import Blocked
from guardrail.evaluate.schemas import SCHEMAS
from guardrail.guard import Guard
from guardrail.structure import shape_of
from guardrail.testing import CapturedRecords, policy_of

ENDS = ("at_once", "mended", "again", "never", "held")
_TOKENS = 300
_AGAIN = 2


def asked(folder: Path, samples: int) -> Iterator[tuple[str, Counter[str]]]:
    """For each schema, how its answers came to fit: at once, mended, asked again, never (free,
    asked again at most twice), and how many of as many fit when held to the schema."""
    import torch

    from guardrail_detectors.torchvision import mend

    mend()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from guardrail_integrations.transformers import constrained

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def answer(prompt: str, **arguments: Any) -> str:
        chat = [{"role": "user", "content": prompt}]
        inputs = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            tokens = model.generate(
                **inputs, do_sample=True, temperature=0.7, max_new_tokens=_TOKENS, **arguments
            )
        begin = inputs["input_ids"].shape[1]
        return str(tokenizer.decode(tokens[0, begin:], skip_special_tokens=True))

    for name, schema in SCHEMAS.items():
        prompt = f"Make up an example of {name} as JSON. Its JSON Schema:\n{json.dumps(schema)}"
        records = CapturedRecords()
        guarded = Guard(policy_of(), sinks=[records])(answer, output=schema, ask_again=_AGAIN)
        counts: Counter[str] = Counter()
        for _ in range(samples):
            try:
                guarded(prompt)
            except Blocked:
                counts["never"] += 1
            else:
                counts[_how(records)] += 1
            text = answer(prompt, **constrained(schema, model, tokenizer))
            counts["held"] += shape_of(schema).read(text, mend=False).fits
        yield name, counts


def _how(records: CapturedRecords) -> str:
    if len(records.last.asks) > 1:
        return "again"
    below = [f.label for r in records.last.stages[-1].verdict.rules for f in r.below]
    return "mended" if "mended" in below else "at_once"
