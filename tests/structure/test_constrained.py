"""Real transformers models, of random weights, held to a declared output."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import BaseModel, Field

from guardrail import Blocked, ContentError, Guard, SchemaError
from guardrail.evaluate.asking import ENDS, asked
from guardrail.evaluate.decoding import overhead, random_model, sample, trained_tokenizer
from guardrail.evaluate.schemas import SCHEMAS
from guardrail.structure import shape_of
from guardrail.testing import policy_of
from guardrail_integrations import transformers as held
from guardrail_integrations.transformers import constrained


class Label(BaseModel):
    animal: Literal["cat", "dog", "llama"]
    count: int = Field(ge=0, le=20)
    names: list[Annotated[str, Field(max_length=8)]] = Field([], max_length=2)
    note: str | None = Field(None, max_length=10)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return trained_tokenizer(2_000, files=60)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    return random_model(len(tokenizer) + 24, hidden=16, layers=1)  # logits beyond the tokenizer


def written(tokenizer: Any, tokens: Any, begin: int) -> list[str]:
    return [tokenizer.decode(row[begin:], skip_special_tokens=True) for row in tokens]


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": True, "num_return_sequences": 4},
        {"num_beams": 3, "num_return_sequences": 3},
        {"num_beams": 2, "do_sample": True},
        {"do_sample": True, "use_cache": False},
    ],
    ids=str,
)
def test_every_way_of_decoding_gives_what_fits(
    model: Any, tokenizer: Any, options: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    prompt = tokenizer("What is it?", return_tensors="pt")
    arguments = constrained(Label, model, tokenizer)
    tokens = model.generate(**prompt, max_new_tokens=200, **options, **arguments)
    for text in written(tokenizer, tokens, prompt["input_ids"].shape[1]):
        reading = shape_of(Label).read(text, mend=False)
        assert reading.label is None, (text, reading)


def test_sequences_of_a_batch_end_each_in_its_time(model: Any, tokenizer: Any) -> None:
    torch.manual_seed(2)
    tokenizer.padding_side = "left"
    prompts = tokenizer(
        ["What?", "What is in this picture, please?"], return_tensors="pt", padding=True
    )
    arguments = constrained(Label, model, tokenizer)
    tokens = model.generate(**prompts, do_sample=True, max_new_tokens=300, **arguments)
    texts = written(tokenizer, tokens, prompts["input_ids"].shape[1])
    assert len(set(texts)) == 2
    for text in texts:
        assert shape_of(Label).read(text, mend=False).label is None, text


@pytest.mark.parametrize("name", SCHEMAS)
def test_sampled_answers_of_every_schema_fit(model: Any, tokenizer: Any, name: str) -> None:
    made = sample(model, tokenizer, SCHEMAS[name], count=2, tokens=400)
    assert made.finished == made.fitting == 2, made.wrong


def test_through_the_guard(model: Any, tokenizer: Any) -> None:
    guard = Guard(policy_of())

    @guard(output=Label, processor=tokenizer)
    def label(prompt: str, most: int) -> Any:
        inputs = tokenizer(prompt, return_tensors="pt")
        arguments = constrained(Label, model, tokenizer)
        tokens = model.generate(**inputs, do_sample=True, max_new_tokens=most, **arguments)
        answer = tokens[0, inputs["input_ids"].shape[1] :]
        return answer.tolist() if listed else answer

    listed = False
    assert isinstance(label("What is it?", 300), Label)
    listed = True
    assert isinstance(label("What is it?", 300), Label)
    with pytest.raises(Blocked) as caught:
        label("What is it?", 4)
    assert [finding.label for finding in caught.value.verdict.findings] == ["cut_off"]


def test_a_pipeline(model: Any, tokenizer: Any) -> None:
    from transformers import pipeline

    generate = pipeline("text-generation", model=model, tokenizer=tokenizer)
    guarded = Guard(policy_of())(generate, output=Label)
    value = guarded(
        "Hi",
        do_sample=True,
        max_new_tokens=300,
        return_full_text=False,
        **constrained(Label, model, tokenizer),
    )
    assert isinstance(value, Label)


def test_mistakes_are_told_before_anything_is_written(model: Any, tokenizer: Any) -> None:
    with pytest.raises(SchemaError, match="uniqueItems"):
        constrained(set[int], model, tokenizer)
    endless = random_model(40, hidden=16, layers=1)
    endless.generation_config.eos_token_id = None
    tokenizer_without = trained_tokenizer(300, files=5)
    tokenizer_without.eos_token = None
    with pytest.raises(ContentError, match="its generation_config names no eos_token_id"):
        constrained(Label, endless, tokenizer_without)


def test_tokenizers_are_prepared_once_and_let_go(model: Any) -> None:
    own = trained_tokenizer(300, files=5)
    before = len(held._tokenizers)
    constrained(Label, model, own)
    constrained(Label, model, own)
    assert len(held._tokenizers) == before + 1
    del own
    gc.collect()
    assert len(held._tokenizers) == before


def test_what_it_costs_is_measured(model: Any, tokenizer: Any) -> None:
    for cost in overhead(model, tokenizer, tokens=8, rounds=1):
        assert cost.passed > 0
        assert cost.processor > 0


@pytest.mark.slow
def test_a_model_is_asked_freely_and_held(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    rows = dict(asked(tmp_path, 1))
    assert rows.keys() == SCHEMAS.keys()
    for counts in rows.values():
        assert sum(counts[end] for end in ENDS if end != "held") == 1
    assert sum(counts["held"] for counts in rows.values()) >= 6
