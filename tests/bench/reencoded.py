"""A data set with every picture encoded anew: python -m tests.bench.reencoded DATA OUT

DATA holds JSON lines with the `file` of a picture beside it. What re-encoding costs a check is what
`guardrail eval` says of OUT/data.jsonl beside DATA.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from guardrail import Image
from guardrail.reencode import Reencode, reencoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quality", type=int, default=Reencode.quality)
    parser.add_argument("--scale", type=float, default=Reencode.scale)
    given = parser.parse_args()
    how = Reencode(given.quality, given.scale)
    given.out.mkdir(parents=True, exist_ok=True)
    with given.data.open() as rows, (given.out / "data.jsonl").open("w") as made:
        for number, row in enumerate(map(json.loads, rows)):
            source = given.data.parent / row["file"]
            name = f"{number:05d}{source.suffix}"
            data = reencoded(Image(source.read_bytes(), row["file"]), how).data
            (given.out / name).write_bytes(data)
            made.write(json.dumps({**row, "file": name}) + "\n")


if __name__ == "__main__":
    main()
