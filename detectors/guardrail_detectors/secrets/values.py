"""Checks on a value that stands where a secret would stand."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter

_PLACEHOLDER = re.compile(
    r"^<[^>]*>?$|^\(|^[\[{].*[\]}]$|^%|^\$[A-Za-z_({]|\$\{[\w.:\-]+\}|\{\{\s*[\w.]+\s*\}\}|%\w$"
    r"|^\*+$|\.\.\.|…"
    r"|^(?:x{4,}|null|none|true|false|undefined|todo|string|required|optional|redacted|hidden)\W*$"
    r"|(?:your|my|the|insert|enter|replace|change|put)[_\-]?(?:api|access|secret|token|key|pass|own|me\b|it\b)"
    r"|example|placeholder|dummy|sample|changeme|redacted|process\.env|os\.environ|getenv|secrets?\."
    r"|env\.|config[.\[]|settings\.|params\.|self\.|this\.|vault:|ref\+|^(?:https?|s3|gs|file)://",
    re.IGNORECASE,
)
_WORDS = re.compile(r"^[A-Za-z]+(?:[_\-. ][A-Za-z]+)*[.,;:!?)]*$")
_CALL = re.compile(r"^[A-Za-z_][\w.]*\(|^[A-Za-z_]\w*\[|^[a-z]\w*(?:\.[A-Za-z_]\w*)+\W*$")
_VERSION = re.compile(r"^[v^~<>=]*\d+(?:\.\d+)+|^\d{1,4}([/.:\-])\d{1,2}\1\d{1,4}")


def entropy(value: str) -> float:
    """Shannon entropy in bits per character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def unquoted(value: str) -> str:
    """The value without its quotation marks and the punctuation that ends a statement."""
    quote = value[:1]
    if quote in {'"', "'", "`"}:
        return value[1:-1] if value.endswith(quote) and len(value) > 1 else value[1:]
    value = value.rstrip(";,")
    return value.rstrip(")]}") if "(" not in value and "{" not in value else value


def is_placeholder(value: str) -> bool:
    """Whether a value stands for a secret instead of being one."""
    return bool(_PLACEHOLDER.search(value)) or len(set(value)) < 4


def _has(value: str) -> tuple[bool, bool, bool, bool]:
    return (
        any(c.isdigit() for c in value),
        any(c.isupper() for c in value),
        any(c.islower() for c in value),
        any(not c.isalnum() for c in value),
    )


def is_mixed(value: str) -> bool:
    """Letters and digits, as random text has."""
    digit, upper, lower, _ = _has(value)
    return digit and (upper or lower) and entropy(value) > 3.0 and not is_placeholder(value)


def is_password(value: str) -> bool:
    """What follows the name of a password: quoted text, or a word that is no ordinary word."""
    bare = unquoted(value)
    if is_placeholder(bare) or _CALL.match(bare):
        return False
    digit, upper, lower, symbol = _has(bare)
    if bare != value and value[0] in "\"'`":
        spaces = bare.count(" ")
        if spaces and not (digit and spaces <= 3):
            return False
        return digit or symbol or (upper and lower) or len(bare) >= 8
    if len(bare) < 6 or _WORDS.match(bare) or _VERSION.match(bare):
        return False
    return (digit or symbol) and (upper or lower)


def is_spoken_password(value: str) -> bool:
    """A password told in a sentence: a word with a digit inside, or quoted."""
    bare = unquoted(value).rstrip(".!?)")
    digit, upper, lower, _ = _has(bare)
    return digit and (upper or lower) and len(bare) >= 5 and is_password(value)


def is_key_value(value: str) -> bool:
    """What follows the name of a key or a token: random text of 16 or more characters, or a
    shorter one of mixed characters."""
    bare = unquoted(value)
    if len(bare) < 8 or is_placeholder(bare) or _CALL.match(bare) or _VERSION.match(bare):
        return False
    digit, upper, lower, symbol = _has(bare)
    if bare.isdigit():
        return len(bare) >= 15 and value != bare
    if not digit:
        quoted = value[0] in "\"'`"
        return quoted and len(bare) >= 20 and not _WORDS.match(bare) and entropy(bare) > 3.5
    least = 3.0 if len(bare) >= 16 else 2.9
    if len(bare) < 16 and not (symbol or upper) and value == bare:
        return False
    return (upper or lower) and entropy(bare) >= least


def is_base64_text(value: str) -> bool:
    """A token in a header: long, with digits, and no placeholder."""
    return any(c.isdigit() for c in value) and entropy(value) > 3.0 and not is_placeholder(value)


def _decoded(value: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return b""


def is_jwt(value: str) -> bool:
    """A JSON Web Token, RFC 7519: the first part is a JSON object that names an algorithm."""
    return b'"alg"' in _decoded(value.split(".", 1)[0]).replace(b" ", b"")


def is_basic_credential(value: str) -> bool:
    """A credential of RFC 7617: base64 of user-id, colon and password."""
    return b":" in _decoded(value.rstrip("="))


def is_url_password(value: str) -> bool:
    """A password in a URL's user information."""
    return not is_placeholder(value) and value.lower() not in {"password", "pass", "pwd"}
