"""Answers to measure reading with: dressed up in the ways of models, broken, and cut off."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from guardrail.structure import Progress, Shape, shape_of

DOCUMENT: Mapping[str, Any] = {
    "vendor": "Hof Café",
    "paid": True,
    "note": None,
    "items": [
        {"name": 'tea, 5" pot', "price": 2.5, "sizes": [1, 2]},
        {"name": "it's cake", "price": 4.0, "sizes": []},
    ],
    "total": 6.5,
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "vendor": {"type": "string"},
        "paid": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "price": {"type": "number", "minimum": 0},
                    "sizes": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["name", "price"],
            },
        },
        "total": {"type": "number", "minimum": 0},
    },
    "required": ["vendor", "items", "total"],
}

_TEXT = json.dumps(DOCUMENT, ensure_ascii=False)
_LINES = json.dumps(DOCUMENT, ensure_ascii=False, indent=2)

DRESSED: Mapping[str, str] = {
    "fence": f"```json\n{_LINES}\n```",
    "fence without a name": f"```\n{_TEXT}\n```",
    "fence in capitals": f"```JSON\n{_TEXT}\n```",
    "fence that never closes": f"```json\n{_LINES}",
    "a sentence before": f"Here is the invoice:\n\n{_LINES}",
    "a sentence after": f"{_LINES}\n\nLet me know if you need more.",
    "both, and a fence": f"Sure!\n\n```json\n{_LINES}\n```\n\nAnything else?",
    "a thought with braces": f"<think>A {{note}} says [sic]...</think>\n{_LINES}",
    "a thought with a draft": f"<think>{{'vendor': 'Hof'}} is not enough</think>\n{_LINES}",
    "an assignment": f"result = {_TEXT};",
    "Python": repr(dict(DOCUMENT)),
    "single quotes": _TEXT.replace('5\\" pot', "pot").replace("it's", "it").replace('"', "'"),
    "curly quotes": _TEXT.replace('"vendor"', "“vendor”").replace('"note"', "“note”"),
    "trailing comma, object": _TEXT[:-1] + ",}",
    "trailing comma, list": _TEXT.replace("[1, 2]", "[1, 2,]"),
    "trailing commas, lines": _LINES.replace("\n  }", ",\n  }").replace("]\n", "],\n", 1),
    "missing comma at a line's end": _LINES.replace('true,\n  "note"', 'true\n  "note"'),
    "comment on a line": _LINES.replace('"paid"', '// as stamped\n  "paid"'),
    "comment in stars": _LINES.replace('"total"', '/* in euros */ "total"'),
    "bare keys": _TEXT.replace('"vendor":', "vendor:").replace('"total":', "total:"),
    "Python's literals": _TEXT.replace("true", "True").replace("null", "None"),
    "a line break in a text": _TEXT.replace("Hof Café", "Hof\nCafé"),
    "byte order mark": "\ufeff" + _TEXT,
    "null for what is optional": _TEXT.replace('"paid": true', '"paid": null'),
}


def broken(count: int = 200, seed: int = 0) -> Iterator[str]:
    """Answers cut off at random places, plain and in a fence: none has all of its document."""
    rng = random.Random(seed)  # noqa: S311
    for number in range(count):
        cut = _LINES[: rng.randrange(1, len(_LINES) - 1)]
        yield cut if number % 2 else f"```json\n{cut}"


def mended() -> tuple[list[str], int]:
    """The dressings that are not read as the document, and how many cut answers are accepted."""
    shape = shape_of(SCHEMA)
    wrong = []
    for name, answer in DRESSED.items():
        want = dict(DOCUMENT)
        if name == "null for what is optional":
            want.pop("paid")
        if name == "single quotes":
            want = json.loads(json.dumps(want).replace('5\\" pot', "pot").replace("it's", "it"))
        if name == "a line break in a text":
            want["vendor"] = "Hof\nCafé"
        if shape.read(answer).data != want:
            wrong.append(name)
    return wrong, sum(shape.read(answer).fits for answer in broken())


def of_two_kilobytes() -> tuple[Shape, str]:
    """A pydantic model's shape and a valid answer of about 2 kB under it."""
    from pydantic import BaseModel, Field

    class Item(BaseModel):
        name: str = Field(max_length=60)
        price: float = Field(ge=0)
        quantity: int = 1
        note: str | None = None

    class Bill(BaseModel):
        vendor: str
        items: list[Item]
        total: float

    items = [
        {"name": f"item number {n}", "price": n + 0.5, "quantity": n, "note": "as in the picture"}
        for n in range(25)
    ]
    text = json.dumps({"vendor": "Hof Café", "items": items, "total": 325.5})
    return shape_of(Bill), text


def microseconds(work: Callable[[], object], *, runs: int = 300, rounds: int = 7) -> float:
    """CPU microseconds of one run: the best of the rounds, as everything else only adds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(runs):
            work()
        best = min(best, (time.thread_time() - began) / runs)
    return best * 1e6


def stream_microseconds(chunk: int = 5) -> float:
    """CPU microseconds that following a streamed answer takes for a chunk, partial objects made."""
    shape, text = of_two_kilobytes()
    pieces = [text[start : start + chunk] for start in range(0, len(text), chunk)]

    def follow() -> None:
        progress = Progress(shape)
        for piece in pieces:
            if progress.feed(piece):
                _ = progress.partial

    return microseconds(follow, runs=3) / len(pieces)


def middle(values: list[float], share: float = 0.5) -> float:
    """A quantile; nan of nothing."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]
