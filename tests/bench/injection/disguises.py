"""Ways to write a text so that a filter does not read it."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from urllib.parse import quote

from guardrail_detectors.injection.ciphers import BRAILLE, MORSE, NATO, atbash, rot47

_LEET = str.maketrans("aeiost", "431057")


def _coded(table: dict[str, str], gap: str, space: str) -> Callable[[str], str]:
    """Letter by letter; what the table lacks is left out."""
    back = {letter: code for code, letter in table.items()}
    return lambda text: space.join(
        gap.join(back[char] for char in word if char in back) for word in text.lower().split()
    )


DISGUISES: dict[str, Callable[[str], str]] = {
    "b64": lambda text: base64.b64encode(text.encode()).decode(),
    "b32": lambda text: base64.b32encode(text.encode()).decode(),
    "b85": lambda text: base64.a85encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot": lambda text: codecs.encode(text, "rot13"),
    "rot47": rot47,
    "atbash": atbash,
    "url": quote,
    "leet": lambda text: text.translate(_LEET),
    "spaced": lambda text: "   ".join(" ".join(word) for word in text.split()),
    "rev": lambda text: text[::-1],
    "morse": _coded(MORSE, " ", " / "),
    "nato": _coded(NATO, " ", " / "),
    "braille": _coded(BRAILLE, "", " "),
}
