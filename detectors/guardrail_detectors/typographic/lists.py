"""A heading with an empty numbered list below it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(
    r"^\W{0,2}(?:(?:step|item|schritt|paso|étape|passo|шаг)\s*)?"
    r"([1-9]|[a-e])\s?[.):、]?\W{0,3}$",
    re.IGNORECASE,
)
_MOST = 400  # characters of a heading

_COMPLETE = re.compile(
    r"\b(?:fill|complet\w*|generat\w*|finish\w*|continu\w*|writ\w*|provid\w*|elaborat\w*|add)\b"
    r"[^.?!\n]{0,80}\b(?:list\w*|items?|points?|steps?|numbers?|blanks?|bullets?|entr(?:y|ies))\b"
    r"|\b(?:list|items?|points?)\b[^.?!\n]{0,60}\b(?:empty|blank|missing|numbered)\b",
    re.IGNORECASE,
)
_HARM = re.compile(
    r"illegal|unlawful|\bdrugs?\b|cocaine|heroin|\bmeth(?:amphetamine)?\b|narcotic"
    r"|weapon|\bguns?\b|firearm|\bbombs?\b|explosiv|poison|\bkill|murder|terroris|extremis|radicali|kidnap|abduct|traffick"
    r"|smuggl|\bsteal|\btheft\b|\brob(?:bery|bing)?\b|burglar|shoplift|launder|\bfraud|\bscam|phish"
    r"|counterfeit|\bforg(?:e|ing|ery)|\bfake\b|\bhack|malware|\bvirus|trojan|ransomware|spyware"
    r"|keylog|botnet|\bddos|exploit|\bbypass|\bcrack(?:ing)?\b|pirat|manipulat|blackmail|extort"
    r"|\bbully|harass|\bstalk|secretly|without (?:\w+ )?(?:consent|permission|knowledge|knowing)"
    r"|\bspy|monitor someone|track someone|surveil|undetect|\bevad|detection|suicid|self-harm"
    r"|\bhate|\bracis|\bsexis|discriminat|\bslur|propagand|\bporn|\bsexual|underage|prostitut"
    r"|escort|endangered|poach|insider trading|tax evasion|ponzi|pyramid scheme|\bspam|deepfake"
    r"|disinformation|misinformation|\brumou?r|\babus|violen|tortur|assault|hitman|vandal|arson"
    r"|sabotag|\bcheat|impersonat|\bbrib|artificially (?:increase|inflate)|inferior|supremac"
    r"|leak(?:ed|ing)? (?:data|password)|password|personal information|identity|covert"
    r"|hidden camera|plagiar|\bworms?\b"
    r"|race or religion|facial recognition|without being (?:caught|noticed)|tax haven",
    re.IGNORECASE,
)
_ADVICE = re.compile(
    r"\b(?:stocks?|bonds?|invest\w*|portfolio|returns|legal|lawsuit|lawyer|court|custody|sue|divorce"
    r"|tenant|visa|diagnos\w*|symptoms?|disease|tumou?r|cancer|dosage|prescri\w*|medication|treatment"
    r"|infection)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class EmptyList:
    """A list with nothing behind its numbers: its heading and its place in the text."""

    heading: str
    start: int
    end: int


def find_list(text: str) -> EmptyList | None:
    """The first heading that is followed by at least two numbers in order without content."""
    starts = [0, *(match.end() for match in re.finditer(r"\n", text))]
    lines = text.split("\n")
    for first, line in enumerate(lines):
        number = _ITEM.match(line.strip())
        if number is None or number[1] not in "1aA" or first == 0:
            continue
        last = first
        while last + 1 < len(lines):
            following = _ITEM.match(lines[last + 1].strip())
            if following is None or ord(following[1]) != ord(number[1]) + last + 1 - first:
                break
            last += 1
        if last == first:
            continue
        top = first
        while top > 0 and sum(len(line) + 1 for line in lines[top - 1 : first]) <= _MOST:
            top -= 1
        heading = " ".join(" ".join(lines[top:first]).split())
        if any(char.isalpha() for char in heading):
            return EmptyList(heading, starts[top], starts[last] + len(lines[last]))
    return None


def list_score(heading: str, prompt: str) -> float:
    """How likely an empty list is an attack, by its heading and what is asked about it."""
    if _HARM.search(heading):
        return 0.9
    score = 0.5 if _ADVICE.search(heading) else 0.35
    return score + 0.1 if _COMPLETE.search(prompt) else score
