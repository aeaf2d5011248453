"""Streamed answers: what leaves when, in which chunks, and that nothing found ever leaves."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail import (
    Action,
    Blocked,
    ContentError,
    Detector,
    Finding,
    Guard,
    Limits,
    Refusal,
    Rule,
    Span,
    Spec,
    Status,
    Text,
    View,
)
from guardrail.detector import Window
from guardrail.flow.order import Outcome, guarded
from guardrail.flow.plan import Plan
from guardrail.flow.steps import Emit, Next, Release, Run, Step
from guardrail.flow.stream import Delta, Stream
from guardrail.policy import Mode, OnError
from guardrail.policy.load import load_policy
from guardrail.testing import CapturedRecords, fixed_detector, policy_of, rule
from tests.core.test_order import call, deltas, play

# --- by hand ------------------------------------------------------------------------------------


def word(
    action: Action = Action.REDACT, window: Window = 4, found: str = "bad", **options: Any
) -> Rule:
    detector = fixed_detector({found: 0.9}, window=window, name=options.pop("name", "fixed"))
    return rule(detector, action, when=["output"], **options)


def played(rules: Sequence[Rule], *texts: str, **options: Any) -> tuple[list[Step], Outcome]:
    plan = Plan(policy_of(*rules, **options))
    return play(guarded(plan, call(Text("hi"))), None, *deltas(*texts))


def released(steps: Sequence[Step]) -> list[Release]:
    return [step for step in steps if isinstance(step, Release)]


def before_the_end(steps: Sequence[Step]) -> int:
    """How many chunks left before the stream was over."""
    last = max(i for i, step in enumerate(steps) if isinstance(step, Next))
    return len(released(steps[:last]))


LETTERS = [f"word {i:03d} " for i in range(60)]


def test_chunks_leave_as_soon_as_the_window_has_passed() -> None:
    steps, outcome = played([word()], *LETTERS)
    assert [release.index for release in released(steps)] == list(range(60))
    assert not any(release.texts for release in released(steps))
    assert before_the_end(steps) >= 54
    assert not outcome.stopped


def test_a_rule_that_must_see_everything_holds_everything() -> None:
    steps, _ = played([word(), word(window=None, found="odd", name="odd")], *LETTERS)
    assert before_the_end(steps) == 0
    steps, _ = played([word(ask_again=1)], *LETTERS)
    assert before_the_end(steps) == 0


@pytest.mark.parametrize("harmless", [word(Action.FLAG, None), word(window=None, mode=Mode.SHADOW)])
def test_a_rule_that_cannot_stop_the_stream_holds_nothing(harmless: Rule) -> None:
    steps, outcome = played([harmless], *LETTERS, "bad")
    assert before_the_end(steps) == 61
    (result,) = [r for r in outcome.verdict.rules if r.rule == "fixed"]
    assert result.would > Action.ALLOW


def test_a_block_ends_the_stream_where_it_is() -> None:
    steps, outcome = played([word(Action.BLOCK)], *LETTERS, "so bad", *LETTERS)
    texts = [*LETTERS, "so bad", *LETTERS]
    sent = "".join(texts[r.index] for r in released(steps))
    assert outcome.stopped
    assert outcome.record.cut_off
    assert sent.startswith("word 000")
    assert "bad" not in sent
    assert len([step for step in steps if isinstance(step, Next)]) < 80
    (finding,) = outcome.verdict.findings
    assert finding.where is not None
    assert "".join([*LETTERS, "so bad"])[finding.where.start : finding.where.end] == "bad"


def test_sentences_leave_whole() -> None:
    texts = ["One. ", "Two is ", "longer. ", "Three", " is", " open"]
    steps, _ = played([word(window="sentence")], *texts)
    seen: list[str] = []
    for step in steps:
        if isinstance(step, Run):
            seen.append("look")
        elif isinstance(step, Release):
            seen.append(texts[step.index].strip())
    assert seen == ["look", "One.", "look", "Two is", "longer.", "look", "Three", "is", "open"]


def test_a_sentence_without_an_end_does_not_hold_the_stream_for_ever() -> None:
    steps, _ = played([word(window="sentence")], *["word "] * 1000)
    assert before_the_end(steps) > 700


def test_a_finding_that_still_grows_is_waited_for() -> None:
    text = "x" * 10 + "0" * 3000 + "y" * 300
    found = rule(_digits(), Action.REDACT, when=["output"])
    plan = Plan(policy_of(found))
    steps, _ = play(guarded(plan, call(Text("hi"))), None, *deltas(*text))
    out = "".join(r.texts.get("output", text[r.index]) for r in released(steps))
    assert out == "x" * 10 + "[digits]" + "y" * 300
    looks = [step for step in steps if isinstance(step, Run)]
    assert len(looks) < 60


def _digits() -> Detector:
    def run(view: View) -> list[Finding]:
        return [
            Finding("digits", "digits", 1.0, Span(part.name, *match.span()))
            for part in view.texts
            for match in re.finditer(r"\d{5,}", part.text)
        ]

    return Detector(Spec("digits", "1", ("digits",), window=5), run)


def test_choices_wait_apart_and_an_ended_text_frees_those_behind_it() -> None:
    def chunk(key: str, text: str, ends: tuple[str, ...] = ()) -> Delta:
        return Delta(((key, text),), ends=ends)

    plan = Plan(policy_of(word()))
    stream = [
        chunk("output/1", "ba"),
        chunk("output", "d ba"),
        chunk("output/1", "ck"),
        Delta(ends=("output/1",)),
        *[chunk("output", text) for text in LETTERS],
        None,
    ]
    steps, _ = play(guarded(plan, call(Text("hi"))), None, *stream)
    assert not any(release.texts for release in released(steps))
    assert before_the_end(steps) > 50
    stream[3] = Delta()
    steps, _ = play(guarded(plan, call(Text("hi"))), None, *stream)
    assert before_the_end(steps) == 0


def test_a_stream_that_breaks_gives_what_was_checked_and_then_its_error() -> None:
    flow = guarded(Plan(policy_of(word())), call(Text("hi")))
    steps: list[Step] = []
    answers = [None, *deltas("so bad", " it is")[:-1], ConnectionError("private host")]
    with pytest.raises(ConnectionError):
        play(flow, *answers, steps=steps)
    assert [dict(r.texts) for r in released(steps)] == [{"output": "so [bad]"}, {}]
    last = steps[-1]
    assert isinstance(last, Emit)
    assert last.record.cut_off
    assert last.record.error == "ConnectionError"
    assert last.record.to_dict()["model"]["cut_off"] is True
    assert "private" not in json.dumps(last.record.to_dict())


def test_a_check_that_fails_while_the_answer_comes_stops_it() -> None:
    broken = rule(fixed_detector({}, error=OSError(), window=4), Action.REDACT, when=["output"])
    steps, outcome = played([broken], *LETTERS)
    assert outcome.stopped
    assert released(steps) == []
    assert outcome.verdict.rules[-1].status is Status.ERROR
    steps, outcome = played([broken], *LETTERS, on_error=OnError(output=Action.FLAG))
    assert len(released(steps)) == 60
    assert not outcome.stopped


def test_an_answer_over_the_limit_ends_there() -> None:
    limits = Limits(max_text_chars=100)
    steps, outcome = played([word()], *LETTERS, limits=limits)
    assert outcome.stopped
    assert "over the limit of 100 (limits.max_text_chars)" in outcome.verdict.reason
    assert sum(len(LETTERS[r.index]) for r in released(steps)) <= 100
    steps, outcome = played(
        [word()], *LETTERS, "bad", limits=limits, on_error=OnError(output=Action.FLAG)
    )
    assert len(released(steps)) == 61
    assert released(steps)[-1].texts == {}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["ba", "d", "bad", " ", "b", "a", "", "\n\n", "\u200b"]), max_size=60)
)
def test_streams_of_any_cut_come_out_as_the_whole_would(pieces: list[str]) -> None:
    text = "".join(pieces)
    steps, _ = played([word()], *pieces)
    out = "".join(r.texts.get("output", pieces[r.index]) for r in released(steps))
    assert out == text.replace("bad", "[bad]")
    assert [r.index for r in released(steps)] == list(range(len(pieces)))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_unchanged_chunks_are_never_rewritten(data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.text("abd .", max_size=12), min_size=1, max_size=40))
    panes = data.draw(st.sampled_from([(), (3,), ("sentence",), (3, "sentence"), (None,)]))
    stream, out = Stream(panes, Limits(max_text_chars=10_000)), []
    for piece in pieces:
        stream.add(Delta((("k", piece),)))
        for looked in stream.due():
            assert looked.text == "".join(pieces)[looked.start : looked.start + len(looked.text)]
            assert looked.settled <= looked.limit
            stream.seen(looked, looked.limit, [])
        out += list(stream.ready())
    stream.finish([], {})
    out += list(stream.ready())
    assert out == [Release(index) for index in range(len(pieces))]


# --- real detectors -----------------------------------------------------------------------------

PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(
        "MIIEpAIBAAKCAQEA7bq4nXk3vTz0qYxv9cJm2hPz1sRu8d5KfLwGe" + f"{i:011d}" for i in range(40)
    )
    + "\n-----END RSA PRIVATE KEY-----"
)
LONG = "".join(f"qR7{i * 7919:x}Zt" for i in range(150))
VALUES = {
    "card": "4111 1111 1111 1111",
    "email": "anna.schmidt@example-mail.org",
    "iban": "DE89 3704 0044 0532 0130 00",
    "phone": "+1 202-555-0143",
    "token": "ghp_" + "a1B2c3D4e5F6" * 3,
    "pem": PEM,
    "quoted": f'client_secret = "{LONG}"',
    "element": f"<api-key>{LONG}</api-key>",
    "keyword": "Project  Nightingale",
    "regex": "ID-48213377",
    "url": "https://collect.evil.example/x?q=" + "c2VjcmV0" * 30,
}
PROSE = (
    "The meeting was moved to the larger room, since more people came than had been expected. "
    "Everyone agreed that the new timetable works, although some asked for a longer break. "
)


def policy(action: str) -> dict[str, Any]:
    checks: list[Any] = [
        "pii",
        "secrets",
        {"use": "keywords", "words": ["project nightingale"]},
        {"use": "regex", "patterns": {"case": r"\bID-\d{6,8}\b"}},
        {"use": "urls", "allow": ["example.org"]},
    ]
    return {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "streams"},
        "rules": [
            {"id": f"r{i}", "when": "output", "check": check, "action": action}
            for i, check in enumerate(checks)
        ],
    }


REDACT = Guard(load_policy(policy("redact")))
BLOCK = Guard(load_policy(policy("block")))


def stream(guard: Guard, chunks: Sequence[str]) -> list[str]:
    @guard
    def ask(prompt: str) -> Iterator[str]:
        yield from chunks

    return list(ask("hi"))


def cut(text: str, points: Sequence[int]) -> list[str]:
    return [text[a:b] for a, b in pairwise([0, *sorted(points), len(text)])]


def leaks(value: str, text: str) -> bool:
    """Whether any long enough stretch of the value is in the text."""
    bare = " ".join(value.removeprefix("client_secret = ").removeprefix("<api-key>").split())
    bare = bare.removesuffix("</api-key>").strip('"')
    return any(bare[i : i + 9] in text for i in range(len(bare) - 8))


@pytest.mark.parametrize("kind", VALUES)
def test_values_cut_at_every_place_are_redacted_as_in_the_whole(kind: str) -> None:
    value = VALUES[kind]
    before, after = PROSE * 6, PROSE * 6
    text = f"{before}Write to {value} now. {after}"
    whole = REDACT.check(text).content.texts[0].text
    assert not leaks(value, whole)
    first = len(before) + len("Write to ")
    places = range(first - 1, first + min(len(value), 50) + 2, 2)
    for place in places:
        out = stream(REDACT, cut(text, [place]))
        assert "".join(out) == whole
    tokens = [text[i : i + 4] for i in range(0, len(text), 4)]
    out = stream(REDACT, tokens)
    assert "".join(out) == whole
    assert len(out) == len(tokens)
    same = [one == other for one, other in zip(out, tokens, strict=True)]
    assert same.count(False) <= len(value) // 4 + 2


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_leaks_from_any_text_cut_in_any_way(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    pieces = []
    for kind in kinds:
        prose = PROSE * data.draw(st.integers(0, 6))
        pieces += [prose[: data.draw(st.integers(0, len(prose)))], " this: ", VALUES[kind], ", and"]
    pieces.append(PROSE * data.draw(st.integers(0, 6)))
    text = "".join(pieces)
    points = data.draw(st.lists(st.integers(0, len(text)), max_size=40))
    out = "".join(stream(REDACT, cut(text, points)))
    for kind in kinds:
        assert not leaks(VALUES[kind], out), kind
    assert out == REDACT.check(text).content.texts[0].text


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(VALUES)), st.data())
def test_a_blocked_value_ends_the_stream_before_it(kind: str, data: st.DataObject) -> None:
    text = f"{PROSE * 8}Write to {VALUES[kind]} now. {PROSE * 8}"
    size = data.draw(st.integers(1, 400))
    chunks = [text[i : i + size] for i in range(0, len(text), size)]

    @BLOCK(on_block="return")
    def ask(prompt: str) -> Iterator[str]:
        yield from chunks

    *out, refusal = ask("hi")
    assert isinstance(refusal, Refusal)
    assert not leaks(VALUES[kind], "".join(out))
    assert text.startswith("".join(out))


def test_tool_calls_stay_json_and_hide_nothing_behind_escapes() -> None:
    arguments = json.dumps(
        {
            "note": PROSE * 5,
            "to": "anna.schmidt@example-mail.org",
            "card": 4111111111111111,
            "list": [1, "call +1 202-555-0143"],
            "more": PROSE * 5,
            "key": PEM,
            "end": PROSE * 4,
        }
    ).replace("@", "\\u0040")
    assert "@" not in arguments
    pieces = [arguments[i : i + 5] for i in range(0, len(arguments), 5)]

    def chunk(piece: str) -> dict[str, Any]:
        function = {"index": 0, "function": {"arguments": piece}}
        return {"choices": [{"index": 0, "delta": {"tool_calls": [function]}}]}

    @REDACT
    def ask(prompt: str) -> Iterator[dict[str, Any]]:
        yield from map(chunk, pieces)

    out = [
        got["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for got in ask("hi")
    ]
    read = json.loads("".join(out))
    assert read["to"] == "[EMAIL]"
    assert read["card"] == "[CARD]"
    assert read["list"] == [1, "call [PHONE]"]
    assert read["key"] == "[PRIVATE_KEY]"
    assert read["note"] == PROSE * 5
    assert read["end"] == PROSE * 4
    (whole,) = REDACT.check(arguments).content.texts
    assert json.loads(whole.text) == read


# --- the caller's side --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_block_ends_a_stream_as_on_block_says(way: str) -> None:
    guard = Guard(policy_of(word(Action.BLOCK)))
    chunks = [*LETTERS, "so bad", *LETTERS]

    @guard(on_block="return")
    def ask(prompt: str) -> Iterator[str]:
        yield from chunks

    @guard(on_block="return")
    async def aask(prompt: str) -> AsyncIterator[str]:
        for chunk in chunks:
            yield chunk

    async def drained() -> list[Any]:
        return [chunk async for chunk in aask("hi")]

    got: list[Any] = list(ask("hi")) if way == "sync" else asyncio.run(drained())
    assert isinstance(got[-1], Refusal)
    assert got[:-1] == chunks[: len(got) - 1]
    assert 40 < len(got) < 61


def test_a_stream_that_stops_in_the_middle_is_checked_and_raises() -> None:
    records = CapturedRecords()

    @Guard(policy_of(word()), sinks=[records])
    def ask(prompt: str) -> Iterator[str]:
        yield "so bad"
        raise ConnectionResetError("peer 10.0.0.1")

    answer = ask("hi")
    assert next(answer) == "so [bad]"
    with pytest.raises(ConnectionResetError):
        next(answer)
    assert (records.last.error, records.last.cut_off) == ("ConnectionResetError", True)


def test_chunks_that_are_no_text_are_named() -> None:
    @Guard(policy_of(word()))
    def ask(prompt: str) -> Iterator[bytes]:
        yield b"\xff\xfe"

    with pytest.raises(ContentError, match="a chunk of type bytes cannot be read"):
        list(ask("hi"))


def test_lone_surrogates_and_controls_pass_or_are_found() -> None:
    chunks = ["\ud83d", "\ude00", "\x00", "4111 1111", " 1111 1111", "\udcff" * 50, PROSE * 8]
    out = "".join(stream(REDACT, chunks))
    assert out == "".join(chunks).replace("4111 1111 1111 1111", "[CARD]")


def test_ten_megabytes_end_at_the_limit() -> None:
    chunks = ["x" * 99 + " "] * 100_000
    taken = []

    @Guard(load_policy(policy("redact") | {"limits": {"max_text_chars": 20_000}}))
    def ask(prompt: str) -> Iterator[str]:
        for chunk in chunks:
            taken.append(1)
            yield chunk

    with pytest.raises(Blocked, match="over the limit of 20000"):
        list(ask("hi"))
    assert len(taken) == 201


def test_looks_grow_with_the_text_not_with_its_square() -> None:
    def looked(count: int) -> int:
        stream, total = Stream((384,), Limits(max_text_chars=10**9)), 0
        for _ in range(count):
            stream.add(Delta((("k", "some text "),)))
            for piece in stream.due():
                total += len(piece.text)
                stream.seen(piece, piece.limit, [])
            list(stream.ready())
        return total

    assert looked(8_000) < 2.2 * looked(4_000)
    assert looked(4_000) < 40_000 * 8
