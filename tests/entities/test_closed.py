"""The backend over an object detector, and answers held against pictures with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardrail import Action, Guard, Image, NotRun, Screening, Text
from guardrail.registry import Registry
from guardrail.testing import ScriptedModel, fixed_extractor
from guardrail_detectors.entities import entities
from guardrail_detectors.entities.backend import Asked, Seen
from guardrail_detectors.entities.classes import COCO, synonyms, vocabulary
from guardrail_detectors.entities.closed import Closed, load_detector
from tests.entities.detectors import BLUE_BELOW, CLASSES, RED_ABOVE, painted, write

PICTURE = painted(RED_ABOVE, BLUE_BELOW)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("detector") / "patches.onnx")


def look(file: Path, name: str, picture: bytes = PICTURE, crops: int = 2, **asked: Any) -> Seen:
    backend = Closed(load_detector(file, len(CLASSES), 1), vocabulary(CLASSES), crops)
    (seen,) = backend.look(Image(picture), [Asked((name,), **asked)])
    return seen


@pytest.mark.parametrize("crops", [1, 2, 3])
def test_what_is_there_stands_over_what_is_not(file: Path, crops: int) -> None:
    there, also, absent = (look(file, name, crops=crops).presence for name in CLASSES)
    assert there is not None
    assert also is not None
    assert absent is not None
    assert min(there[0], also[0]) > absent[0] + 6


def test_heat_says_where(file: Path) -> None:
    seen = look(file, "apple", painted(RED_ABOVE, size=(512, 256)))
    box, score = seen.heat[0]
    assert score > 0.9
    assert 16 <= box.x0 <= 100
    assert box.x1 <= 140


def test_an_unknown_word_is_not_judged(file: Path) -> None:
    assert look(file, "wombat") == Seen()


def test_a_large_picture_is_looked_at_in_bounded_size(file: Path) -> None:
    big = painted(("#ff0000", (300, 300, 1500, 1500)), size=(4000, 3000))
    seen = look(file, "apple", big)
    assert seen.presence is not None
    assert seen.presence[0] > 2
    assert max(seen.heat[0][0]) <= 4000


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda folder: folder / "none.onnx", "no detector file"),
        (lambda folder: _text(folder / "text.onnx"), "cannot be loaded"),
        (lambda folder: write(folder / "two.onnx", classes=2), r"gives \(84, 7\), not \(84, 8\)"),
    ],
)
def test_a_file_that_is_no_such_detector_is_not_run(tmp_path: Path, build: Any, words: str) -> None:
    with pytest.raises(NotRun, match=words):
        load_detector(build(tmp_path), len(CLASSES), 1)


def _text(path: Path) -> Path:
    path.write_text("not a model")
    return path


def test_words_mean_classes_of_coco() -> None:
    words = synonyms()
    assert set(words.values()) == set(COCO)
    assert words["puppy"] == "dog"
    assert words["sofa"] == "couch"
    known = vocabulary(CLASSES, {"apple": ["Pippin"]})
    assert known["pippin"] == known["apple"] == 0


def guard(file: Path, when: str = "output", *, rule: Any = None, **arguments: Any) -> Guard:
    check = {
        "use": "entities",
        "backend": "detector",
        "file": str(file),
        "classes": list(CLASSES),
        "read": False,
        **arguments,
    }
    policy = {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "x"},
        "rules": [{"id": "things", "when": when, "check": check, **(rule or {"action": "flag"})}],
    }
    return Guard(policy)


def found(done: Screening, answer: str) -> list[tuple[str, str]]:
    return [(f.label, answer[f.where.start : f.where.end]) for f in done.findings if f.where]


def test_an_invented_thing_is_found_and_a_true_one_is_not(file: Path) -> None:
    answer = "There is an apple below a blue sky. A green leaf lies beside it, and a wombat."
    done = guard(file).check(answer, images=[PICTURE])
    assert found(done, answer) == [("absent_entity", "green leaf")]
    (run,) = [run for run in done.record.stages[0].checks if run.name == "entities"]
    assert dict(run.best)["unchecked"] == pytest.approx(1 / 4)


def test_it_is_replaced_in_place(file: Path) -> None:
    rule = {"action": "replace", "text": "[unverified: {found}]"}
    done = guard(file, rule=rule).check("An apple and a leaf.", images=[PICTURE])
    assert done.content.texts[0].text == "An apple and a [unverified: leaf]."


def test_the_model_is_asked_again_with_the_list(file: Path) -> None:
    made = guard(file, rule={"action": "block", "ask_again": 1})
    model = ScriptedModel(["An apple and a leaf.", "An apple."])
    assert made(model)(prompt="What is there?", images=[PICTURE]) == "An apple."
    note = model.asked[1]["prompt"]
    assert "this is not in the picture; leave it out: “leaf”" in note


def test_a_false_premise_is_found_before_the_call(file: Path) -> None:
    rule = {"action": "replace", "text": "{found} (if there is one)"}
    made = guard(file, "input", rule=rule)
    done = made.screen("What colour is the leaf beside the apple?", images=[PICTURE])
    assert done.content.texts[0].text == (
        "What colour is the leaf (if there is one) beside the apple?"
    )
    assert [f.label for f in done.findings] == ["false_premise"]
    assert made.screen("Is there a leaf?", images=[PICTURE]).action is Action.ALLOW


def test_without_a_picture_there_is_nothing_to_hold_against(file: Path) -> None:
    assert guard(file).check("A leaf.").action is Action.ALLOW


def test_a_thing_in_any_of_the_pictures_is_there(file: Path) -> None:
    pictures = [painted(BLUE_BELOW), painted(RED_ABOVE)]
    assert guard(file).check("An apple.", images=pictures).action is Action.ALLOW


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Ein Apfel liegt auf dem Tisch und ein Blatt ist im Bild.", "language"),
        ("桌子上有一个苹果和一片叶子", "script han"),
    ],
)
def test_a_language_that_is_not_known_is_not_run(file: Path, answer: str, reason: str) -> None:
    done = guard(file).check(answer, images=[PICTURE])
    assert done.action is Action.BLOCK
    assert done.verdict.rules[-1].status == "not_run"
    assert reason in done.verdict.reason


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('[{"label": "apple", "bbox": [20, 20, 110, 110]}]', []),
        ('[{"label": "apple", "bbox": [120, 150, 240, 240]}]', [("misplaced", "apple")]),
        ('[{"label": "leaf", "bbox": [20, 20, 110, 110]}]', [("absent_entity", "leaf")]),
        ('{"objects": ["apple", "leaf"]}', [("absent_entity", "leaf")]),
        ("An apple at [20, 20, 2000, 110].", [("box_outside", "[20, 20, 2000, 110]")]),
    ],
)
def test_structured_answers_and_boxes(
    file: Path, answer: str, expected: list[tuple[str, str]]
) -> None:
    assert found(guard(file).check(answer, images=[PICTURE]), answer) == expected


def test_where_a_thing_was_looked_for_is_kept_when_asked_for(file: Path) -> None:
    done = guard(file, heat=True).check("An apple.", images=[PICTURE])
    (below,) = done.verdict.rules[-1].below
    assert below.label == "absent_entity"
    assert below.heat[0][1] > 0.9


def test_what_is_said_to_be_read_is_held_against_the_text_of_the_picture(file: Path) -> None:
    mark = PICTURE
    read = Text("TOTAL 12.50", name="images/0#fixed", source="image:fixed", origin="images/0")
    check = {"use": "entities", "backend": "detector", "file": str(file), "classes": list(CLASSES)}
    policy = {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "x"},
        "extract": {"fixed": {}},
        "rules": [{"id": "things", "when": "output", "check": check, "action": "flag"}],
    }
    registry = Registry(extractors={"fixed": lambda: fixed_extractor({mark: read})})
    made = Guard(policy, registry=registry)
    answer = 'The sign says "TOTAL 12.50" and the price is 99.90.'
    assert found(made.check(answer, images=[mark]), answer) == [("unread_number", "99.90")]


@pytest.mark.parametrize(
    "arguments",
    [
        {"backend": "detector"},
        {"crops": 4},
        {"threads": 0},
        {"abstain": [0.9, 0.1]},
        {"templates": ["a photo"]},
        {"scripts": ["klingon"]},
        {"synonyms": {"wombat": ["x"]}},
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any]) -> None:
    (name,) = arguments if arguments != {"backend": "detector"} else ("file",)
    with pytest.raises(ValueError, match=f"^{name}"):
        entities(**arguments)
