"""An answer followed while it comes: what is there so far, and whether it can still fit."""

from __future__ import annotations

from typing import Any

from guardrail.structure.lenient import MISSING, PLAIN, Plain, lenient
from guardrail.structure.mend import FENCE, MAX_STARTS
from guardrail.structure.problems import Problem, shown
from guardrail.structure.reader import Pieces, Reader, Unreadable, Watch
from guardrail.structure.shape import Shape
from guardrail.structure.viable import Forms, Spot

_LONGEST_FENCE = 60  # characters


class Place:
    """What is kept of a place in the document: the forms left for it, and its typed children."""

    __slots__ = ("held", "key", "lenient", "parent", "spot")

    def __init__(
        self, spot: Spot, form: Plain, parent: Place | None = None, key: str | int = 0
    ) -> None:
        self.spot, self.lenient, self.parent, self.key = spot, form, parent, key
        self.held: dict[str, Any] | list[Any] | None = None

    def put(self, value: Any, key: str | int) -> None:
        """Add a typed child."""
        if isinstance(self.held, dict):
            self.held[str(key)] = value
        elif self.held is not None:
            self.held.append(value)


class _Follow(Watch[Place]):
    """Holds a document to its schema and types what is complete."""

    def __init__(self, shape: Shape, forms: Forms) -> None:
        self._forms = forms
        self._root = PLAIN if shape.adapter is None else lenient(shape.output)
        self.seen = 0
        self.value: Any = None

    def root(self) -> Place:
        """See Watch."""
        return Place(self._forms.root(), self._root)

    def child(self, parent: Place, key: str | int) -> Place:
        """See Watch."""
        return Place(self._forms.child(parent.spot, key), parent.lenient.child(key), parent, key)

    def begins(self, node: Place, kind: str) -> None:
        """See Watch."""
        self._forms.begins(node.spot, kind)
        if kind in ("object", "array"):
            node.held = {} if kind == "object" else []
            self.seen += 1

    def grows(self, node: Place, text: Pieces) -> None:
        """See Watch."""
        self._forms.grows(node.spot, text)

    def key_grows(self, node: Place, text: str) -> None:
        """See Watch."""
        self._forms.key_grows(node.spot, text)

    def ends(self, node: Place, value: Any) -> None:
        """See Watch."""
        self._forms.ends(node.spot, value)
        self.seen += 1
        typed = node.lenient.whole(value, node.held)
        if node.parent is None:
            self.value = typed
        else:
            node.parent.put(typed, node.key)


class Progress:
    """Feed it the pieces of an answer; look at `partial` and at `problem` between them.

    `problem` is set as soon as nothing that follows could make the answer fit, with `label` for
    the kind (one of LABELS). An answer that began with prose is never given up before its end, as
    any brace in it may begin the document. The whole answer is for `Shape.read` to judge.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._forms = shape.forms
        self._begins = "{" if shape.is_object else "{["
        self._before = ""
        self._tried = Pieces()  # what the document under way took, where prose is around it
        self._starts = 0
        self._prose = False
        self._over = False
        self._reader: Reader[Place] | None = None
        self._follow = _Follow(shape, self._forms)
        self._shown: tuple[int, int] = (0, 0)
        self.problem: Problem | None = None
        self.label: str | None = None

    def feed(self, text: str) -> bool:
        """Take in the next piece; says whether there is more to see than before."""
        if self._over:
            return False
        if self._reader is None:
            text = self._start(text)
        while text and self._reader is not None:
            if self._prose:
                self._tried.add(text)
            try:
                self._reader.feed(text)
            except Unreadable as error:
                text = self._failed(error)
                continue
            self._over = self._reader.done
            break
        return self._reader is not None and self._look() != self._shown and self.problem is None

    def _start(self, text: str) -> str:
        """Find the beginning of the document; returns the text from there on."""
        data = self._before + text
        self._before = ""
        if not self._prose:
            bare = data.lstrip().lstrip("\ufeff").lstrip()
            opening = bare.startswith("`") and "\n" not in bare and len(bare) < _LONGEST_FENCE
            if opening and not FENCE.match(data):
                self._before = data
                return ""
            fence = FENCE.match(data)
            bare = data[fence.end() :] if fence else bare
            if not bare:
                self._before = data
                return ""
            if bare[0] in self._begins:
                return self._open(bare)
            self._prose = True
        places = [place for char in self._begins if (place := data.find(char)) >= 0]
        return self._open(data[min(places) :]) if places else ""

    def _open(self, text: str) -> str:
        self._starts += 1
        if self._starts > MAX_STARTS:
            self._over = True
            return ""
        self._follow = _Follow(self._shape, self._forms)
        self._reader = Reader(self._follow)
        return text

    def _failed(self, error: Unreadable) -> str:
        if not self._prose:
            self.problem = Problem(shown(error.path, self._shape.names), error.reason)
            self.label, self._over = error.label, True
            return ""
        tried, self._tried, self._reader = self._tried.joined()[1:], Pieces(), None
        return self._start(tried)

    def _look(self) -> tuple[int, int]:
        reader = self._reader
        return (self._follow.seen, reader.text_length if reader is not None else 0)

    @property
    def complete(self) -> bool:
        """Whether the document has ended."""
        return self._reader is not None and self._reader.done

    @property
    def partial(self) -> Any:
        """What has come so far, typed leniently; None before anything has."""
        reader = self._reader
        self._shown = self._look()
        if reader is None or self.problem is not None:
            return None
        if reader.done:
            return self._follow.value
        value: Any = MISSING
        under_way = reader.open[-1].pending if reader.open else None
        if reader.text is not None and under_way is not None:
            value = under_way.lenient.begun(reader.text)
        for frame in reversed(reader.open):
            held = frame.node.held
            held = dict(held) if isinstance(held, dict) else list(held or ())
            if value is not MISSING and isinstance(held, dict):
                held[str(frame.key)] = value
            elif value is not MISSING:
                held = [*held, value]
            value = frame.node.lenient.begun(held)
        return None if value is MISSING else value
