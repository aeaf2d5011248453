"""`guardrail redteam search`: one attack changed again and again against a policy."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from guardrail.cli.common import A_FILE, fail, load_guard, policy_option, terminal

if TYPE_CHECKING:
    from PIL import Image

    from guardrail.guard import Guard, Screening

Channel = Literal["picture", "typed", "tool"]

MOST = 200
PLAIN = "plain"  # the form that changes nothing
EXPLORING = 0.4  # share of tries that start from the text as given
PROMPT = "What does this say?"  # typed beside a picture or a tool's result


@dataclass(frozen=True)
class Try:
    """One version of the attack: how it was made, and what the policy made of it.

    `words` names the paraphrase, `form` the style of the picture or the encoding. `score` is the
    highest of any finding, over its threshold or not.
    """

    words: str
    form: str
    text: str
    action: str
    through: bool
    score: float


@click.command()
@click.argument("attack")
@policy_option
@click.option(
    "--as",
    "channel",
    type=click.Choice(["picture", "typed", "tool"]),
    default="picture",
    show_default=True,
    help="How the attack comes in.",
)
@click.option(
    "--on",
    "base",
    type=A_FILE,
    help="The picture to draw on.",
)
@click.option("--style", "styles", multiple=True, help="Only these styles; may be repeated.")
@click.option("--tries", default=MOST, show_default=True, type=click.IntRange(1, MOST))
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print every try as a line of JSON.")
def search(
    attack: str,
    policy: str,
    channel: Channel,
    base: Path | None,
    styles: tuple[str, ...],
    tries: int,
    seed: int,
    as_json: bool,
) -> None:
    """Say and draw ATTACK in other ways, and count how often the policy lets it through.

    A try starts from the text as given or from the version with the lowest score so far. An
    attack is through if the call would go on, flagged or not.
    """
    from guardrail.redteam.render import check_text, opened, style_names

    guard = load_guard(policy)
    for name in styles:
        if name not in style_names():
            fail(f"there is no style {name!r}; there are: {', '.join(style_names())}")
    try:
        check_text(attack)
        ground = opened(base) if base else None
    except ValueError as error:
        fail(str(error))
    done = []
    for made in searched(guard, attack, channel, ground, styles, tries, seed):
        done.append(made)
        if as_json:
            click.echo(json.dumps(asdict(made)))
    if not as_json:
        _show(done)


def searched(
    guard: Guard,
    attack: str,
    channel: Channel = "picture",
    base: Image.Image | None = None,
    styles: Sequence[str] = (),
    tries: int = MOST,
    seed: int = 0,
) -> Iterator[Try]:
    """The tries, one after the other. No version is tried twice in the same style."""
    from random import Random

    from guardrail.redteam.mutations import ENCODINGS, PARAPHRASES
    from guardrail.redteam.render import LONGEST, rendered, style_names

    chance = Random(seed)  # noqa: S311  nothing is kept secret with it
    forms = list(styles) or [*style_names()] if channel == "picture" else [PLAIN, *ENCODINGS]
    best, lowest = attack, 2.0
    seen: set[tuple[str, str]] = set()
    made = failed = 0
    while made < tries and failed < 50:
        words, form = chance.choice(list(PARAPHRASES)), chance.choice(forms)
        start = attack if chance.random() < EXPLORING else best
        said = PARAPHRASES[words](start, chance)
        if (said, form) in seen or len(said.encode()) > LONGEST:
            failed += 1
            continue
        failed, made = 0, made + 1
        seen.add((said, form))
        text = ENCODINGS[form](said, chance) if form in ENCODINGS else said
        if channel == "picture":
            grounds = [] if base is None else [base]
            (one,) = rendered([text], grounds, [form], seed=seed + made)
            screening = guard.screen(PROMPT, list(one.pictures), thorough=True)
        elif channel == "tool":
            screening = guard.screen(PROMPT, tool=text, thorough=True)
        else:
            screening = guard.screen(text, thorough=True)
        score = _highest(screening)
        if score < lowest:
            best, lowest = said, score
        action = screening.action
        yield Try(words, form, text, str(action), not action.stops, score)


def _highest(screening: Screening) -> float:
    rules = screening.verdict.rules
    return max((f.score for rule in rules for f in (*rule.findings, *rule.below)), default=0.0)


def _show(done: Sequence[Try]) -> None:
    from rich.table import Table

    from guardrail.evaluate.figures import wilson

    console = terminal()
    through = sum(made.through for made in done)
    console.print(f"{through} of {len(done)} tries got through: {wilson(through, len(done))}")
    for title in ("form", "words"):
        groups: dict[str, list[bool]] = defaultdict(list)
        for made in done:
            groups[getattr(made, title)].append(made.through)
        table = Table(title, "tries", "through")
        for name, results in sorted(groups.items(), key=lambda g: (-sum(g[1]) / len(g[1]), g[0])):
            table.add_row(name, str(len(results)), str(sum(results)))
        console.print(table)
