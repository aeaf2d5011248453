"""JSON read as it comes, in chunks of any size, with the slips that models make forgiven.

Forgiven is what can be read in one way only: single or curly quotes, line breaks in strings,
trailing commas, a comma missing at a line's end, comments, bare keys, Python's True, False and
None. Everything else ends the reading, and what has not come is never made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Generic, TypeVar

MAX_DEPTH = 100  # levels of objects and arrays
MAX_DIGITS = 4_300  # of one number, as in Python's own reading of integers

N = TypeVar("N")

_ESCAPES = {
    '"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"
}  # fmt: skip
_CLOSING = {'"': '"', "'": "'", "“": "”"}
_RUNS = {
    quote: re.compile(f"[^{re.escape(quote)}\\\\\ud800-\udfff]+") for quote in _CLOSING.values()
}
_SPACE = re.compile(r"[ \t\r\n\ufeff]+")
_WORD = re.compile(r"[\w.+\-$]+")
_BARE_KEY = re.compile(r"[^\W\d][\w$\-]*|\$[\w$\-]*")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBER_BEGINNING = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?(?<=[0-9.])([eE][+-]?[0-9]*)?)?")
_LITERALS = {"true": True, "false": False, "null": None}
_FOREIGN = {"True": True, "False": False, "None": None}


class Unreadable(Exception):
    """What was read so far cannot become a document: where in it, and why, without content.

    A Watch gives the path from the place it was told of.
    """

    def __init__(self, reason: str, path: tuple[str | int, ...] = (), label: str = "") -> None:
        self.reason, self.path, self.label = reason, path, label
        super().__init__(reason)


class Pieces:
    """A string that grows; joined only when somebody looks."""

    __slots__ = ("_pieces", "length")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.length = 0

    def add(self, piece: str) -> None:
        """Put a piece to its end."""
        self._pieces.append(piece)
        self.length += len(piece)

    def joined(self) -> str:
        """The whole string."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""


class Watch(Generic[N]):
    """Is told of every step; raises Unreadable where the document breaks its rules.

    `N` is what it keeps of a place in the document. This one lets everything pass.
    """

    def root(self) -> N:
        """The place of the whole document."""
        raise NotImplementedError

    def child(self, parent: N, key: str | int) -> N:
        """A value begins under `key` (complete) or as item number `key`."""
        raise NotImplementedError

    def begins(self, node: N, kind: str) -> None:
        """The value at `node` is an "object", "array", "string", "number", "boolean" or "null"."""

    def grows(self, node: N, text: Pieces) -> None:
        """The string at `node` begins with `text`."""

    def key_grows(self, node: N, text: str) -> None:
        """A key of the object at `node` begins with `text`."""

    def ends(self, node: N, value: Any) -> None:
        """The value at `node` is complete."""


class _State(Enum):
    VALUE = auto()
    FIRST_ITEM = auto()
    FIRST_KEY = auto()
    NEXT_KEY = auto()
    COLON = auto()
    NEXT = auto()
    STRING = auto()
    WORD = auto()
    COMMENT = auto()
    DONE = auto()


class Frame(Generic[N]):
    """An object or array that is still open: `held` has its complete children."""

    __slots__ = ("held", "key", "node", "pending")

    def __init__(self, held: dict[str, Any] | list[Any], node: N) -> None:
        self.held, self.node = held, node
        self.key: str | int = 0
        self.pending: N | None = None  # the place of the child under way

    def put(self, value: Any) -> None:
        """Add the complete child under way."""
        if isinstance(self.held, dict):
            self.held[str(self.key)] = value
        else:
            self.held.append(value)
        self.pending = None


