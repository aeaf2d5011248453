"""What importing costs, what is public, and what an installed copy knows."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import guardrail
from guardrail.registry import Registry

HEAVY = [
    "onnxruntime",
    "spacy",
    "torch",
    "PIL",
    "httpx",
    "opentelemetry",
    "cv2",
    "numpy",
    "pydantic",
    "presidio_analyzer",
    "rapidocr",
    "re2",
]


def modules_after(code: str) -> set[str]:
    source = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_import_pulls_nothing_heavy() -> None:
    assert not modules_after("import guardrail, guardrail.testing") & set(HEAVY)


def test_plug_ins_are_light_to_import() -> None:
    names = [
        point.value.partition(":")[0]
        for group in ("guardrail.detectors", "guardrail.extractors")
        for point in entry_points(group=group)
    ]
    assert len(names) >= 9
    code = "\n".join(f"import {name}" for name in names)
    assert not modules_after(code) & set(HEAVY)


def test_building_a_policy_loads_no_model() -> None:
    loaded = modules_after("from guardrail import Guard\nGuard('default')")
    assert not loaded & {"onnxruntime", "spacy", "torch", "cv2", "presidio_analyzer", "PIL"}


def test_every_public_name_is_there() -> None:
    assert sorted(guardrail.__all__) == guardrail.__all__
    for name in guardrail.__all__:
        assert name == "Sink" or getattr(guardrail, name).__doc__, name


def test_every_plug_in_is_built_and_documented() -> None:
    registry = Registry()
    needed = {
        "classifier": {"model": "m", "labels": {"toxic": "toxic"}},
        "http": {"url": "http://127.0.0.1", "labels": ["toxic"]},
        "keywords": {"words": ["w"]},
        "regex": {"patterns": ["p"]},
        "schema": {"definition": {}},
    }
    for name in registry.names("detector"):
        detector = registry.detector(name, needed.get(name, {}))
        assert detector.spec.name == name
        assert detector.spec.labels
        assert registry.factory("detector", name).__doc__
    for name in registry.names("extractor"):
        assert registry.extractor(name, {}).spec.name == name
