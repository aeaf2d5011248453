"""`guardrail eval schema`: how answers are held to a declared output, and what it costs."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from guardrail.cli.common import A_FILE, fail
from guardrail.evaluate.figures import wilson


@click.command()
@click.argument("answers", type=A_FILE, required=False)
@click.option("--schema", "schema_file", type=A_FILE, help="The JSON Schema of ANSWERS.")
@click.option("--samples", default=20, show_default=True, help="Sampled answers of each schema.")
@click.option("--tokens", default=64, show_default=True, help="Tokens of a timed run.")
@click.option("--rounds", default=7, show_default=True, help="Timed runs of each kind.")
@click.option(
    "--model", type=click.Path(exists=True, file_okay=False, path_type=Path), default=None,
    help="A folder with an instruct model of transformers, to ask it too.",
)  # fmt: skip
@click.option("--no-decoding", is_flag=True, help="Without models of random weights.")
def schema(
    answers: Path | None,
    schema_file: Path | None,
    samples: int,
    tokens: int,
    rounds: int,
    model: Path | None,
    no_decoding: bool,
) -> None:
    """Measure how answers are held to a declared output.

    ANSWERS: JSON lines {"answer", "finish_reason"?} of your own, read under --schema. Without it
    the checks themselves are measured: answers sampled token by token from a model of random
    weights over ten schemas, what that costs a token, what reading an answer costs, and what is
    mended. Times are of one thread; those of decoding are interleaved with free decoding.
    """
    if answers is not None:
        if schema_file is None:
            raise click.UsageError("--schema is needed to read ANSWERS")
        _recorded(answers, schema_file)
        return
    _reading()
    if not no_decoding:
        _decoding(samples, tokens, rounds)
    if model is not None:
        _asked(model, max(1, samples // 10))


def _recorded(answers: Path, schema_file: Path) -> None:
    from guardrail.content import Text, ending
    from guardrail.errors import SchemaError
    from guardrail.structure import shape_of
    from guardrail.structure.check import read_text

    try:
        shape = shape_of(json.loads(schema_file.read_bytes()))
    except SchemaError as error:
        raise click.BadParameter(f"{schema_file}: {error}", param_hint="--schema") from None
    except ValueError:
        raise click.BadParameter(f"{schema_file}: not JSON", param_hint="--schema") from None
    labels: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for row in _rows(answers):
        text = Text(str(row["answer"]), ended=ending(row.get("finish_reason")))
        reading = read_text(shape, text)
        labels[reading.label or "valid"] += 1
        problems.update(map(str, reading.problems))
    count = labels.total()
    for label, hits in labels.most_common():
        click.echo(f"{label:<14} {hits:>6}  {wilson(hits, count)}")
    for problem, hits in problems.most_common(10):
        click.echo(f"{hits:>21}  {problem}")


def _rows(answers: Path) -> Iterator[dict[str, Any]]:
    with answers.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            reason = row.get("finish_reason") if isinstance(row, dict) else None
            if not isinstance(row, dict) or "answer" not in row:
                fail(f'{answers}:{number}: no row {{"answer": ...}}')
            if not isinstance(reason, str | None):
                fail(f"{answers}:{number}: finish_reason: not a text")
            yield row


def _reading() -> None:
    from guardrail.evaluate import answers

    wrong, accepted = answers.mended()
    count = len(answers.DRESSED)
    click.echo(f"dressed-up answers mended     {count - len(wrong)} of {count}")
    for name in wrong:
        click.echo(f"    not: {name}")
    click.echo(f"cut answers taken for whole   {accepted} of 200")
    shape, text = answers.of_two_kilobytes()
    bare = answers.microseconds(lambda: json.loads(text))
    checked = answers.microseconds(lambda: shape.read(text))
    click.echo(f"an answer of {len(text)} bytes        {checked:.0f} us to read and check")
    click.echo(f"    json.loads alone          {bare:.0f} us")
    click.echo(f"a streamed chunk, followed    {answers.stream_microseconds():.1f} us")


def _decoding(samples: int, tokens: int, rounds: int) -> None:
    import torch

    from guardrail.evaluate import decoding
    from guardrail.evaluate.answers import middle
    from guardrail.evaluate.schemas import SCHEMAS

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = decoding.trained_tokenizer()
    small = decoding.random_model(len(tokenizer))
    click.echo(f"vocabulary                    {len(tokenizer)} tokens")
    click.echo(
        f"{'schema':<12} {'fit':>8} {'cut off':>8} {'tokens':>7} {'mask ms: mean':>14} {'p95':>6}"
    )
    fitting = finished = 0
    times: list[float] = []
    for name, one in SCHEMAS.items():
        made = decoding.sample(small, tokenizer, one, count=samples)
        fitting, finished = fitting + made.fitting, finished + made.finished
        times += made.mask_ms
        click.echo(
            f"{name:<12} {f'{made.fitting}/{made.finished}':>8} {made.unfinished:>8} "
            f"{made.tokens:>7} {statistics.mean(made.mask_ms):>14.3f} "
            f"{middle(made.mask_ms, 0.95):>6.3f}"
        )
        for text in made.wrong:
            click.echo(f"    {text}")
    click.echo(
        f"fit of all finished           {fitting} of {finished}  {wilson(fitting, finished)}"
    )
    click.echo(
        f"mask, computed and applied    mean {statistics.mean(times):.2f} ms a token, "
        f"p50 {middle(times):.2f}, p99 {middle(times, 0.99):.2f}"
    )
    for hidden, layers in ((576, 30), (288, 6)):
        model = decoding.random_model(len(tokenizer), hidden=hidden, layers=layers, heads=9)
        count = sum(one.numel() for one in model.parameters()) / 1e6
        free, held = decoding.overhead(model, tokenizer, tokens=tokens, rounds=rounds)
        click.echo(
            f"decoding, {count:>4.0f}M parameters    {free.passed:.1f} ms a token free, "
            f"{held.passed:.1f} held: {held.passed / free.passed - 1:+.1%}, processor time "
            f"{held.processor / free.processor - 1:+.1%}"
        )


def _asked(folder: Path, samples: int) -> None:
    from guardrail.evaluate import asking

    click.echo(f"{'asked':<12} {'at once':>8} {'mended':>8} {'again':>8} {'never':>8} {'held':>8}")
    total: Counter[str] = Counter()
    for name, counts in asking.asked(folder, samples):
        total.update(counts)
        click.echo(f"{name:<12} " + " ".join(f"{counts[key]:>8}" for key in asking.ENDS))
    click.echo(f"{'all':<12} " + " ".join(f"{total[key]:>8}" for key in asking.ENDS))
