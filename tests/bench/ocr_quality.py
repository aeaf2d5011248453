"""Text found beside the plain engine: python -m tests.bench.ocr_quality [INDEX.jsonl] [EVERY]

Prints, for drawn pages and for pictures with known text in an index (fields file and text), the
share of words found and the time on one core, for RapidOCR as it comes and for this extractor.
Words are compared without case or punctuation, as a multiset, so reading order does not count.
"""

from __future__ import annotations

import json
import logging
import os
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from guardrail import Image
from guardrail_detectors.ocr import ocr
from tests.bench import pictures


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))


def recall(truth: str, found: str) -> float:
    """The share of the truth's words that were found."""
    wanted = words(truth)
    return sum((wanted & words(found)).values()) / max(1, sum(wanted.values()))


def cases(index: Path | None, every: int) -> Iterator[tuple[str, bytes, str]]:
    yield "drawn screenshot", pictures.screenshot(), "\n".join(pictures.screenshot_lines())
    yield "drawn A4 page", pictures.a4(), "\n".join(pictures.a4_lines())
    if index is None:
        return
    rows = [json.loads(line) for line in index.open(encoding="utf-8")]
    rows = [row for row in rows if row.get("text") and row["kind"] != "object_presence"]
    for row in rows[::every]:
        kind = row.get("attack") or row.get("sub") or row["kind"]
        style = f" {row['style']}" if "style" in row else ""
        text = row["text"] if isinstance(row["text"], str) else "\n".join(row["text"])
        yield f"{kind}{style}", (index.parent / row["file"]).read_bytes(), text


def main(index: Path | None, every: int) -> None:
    logging.disable(logging.CRITICAL)
    from rapidocr import RapidOCR

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    one = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
    plain, extractor = RapidOCR(params=one), ocr()
    extractor.warm()
    found: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for kind, data, truth in cases(index, every):
        image = Image(data)
        pixels = np.asarray(image.picture.rgb())[..., ::-1].copy()
        start = time.perf_counter()
        said = plain(pixels)
        between = time.perf_counter()
        texts = extractor.run(image)
        end = time.perf_counter()
        by_plain = recall(truth, "\n".join(said.txts or ()))
        by_ours = recall(truth, "\n".join(text.text for text in texts))
        found[kind].append((by_plain, by_ours, (between - start) * 1e3, (end - between) * 1e3))
    print("| pictures | n | words, plain | words, ours | ms, plain | ms, ours | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, rows in [*sorted(found.items()), ("all", [r for rs in found.values() for r in rs])]:
        plain_words, our_words, plain_ms, our_ms = (
            statistics.fmean(column) for column in zip(*rows, strict=True)
        )
        print(
            f"| {kind} | {len(rows)} | {plain_words:.1%} | {our_words:.1%} "
            f"| {plain_ms:.0f} | {our_ms:.0f} | {our_ms / plain_ms:.2f} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None, int((sys.argv[2:] or ["1"])[0]))
