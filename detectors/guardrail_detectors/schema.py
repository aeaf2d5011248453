"""Answers held to a JSON Schema that a policy names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from guardrail.detector import Detector
from guardrail.structure import shape_of
from guardrail.structure.check import schema_detector


def schema(
    *, file: str | None = None, definition: dict[str, Any] | None = None, mend: bool = True
) -> Detector:
    """Finds answers that do not fit a JSON Schema: no JSON, wrong values, cut off or refused.

    file: a JSON file with the schema (2020-12, 2019-09, draft 7 or 6); or
    definition: the schema itself.
    mend: whether an answer passes that fits once fences, prose around it, wrong quotes or commas
    are taken off; the category "mended" says so where a policy names it.

    Raises ValueError for a schema that cannot be used, naming the keyword and its place.
    """
    if (file is None) == (definition is None):
        raise ValueError("give either file or definition")
    given: Any = definition
    if file is not None:
        try:
            given = json.loads(Path(file).read_text("utf-8"))
        except OSError as error:
            raise ValueError(f"file: {error.strerror}") from None
        except ValueError:
            raise ValueError("file: not JSON in UTF-8") from None
    if not isinstance(given, dict):
        raise ValueError("file: a schema that is an object is expected")
    shape = shape_of(given)
    detector = schema_detector(shape, mend=mend)
    digest = hashlib.sha256(json.dumps(shape.schema, sort_keys=True).encode()).hexdigest()[:16]
    spec = dataclasses.replace(detector.spec, version=f"{detector.spec.version}/{digest}")
    return dataclasses.replace(detector, spec=spec)