class Reader(Generic[N]):
    """Feed it text; it raises Unreadable as soon as no text that follows could help.

    `open` are the objects and arrays under way, outermost first; `text` the string under way
    (None where there is none, or where it is a key); `value` the document once `done`; `slips`
    what was forgiven.
    """

    def __init__(self, watch: Watch[N]) -> None:
        self.watch = watch
        self.open: list[Frame[N]] = []
        self.value: Any = None
        self.done = False
        self.slips: dict[str, None] = {}
        self.at = 0  # characters taken in
        self._state = self._after_comment = _State.VALUE
        self._node: N | None = None
        self._quote = '"'
        self._word = self._rest = ""
        self._string = Pieces()
        self._is_key = False
        self._newline = False  # a line break stands before the next token
        self._steps: dict[_State, Callable[[str, int], int]] = {
            _State.VALUE: self._value,
            _State.FIRST_ITEM: self._value,
            _State.FIRST_KEY: self._key,
            _State.NEXT_KEY: self._key,
            _State.COLON: self._colon,
            _State.NEXT: self._next,
            _State.STRING: self._in_string,
            _State.WORD: self._in_word,
            _State.COMMENT: self._in_comment,
        }

    @property
    def text(self) -> str | None:
        """The value that is a string and still open, as far as it has come."""
        inside = self._state is _State.STRING and not self._is_key
        return self._string.joined() if inside else None

    @property
    def text_length(self) -> int:
        """Characters of `text`; 0 where there is none."""
        return self._string.length if self._state is _State.STRING and not self._is_key else 0

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where in the document the reading is."""
        inside = [frame for frame in self.open if frame.pending is not None]
        return tuple(frame.key for frame in inside)

    def feed(self, text: str) -> int:
        """Take in text; returns how many of its characters the document took."""
        before, data = len(self._rest), self._rest + text
        self._rest, at = "", 0
        try:
            while at < len(data) and not self.done:
                step = self._steps[self._state](data, at)
                if step == at and self._rest:
                    break
                at = step
            if self._state is _State.STRING:
                self._told_of_string()
        except Unreadable as error:
            error.path = (*self.path, *error.path)
            error.label = error.label or "invalid_json"
            raise
        self.at += at
        return at - before

    def finish(self) -> Any:
        """The whole document; raises Unreadable where it has not ended."""
        if self._state is _State.WORD and not self.open:
            try:
                self._word_ends()
            except Unreadable as error:
                error.label = "invalid_json"
                raise
        if not self.done:
            raise Unreadable("it ends in the middle", self.path, "invalid_json")
        return self.value

    def _wait(self, data: str, at: int) -> int:
        """Leave the rest for when more has come."""
        self._rest = data[at:]
        return at

    def _blank(self, data: str, at: int) -> int | None:
        """Skip white space and comments; None where a token begins."""
        space = _SPACE.match(data, at)
        if space is not None:
            self._newline = self._newline or "\n" in space[0]
            return space.end()
        if data[at] == "/":
            if at + 1 == len(data):
                return self._wait(data, at)
            if data[at + 1] in "/*":
                self.slips["comments"] = None
                self._word = data[at + 1]
                self._after_comment, self._state = self._state, _State.COMMENT
                return at + 2
        return None

    def _in_comment(self, data: str, at: int) -> int:
        end = "\n" if self._word == "/" else "*/"
        found = data.find(end, at)
        if found < 0:
            return self._wait(data, len(data) - 1) if data.endswith("*") else len(data)
        self._state = self._after_comment
        return found if end == "\n" else found + 2

    def _value(self, data: str, at: int) -> int:
        blank = self._blank(data, at)
        if blank is not None:
            return blank
        char = data[at]
        if char == "]" and self.open and isinstance(self.open[-1].held, list):
            if self._state is not _State.FIRST_ITEM:
                self.slips["trailing commas"] = None
            return self._close(at)
        node = self._place()
        self._node = node
        if char in "{[":
            self.watch.begins(node, "object" if char == "{" else "array")
            if len(self.open) == MAX_DEPTH:
                raise Unreadable(f"it is nested deeper than {MAX_DEPTH} levels")
            self.open.append(Frame({} if char == "{" else [], node))
            self._state = _State.FIRST_KEY if char == "{" else _State.FIRST_ITEM
            return at + 1
        if char in _CLOSING:
            self.watch.begins(node, "string")
            return self._open_string(char, at, is_key=False)
        word = _WORD.match(data, at)
        if word is None:
            raise Unreadable(f"a value is expected at character {self.at + at}")
        kind = "number" if char in "-0123456789" else "null" if char in "nN" else "boolean"
        if kind != "number" and not any(w.startswith(char) for w in (*_LITERALS, *_FOREIGN)):
            raise Unreadable(f"a value is expected at character {self.at + at}")
        if not (char == "N" and data[at : at + 2] in ("N", "Na")):
            self.watch.begins(node, kind)
        self._word, self._state, self._is_key = "", _State.WORD, False
        return at

    def _place(self) -> N:
        if not self.open:
            return self.watch.root()
        frame = self.open[-1]
        if isinstance(frame.held, list):
            frame.key = len(frame.held)
        frame.pending = node = self.watch.child(frame.node, frame.key)
        return node

    def _key(self, data: str, at: int) -> int:
        blank = self._blank(data, at)
        if blank is not None:
            return blank
        char = data[at]
        if char == "}":
            if self._state is not _State.FIRST_KEY:
                self.slips["trailing commas"] = None
            return self._close(at)
        if char in _CLOSING:
            return self._open_string(char, at, is_key=True)
        if _BARE_KEY.match(data, at) is None:
            raise Unreadable(f"a key or }} is expected at character {self.at + at}")
        self._word, self._state, self._is_key = "", _State.WORD, True
        return at

    def _colon(self, data: str, at: int) -> int:
        blank = self._blank(data, at)
        if blank is not None:
            return blank
        if data[at] != ":":
            raise Unreadable(f"a colon is expected at character {self.at + at}")
        self._state = _State.VALUE
        return at + 1

    def _next(self, data: str, at: int) -> int:
        blank = self._blank(data, at)
        if blank is not None:
            return blank
        is_object = isinstance(self.open[-1].held, dict)
        char = data[at]
        if char == ("}" if is_object else "]"):
            return self._close(at)
        if char == ",":
            self._state = _State.NEXT_KEY if is_object else _State.VALUE
            return at + 1
        if not (self._newline and (char in _CLOSING or char in "{[")):
            raise Unreadable(f"a comma is expected at character {self.at + at}")
        self.slips["missing commas"] = None
        self._state = _State.NEXT_KEY if is_object else _State.VALUE
        return at

    def _open_string(self, quote: str, at: int, *, is_key: bool) -> int:
        if quote != '"':
            self.slips["quotes"] = None
        self._quote, self._string, self._is_key = _CLOSING[quote], Pieces(), is_key
        self._state = _State.STRING
        return at + 1

    def _in_string(self, data: str, at: int) -> int:
        run = _RUNS[self._quote].match(data, at)
        if run is not None:
            piece = run[0]
            if not piece.isprintable() and any(char < " " for char in piece):
                self.slips["raw line breaks"] = None
            self._string.add(piece)
            return run.end()
        char = data[at]
        if char == self._quote:
            return self._string_ends(at)
        if char != "\\":
            raise Unreadable("half of a surrogate pair stands in a string")
        escape = data[at + 1 : at + 2]
        if escape == "u":
            return self._unicode(data, at)
        if not escape:
            return self._wait(data, at)
        if escape not in _ESCAPES:
            raise Unreadable(f"no escape of JSON begins at character {self.at + at}")
        if escape == "'":
            self.slips["quotes"] = None
        self._string.add(_ESCAPES[escape])
        return at + 2

    def _unicode(self, data: str, at: int) -> int:
        if len(data) < at + 6 and not _bad_hex(data[at + 2 :]):
            return self._wait(data, at)
        if _bad_hex(data[at + 2 : at + 6]):
            raise Unreadable(f"no escape of JSON begins at character {self.at + at}")
        code = int(data[at + 2 : at + 6], 16)
        if not 0xD800 <= code < 0xE000:
            self._string.add(chr(code))
            return at + 6
        second = data[at + 6 : at + 12]
        if code < 0xDC00 and len(second) < 6 and "\\u".startswith(second[:2]):
            return self._wait(data, at)
        low = int(second[2:], 16) if second[:2] == "\\u" and not _bad_hex(second[2:]) else 0
        if code >= 0xDC00 or not 0xDC00 <= low < 0xE000:
            raise Unreadable("half of a surrogate pair stands in a string")
        self._string.add(chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)))
        return at + 12

    def _told_of_string(self) -> None:
        if self._is_key:
            self.watch.key_grows(self.open[-1].node, self._string.joined())
        elif self._node is not None:
            self.watch.grows(self._node, self._string)

    def _string_ends(self, at: int) -> int:
        self._told_of_string()
        if self._is_key:
            self._key_ends(self._string.joined())
        else:
            self._ends(self._string.joined())
        return at + 1

    def _key_ends(self, key: str) -> None:
        frame = self.open[-1]
        frame.key = key
        if key in frame.held:
            raise Unreadable("this key is given twice", (key,))
        self._state = _State.COLON

    def _in_word(self, data: str, at: int) -> int:
        run = _WORD.match(data, at)
        if run is None:
            self._word_ends()
            return at
        self._word += run[0]
        if self._word[0] in "-0123456789" and not self._is_key:
            if len(self._word) > MAX_DIGITS:
                raise Unreadable(f"a number has more than {MAX_DIGITS} digits")
            if not _NUMBER_BEGINNING.fullmatch(self._word):
                raise Unreadable(f"no number of JSON ends at character {self.at + run.end()}")
        elif not self._is_key and not any(
            word.startswith(self._word) for word in (*_LITERALS, *_FOREIGN)
        ):
            raise Unreadable(_not_a_value(self._word))
        return run.end()

    def _word_ends(self) -> None:
        word = self._word
        if self._is_key:
            if not _BARE_KEY.fullmatch(word):
                raise Unreadable("a key is expected")
            self.slips["bare keys"] = None
            self.watch.key_grows(self.open[-1].node, word)
            self._key_ends(word)
        elif word in _LITERALS:
            self._ends(_LITERALS[word])
        elif word in _FOREIGN:
            self.slips["Python's literals"] = None
            if word == "None" and self._node is not None:
                self.watch.begins(self._node, "null")
            self._ends(_FOREIGN[word])
        elif _INTEGER.fullmatch(word):
            self._ends(int(word))
        elif _NUMBER.fullmatch(word):
            number = float(word)
            if number in (float("inf"), float("-inf")):
                raise Unreadable("a number is too large")
            self._ends(number)
        else:
            raise Unreadable(_not_a_value(word))

    def _close(self, at: int) -> int:
        frame = self.open.pop()
        self._node = frame.node
        self._ends(frame.held)
        return at + 1

    def _ends(self, value: Any) -> None:
        if self._node is not None:
            self.watch.ends(self._node, value)
        self._newline = False
        if not self.open:
            self.value, self.done, self._state = value, True, _State.DONE
            return
        self.open[-1].put(value)
        self._state = _State.NEXT


def _bad_hex(digits: str) -> bool:
    return not all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _not_a_value(word: str) -> str:
    special = word.lstrip("-").lower()
    if special and ("nan".startswith(special) or "infinity".startswith(special)):
        return "NaN and Infinity are no values of JSON"
    return "a value is expected"
