"""Precision and recall of the pii and secrets detectors on labelled rows.

Usage: python tests/bench/pii_quality.py DATA_DIR [--errors]

DATA_DIR holds JSON lines: files named secrets*.jsonl with `text`, `label` ("secret" or
"not_secret") and `spans`; all others with `text`, `spans` (start, end, type) and optionally
`entity`, the one type that the row is about. A prediction is right when it has the label of, and
overlaps, a marked span.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from guardrail.content import Text
from guardrail.detector import Detector, Stage, View
from guardrail_detectors.pii import pii
from guardrail_detectors.pii.labels import KINDS
from guardrail_detectors.secrets import secrets

TYPES = {
    "ABA_ROUTING_NUMBER": "BANK_ACCOUNT",
    "CREDIT_CARD": "CARD",
    "CRYPTO": "CRYPTO_WALLET",
    "EMAIL_ADDRESS": "EMAIL",
    "IBAN_CODE": "IBAN",
    "PHONE_NUMBER": "PHONE",
    "PH_MOBILE_NUMBER": "PHONE",
    "TR_PHONE_NUMBER": "PHONE",
    "US_BANK_NUMBER": "BANK_ACCOUNT",
    "US_SSN": "SSN",
}


def label_of(entity: str, by_recognizer: dict[str, str]) -> str | None:
    """The detector's label for a type of the data; None where it has none."""
    return TYPES.get(entity) or by_recognizer.get(entity)


def presidio_labels() -> dict[str, str]:
    """Presidio's entity names with the labels that they are mapped to."""
    from presidio_analyzer import predefined_recognizers

    labels = {"ADDRESS": "ADDRESS"}
    for kind in KINDS:
        factory = getattr(predefined_recognizers, kind.recognizer, None)
        if factory is not None:
            labels |= dict.fromkeys(factory().supported_entities, kind.label)
    return labels


def found(detector: Detector, text: str) -> list[tuple[int, int, str]]:
    """Start, end and label of the findings over the default threshold."""
    run = detector.run(View(Stage.INPUT, (Text(text),)))
    return [
        (f.where.start, f.where.end, f.label)  # type: ignore[union-attr]
        for f in run
        if f.score >= detector.spec.threshold
    ]


def rate(part: int, whole: int) -> str:
    """A ratio in per cent."""
    return f"{100 * part / whole:5.1f}" if whole else "    -"


def score_pii(rows: list[dict[str, Any]], errors: bool) -> None:
    """Prints a table by label: rows of generated sentences, and of single recognisers."""
    detector, labels = pii(), presidio_labels()
    for title, single in (("sentences", False), ("single formats", True)):
        hit, missed, wrong, exact = Counter(), Counter(), Counter(), Counter()  # type: ignore[var-annotated]
        for row in rows:
            if bool(row.get("entity")) != single:
                continue
            asked = label_of(row["entity"], labels) if single else None
            if single and asked is None:
                continue
            text, guesses = row["text"], found(detector, row["text"])
            spans = [(s["start"], s["end"], label_of(s["type"], labels)) for s in row["spans"]]
            for start, end, label in spans:
                if label is None:
                    continue
                right = [g for g in guesses if g[2] == label and g[0] < end and start < g[1]]
                (hit if right else missed)[label] += 1
                exact[label] += (start, end, label) in right
                if errors and not right:
                    print("missed", label, repr(text[start:end]), "in", repr(text[:160]))
            for start, end, label in guesses:
                if single and label != asked:
                    continue
                if label == "DATE_OF_BIRTH" and any(s["type"] == "DATE_TIME" for s in row["spans"]):
                    continue  # the data marks every date
                if not any(s[2] == label and start < s[1] and s[0] < end for s in spans):
                    wrong[label] += 1
                    if errors:
                        print("wrong", label, repr(text[start:end]), "in", repr(text[:160]))
        print(f"\n{title:16} {'marked':>7} {'recall':>7} {'precision':>9} {'F1':>6} {'exact':>6}")
        for label in [*sorted(set(hit) | set(missed) | set(wrong)), "all"]:
            h, m, w, e = (
                sum(c.values()) if label == "all" else c[label] for c in (hit, missed, wrong, exact)
            )
            f1 = rate(2 * h, 2 * h + m + w)
            print(
                f"{label:16} {h + m:7} {rate(h, h + m):>7} {rate(h, h + w):>9} {f1:>6} "
                f"{rate(e, h):>6}"
            )


def score_secrets(rows: list[dict[str, Any]], errors: bool) -> None:
    """Prints recall and precision by row, as one class."""
    detector = secrets()
    hit = missed = wrong = quiet = 0
    for row in rows:
        guesses = found(detector, row["text"])
        if row["label"] == "secret":
            right = any(
                g[0] < s["end"] and s["start"] < g[1] for g in guesses for s in row["spans"]
            )
            hit, missed = hit + right, missed + (not right)
        else:
            right = not guesses
            wrong, quiet = wrong + bool(guesses), quiet + (not guesses)
        if errors and not right:
            print("secrets", row["label"], row.get("kind"), repr(row["text"][:160]))
    print(
        f"\nsecrets: recall {rate(hit, hit + missed)} ({hit}/{hit + missed}),"
        f" precision {rate(hit, hit + wrong)}, false alarms {wrong}/{wrong + quiet}"
    )


def main() -> None:
    """Scores every file of the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--errors", action="store_true", help="print what was missed or wrong")
    arguments = parser.parse_args()
    for path in sorted(arguments.folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        print(f"\n== {path.name}: {len(rows)} rows")
        (score_secrets if path.name.startswith("secrets") else score_pii)(rows, arguments.errors)


if __name__ == "__main__":
    main()
