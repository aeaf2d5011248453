"""A check of your own, named in a policy.

An installed package would name the factory as an entry point in the group
`guardrail.detectors` instead of giving it to a Registry. It prints:

    allow: Where is my parcel?
    flag: WHERE IS MY PARCEL?
"""

from guardrail import Detector, Finding, Guard, Span, Spec, View
from guardrail.registry import Registry


def shouting(*, share: float = 0.8) -> Detector:
    """Finds texts written in capitals; the score is the share of capital letters.

    share: from which share on a text counts at all.
    """

    def run(view: View) -> list[Finding]:
        found = []
        for part in view.texts:
            letters = [char for char in part.text if char.isalpha()]
            score = sum(char.isupper() for char in letters) / max(1, len(letters))
            if score >= share:
                where = Span(part.name, 0, len(part.text))
                found.append(Finding("shouting", "shouting", score, where))
        return found

    return Detector(Spec("shouting", version=f"1:{share}", labels=("shouting",)), run)


guard = Guard(
    {
        "apiVersion": "guardrail/v1",
        "policy": {"id": "polite"},
        "rules": [
            {
                "id": "no-shouting",
                "when": "input",
                "check": {"use": "shouting", "share": 0.9},
                "action": "flag",
            }
        ],
    },
    registry=Registry(detectors={"shouting": shouting}),
)
for prompt in ("Where is my parcel?", "WHERE IS MY PARCEL?"):
    print(f"{guard.screen(prompt).action}: {prompt}")
