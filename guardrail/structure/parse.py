"""JSON as the standard has it (RFC 8259), and only where it can be read in one way."""

from __future__ import annotations

import json
from typing import Any

from guardrail.structure.reader import MAX_DEPTH, MAX_DIGITS, Unreadable


def parse(text: str) -> Any:
    """The document.

    Raises Unreadable for what is not JSON, for keys given twice, NaN and Infinity, numbers beyond
    a double or of more than MAX_DIGITS digits, halves of surrogate pairs, and more than MAX_DEPTH
    levels.
    """
    try:
        data = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"no JSON from character {error.pos} on") from None
    except ValueError:
        raise Unreadable(f"a number has more than {MAX_DIGITS} digits") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper(data):
        raise _too_deep()
    if "\\u" in text or not text.isascii():
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Unreadable("half of a surrogate pair stands in a string") from None
    return data


def _too_deep() -> Unreadable:
    return Unreadable(f"it is nested deeper than {MAX_DEPTH} levels")


def _deeper(data: Any) -> bool:
    level, depth = [data], 0
    while level := [inner for one in level for inner in _inside(one)]:
        depth += 1
        if depth >= MAX_DEPTH:
            return any(isinstance(inner, (dict, list)) for inner in level)
    return False


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Unreadable("a key is given twice in one object")
    return made


def _float(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise Unreadable("a number is too large")
    return number


def _constant(name: str) -> float:
    raise Unreadable("NaN and Infinity are no values of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
