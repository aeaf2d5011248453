"""Texts from templates: `{name}` is a line of that section, `[a|b]` one of the choices,
`{n:1-9}` a number. `\\{` stands for a brace, `\\n` for a line break.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path

KEPT = ("persona",)
_CHOICE = re.compile(r"\[([^\[\]{}]*\|[^\[\]]*?)\]")
_SLOT = re.compile(r"(?<!\\)\{(n:(\d+)-(\d+)|[\w.&']+)\}")


class Grammar:
    """Sections of templates, read from text files; sections of one name add up."""

    def __init__(self, folder: Path, made: Mapping[str, Callable[[random.Random], str]]) -> None:
        self.sections: dict[str, list[str]] = {}
        self.made = made
        for file in sorted(folder.glob("*.txt")):
            name = ""
            for line in file.read_text("utf-8").splitlines():
                if line.startswith("= "):
                    name = line[2:].strip()
                    self.sections.setdefault(name, [])
                elif line:
                    self.sections[name].append(line)

    def languages(self) -> list[str]:
        """Codes of the languages that have sections of their own."""
        return sorted({name.split(".")[0] for name in self.sections if "." in name})

    def one(self, section: str, rng: random.Random) -> str:
        """A text of a section."""
        if section in self.made:
            return self.made[section](rng)
        return self.fill(rng.choice(self.sections[section]), rng)

    def fill(self, template: str, rng: random.Random) -> str:
        """A template with every choice made and every slot filled; KEPT slots say the same
        throughout."""
        text = self._filled(template, rng, {})
        text = text.replace("\\n", "\n").replace("\\{", "{").replace("\\}", "}")
        return re.sub(r" +([.,!?]) ", r"\1 ", text.replace("\\[", "[").replace("\\]", "]")).strip()

    def _filled(self, template: str, rng: random.Random, kept: dict[str, str]) -> str:
        template = template.replace("\\[", "\x02").replace("\\]", "\x03")
        while True:
            match = re.search(r"\[([^\[\]]*\|[^\[\]]*)\]", template)
            if match is None:
                break
            chosen = rng.choice(match[1].split("|"))
            template = template[: match.start()] + chosen + template[match.end() :]
        template = template.replace("\x02", "\\[").replace("\x03", "\\]")

        def slot(match: re.Match[str]) -> str:
            if match[2]:
                return str(rng.randint(int(match[2]), int(match[3])))
            name = match[1]
            if name in self.made:
                return self.made[name](rng)
            text = self._filled(rng.choice(self.sections[name]), rng, kept)
            return kept.setdefault(name, text) if name in KEPT else text

        return _SLOT.sub(slot, template)
