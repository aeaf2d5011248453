"""Models and vocabularies to measure constrained decoding with, made on the spot."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VOCABULARY = 49_152  # of SmolLM2, and about that of many small models


def trained_tokenizer(size: int = VOCABULARY, *, files: int | None = None) -> Any:
    """A byte-level BPE tokenizer of at most `size` tokens, trained on Python's own standard
    library (all its files, or so many)."""
    from guardrail_detectors.torchvision import mend

    mend()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=1,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library = Path(os.__file__).parent
    found = [*sorted(library.glob("*.py")), *sorted(library.glob("*/*.py"))][:files]
    made.train([str(path) for path in found if _is_text(path)], trainer)
    ends = dict.fromkeys(("eos_token", "pad_token"), "<end>")
    return PreTrainedTokenizerFast(tokenizer_object=made, **ends)


def _is_text(path: Path) -> bool:
    try:
        path.read_text("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def random_model(vocabulary: int, *, hidden: int = 64, layers: int = 2, heads: int = 2) -> Any:
    """A Llama of random weights. With hidden=576, layers=30, heads=9 its cost for a token is that
    of SmolLM2-135M."""
    import torch

    from guardrail_detectors.torchvision import mend

    mend()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 3 if heads % 3 == 0 else heads,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


@dataclass
class Samples:
    """What became of sampled answers of one schema."""

    fitting: int = 0
    finished: int = 0
    unfinished: int = 0
    tokens: int = 0
    mask_ms: list[float] = field(
        default_factory=list
    )  # CPU time for one token, computed and applied
    wrong: list[str] = field(default_factory=list)


def sample(
    model: Any, tokenizer: Any, output: Any, *, count: int, tokens: int = 600, levels: int = 2
) -> Samples:
    """Sample answers until `count` of them are finished, each checked against the schema."""
    import torch

    from guardrail.structure import shape_of
    from guardrail_integrations.transformers import constrained

    shape, made = shape_of(output), Samples()
    prompt = tokenizer("Answer in JSON:", return_tensors="pt")
    begin = prompt["input_ids"].shape[1]
    while made.finished < count and made.unfinished < 5 * count:
        arguments = constrained(output, model, tokenizer, levels=levels)
        arguments["logits_processor"] = [_timed(arguments["logits_processor"][0], made.mask_ms)]
        arguments.pop("stopping_criteria")  # nothing beside: the timer sees all the work
        with torch.inference_mode():
            (drawn,) = model.generate(
                **prompt, do_sample=True, top_k=0, max_new_tokens=tokens, **arguments
            )
        written = drawn[begin:]
        made.tokens += len(written)
        if written[-1] != tokenizer.eos_token_id:
            made.unfinished += 1
            continue
        made.finished += 1
        text = tokenizer.decode(written, skip_special_tokens=True)
        reading = shape.read(text, mend=False)
        made.fitting += reading.label is None
        if reading.label is not None:
            made.wrong.append(f"{text!r}: {'; '.join(map(str, reading.problems))}")
    return made


def _timed(work: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        began = time.thread_time()
        made = work(*arguments)
        into.append((time.thread_time() - began) * 1e3)
        return made

    return timed


@dataclass(frozen=True)
class Cost:
    """Milliseconds a token: passed, and of processor time over all threads."""

    passed: float
    processor: float


def overhead(model: Any, tokenizer: Any, *, tokens: int, rounds: int) -> tuple[Cost, Cost]:
    """What a token costs in free and in constrained decoding: medians of interleaved rounds."""
    import torch

    from guardrail_integrations.transformers import constrained

    item = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}
    endless = {"type": "array", "items": item, "minItems": 1_000}
    prompt = tokenizer("Answer in JSON:", return_tensors="pt")

    def run(arguments: dict[str, Any]) -> Cost:
        passed, processor = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            model.generate(
                **prompt,
                do_sample=True,
                top_k=0,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                **arguments,
            )
        passed, processor = time.perf_counter() - passed, time.process_time() - processor
        return Cost(passed / tokens * 1e3, processor / tokens * 1e3)

    run(constrained(endless, model, tokenizer))
    free: list[Cost] = []
    held: list[Cost] = []
    for number in range(rounds):
        for constrain in (number % 2 == 0, number % 2 == 1):
            arguments = constrained(endless, model, tokenizer) if constrain else {}
            (held if constrain else free).append(run(arguments))
    return _median(free), _median(held)


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.passed for cost in costs),
        statistics.median(cost.processor for cost in costs),
    )
