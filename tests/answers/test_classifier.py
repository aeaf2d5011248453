"""The classifier slot, with a small model that is trained here."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from guardrail import Guard, NotRun, PolicyError, Span, Stage, Text, View
from guardrail.policy.load import load_policy
from guardrail_detectors.classifier import classifier

WORDS = "the a cat dog sat on mat and we like tea idiot moron stupid".split()
RUDE = ("idiot", "moron", "stupid")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three classes that knows rude words, with its tokenizer."""
    made = tmp_path_factory.mktemp("model")
    words = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
            id2label={0: "fine", 1: "insult", 2: "threat"},
        )
    )
    rows = torch.randint(4, len(words), (256, 12))
    rows[:, 0], rows[:, -1] = 2, 3
    rows[:128, 1:-1].clamp_(max=len(words) - len(RUDE) - 1)
    rude = (rows >= len(words) - len(RUDE)).any(dim=1).long()
    steps = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(40):
        loss = model(input_ids=rows, labels=rude).loss
        steps.zero_grad()
        loss.backward()
        steps.step()
    model.save_pretrained(made)
    fast.save_pretrained(made)
    return made


def run(text: str, folder: Path, **arguments: object) -> dict[str, list[tuple[float, str]]]:
    check = classifier(model=str(folder), **arguments)  # type: ignore[arg-type]
    found: dict[str, list[tuple[float, str]]] = {}
    for finding in check.run(View(Stage.OUTPUT, (Text(text, name="output"),))):
        assert isinstance(finding.where, Span)
        piece = text[finding.where.start : finding.where.end]
        found.setdefault(finding.label, []).append((finding.score, piece))
    return found


LABELS = {"insult": "toxic", "threat": "toxic"}


def test_rude_and_polite_texts_are_told_apart(folder: Path) -> None:
    ((score, piece),) = run("we like the idiot and tea", folder, labels=LABELS)["toxic"]
    assert score > 0.9
    assert piece == "we like the idiot and tea"
    assert (
        max(s for s, _ in run("we like tea", folder, labels=LABELS).get("toxic", [(0, "")])) < 0.5
    )


def test_classes_of_one_category_are_added_up(folder: Path) -> None:
    text = "the stupid cat"
    everything = {"fine": "any", "insult": "any", "threat": "any"}
    assert run(text, folder, labels=everything)["any"][0][0] == pytest.approx(1.0, abs=1e-5)
    apart = run(text, folder, labels=everything, multi_label=True)["any"][0][0]
    assert apart < 1.0


@pytest.mark.parametrize("place", [0, 100, 299])
def test_a_word_anywhere_in_a_long_text_is_found(folder: Path, place: int) -> None:
    words = ["tea"] * 300
    words[place] = "moron"
    found = run(" ".join(words), folder, labels=LABELS, window=32, overlap=8)["toxic"]
    over = [piece for score, piece in found if score >= 0.5]
    assert over
    assert all("moron" in piece for piece in over)


def test_every_character_is_looked_at(folder: Path) -> None:
    text = " ".join(WORDS * 20)
    check = classifier(
        model=str(folder), labels={"fine": "f", "insult": "f", "threat": "f"}, window=16, overlap=4
    )
    spans = [f.where for f in check.run(View(Stage.OUTPUT, (Text(text),))) if f.where]
    assert spans[0].start == 0
    assert max(span.end for span in spans) == len(text)
    for one, other in pairwise(spans):
        assert other.start <= one.end + 1


def test_empty_text_has_no_findings(folder: Path) -> None:
    assert run("  \n", folder, labels=LABELS) == {}


def test_a_policy_uses_it(folder: Path) -> None:
    rule = {
        "id": "rude",
        "when": "output",
        "check": {"use": "classifier", "model": str(folder), "labels": LABELS},
        "categories": {"toxic": {"flag": 0.3, "block": 0.7}},
    }
    policy = {"apiVersion": "guardrail/v1", "policy": {"id": "p"}, "rules": [rule]}
    guard = Guard(policy)
    assert str(guard.check("the cat is a moron").action) == "block"
    assert str(guard.check("we like tea").action) == "allow"
    rule["categories"] = {"rude": "block"}
    with pytest.raises(PolicyError, match="rude"):
        load_policy(policy)


@pytest.mark.parametrize(
    ("labels", "words"), [({"joy": "toxic"}, "has no class 'joy'"), (LABELS, "cannot be loaded")]
)
def test_what_cannot_run_says_so(folder: Path, labels: dict[str, str], words: str) -> None:
    name = str(folder) if "joy" in labels else str(folder / "missing")
    with pytest.raises(NotRun, match=words):
        classifier(model=name, labels=labels).warm()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"labels": {}}, "labels"), ({"window": 4}, "window"), ({"overlap": 200}, "overlap")],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        classifier(**({"model": "x", "labels": LABELS} | arguments))  # type: ignore[arg-type]
