"""Which disguises a text may wear, in one pass over it.

What is named here need not be there, but what is not named is not: most texts are spared the
slower search for each disguise.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from guardrail_detectors.injection.ciphers import SHIFTED_WORDS, SPELT, coded_words
from guardrail_detectors.normalise import utf8

if TYPE_CHECKING:
    import re2

REVERSED_WORDS = (
    "noitcurtsni tpmorp erongi dragersid suoiverp metsys tegrof evitcerid laever terces"
).split()

_SPELT = "|".join(SPELT)
_LETTER = r"[\pL\pN\x{900}-\x{eff}][\x{900}-\x{eff}]{0,2}"
_BETWEEN = r"[\s\x{1c}-\x{1f}\x{85}\pZ.,:;_*\-\x{b7}\x{2013}\x{2014}\x{2022}|/+~]"
_MARKS = {
    "base64": r"[a-z0-9+/_-]{16}",
    "base32": r"[a-z2-7]{24}",
    "hex": r"(?:(?:0x|\\x)?[0-9a-f]{2}[^0-9a-z]{0,2}){10}",
    "morse": r"(?:[.-]{1,5}[ /\n]+){8}",
    "ascii85": r"[!-~]{20}",
    "nato": rf"(?:{_SPELT})[^a-z]{{1,4}}(?:{_SPELT})",
    "braille": "[\u2801-\u283f]",
    "cipher": "|".join(sorted(coded_words())),
    "shifted": "|".join(re.escape(word) for word in SHIFTED_WORDS),
    "leet": r"[a-z][013457@$!|]+[a-z]|[013457@$]+[a-z]{2}",
    "reversed": "|".join(REVERSED_WORDS),
    "spaced": rf"(?:{_LETTER}{_BETWEEN}{{1,3}}){{4}}",
}


def hints(*texts: str) -> Collection[str]:
    """Names of the disguises that may be in the texts; all of them where that is not known."""
    found: set[str] = set()
    for text in texts:
        present = _marks().Match(utf8(text))
        if not present:
            return NAMES
        found.update(NAMES[index] for index in present if index < len(NAMES))
    return found


NAMES = tuple(_MARKS)


@lru_cache(maxsize=1)
def _marks() -> re2.Set:
    import re2

    options = re2.Options()
    options.max_mem = 64 << 20
    options.case_sensitive = False
    options.log_errors = False
    together = re2.Set.SearchSet(options)
    for pattern in _MARKS.values():
        together.Add(pattern.encode())
    together.Add(b"")  # always there: without it, the set ran out of memory
    together.Compile()
    return together
