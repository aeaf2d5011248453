"""Whether a document that has only begun can still come to fit its schema.

Every place in the document keeps the forms it may still have: the schema with its references
followed and its `anyOf`, `oneOf` and `allOf` multiplied out. What comes strikes forms out; when
none is left, no text that follows can help. A form is struck out only for what cannot be
undone, so nothing that could still fit is stopped; the rest is for the check at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from guardrail.structure.problems import expected, of_schema
from guardrail.structure.reader import Pieces, Unreadable
from guardrail.structure.schema import Schema

if TYPE_CHECKING:
    from jsonschema_rs import Validator

    from guardrail.structure.shape import Shape

Form = tuple[Schema, ...]  # schemas without references and alternatives that hold together

_MAX_FORMS = 64  # of one place; where there are more, everything is let pass
_ANYTHING: tuple[Form, ...] = ((),)
_TAKEN_APART = frozenset("$ref $defs allOf anyOf oneOf title description default examples".split())


class Spot:
    """A place in the document: the forms left for it, each with the number of the form of the
    object or list around it that it belongs to."""

    __slots__ = ("forms", "nullable", "parent")

    def __init__(self, forms: list[tuple[int, Form]], parent: Spot | None, nullable: bool) -> None:
        self.forms, self.parent, self.nullable = forms, parent, nullable

    def keep(self, forms: list[tuple[int, Form]], reason: str) -> None:
        """Leave only these forms; raises Unreadable where there are none."""
        if not forms:
            raise Unreadable(reason, label="invalid_value")
        self.forms = forms


class Forms:
    """The forms of a schema in normal form, worked out when first needed."""

    def __init__(self, shape: Shape, wrapped: str) -> None:
        self._schema, self._names = shape.schema, shape.names
        self._definitions: Schema = shape.schema.get("$defs", {})
        self._known: dict[int, tuple[Form, ...]] = {}
        self._validators: dict[int, tuple[Schema, Validator]] = {}  # by id, kept alive with it
        self._root = self._of(shape.schema)
        if not shape.is_object:
            around: Schema = {
                "type": "object",
                "properties": {wrapped: shape.schema},
                "required": [wrapped],
                "additionalProperties": False,
            }
            self._root = (*self._root, (around,))

    def root(self) -> Spot:
        """The place of the whole document."""
        return Spot([(0, form) for form in self._root], None, nullable=False)

    def child(self, spot: Spot, key: str | int) -> Spot:
        """The place under a key of an object, or of an item of a list."""
        inner: list[tuple[int, Form]] = []
        needed = True
        for number, (_, form) in enumerate(spot.forms):
            ahead = [_under(schema, key) for schema in form]
            if False in ahead or any(_full(schema, key) for schema in form):
                continue
            needed = needed and any(key in schema.get("required", ()) for schema in form)
            several = [self._of(schema) for schema in ahead if schema is not True]
            inner += [(number, made) for made in _all_together(several)]
        if not inner:
            here = (key,) if isinstance(key, int) or key in self._names else ()
            reason = "there are too many items" if isinstance(key, int) else "no such key fits here"
            raise Unreadable(reason, here, "invalid_value")
        return Spot(inner, spot, nullable=isinstance(key, str) and not needed)

    def begins(self, spot: Spot, kind: str) -> None:
        """A value of this kind begins."""
        if kind == "null" and spot.nullable:
            return
        left = [one for one in spot.forms if all(_takes(schema, kind) for schema in one[1])]
        spot.keep(left, expected(k for _, form in spot.forms for s in form for k in _kinds(s)))

    def grows(self, spot: Spot, text: Pieces) -> None:
        """The string begins with `text`."""
        left = [one for one in spot.forms if all(_may_begin(schema, text) for schema in one[1])]
        if len(left) < len(spot.forms):
            spot.keep(left, self._string_reason(spot))

    def _string_reason(self, spot: Spot) -> str:
        for _, form in spot.forms:
            for schema in form:
                for problem in of_schema(self._validator(schema).iter_errors(""), self._names):
                    return problem.reason
                if "maxLength" in schema:
                    return f"must have at most {schema['maxLength']} characters"
        return "no such text fits here"

    def key_grows(self, spot: Spot, text: str) -> None:
        """A key of the object begins with `text`."""
        left = [one for one in spot.forms if all(_has_key(schema, text) for schema in one[1])]
        if len(left) < len(spot.forms):
            spot.keep(left, "no such key fits here")

    def ends(self, spot: Spot, value: Any) -> None:
        """The value is complete: only forms that it fits are left, here and around it."""
        if value is None and spot.nullable:
            return
        left = [one for one in spot.forms if all(self._fits(schema, value) for schema in one[1])]
        if not left:
            self._say_why(spot, value)
        around = spot.parent
        if around is not None and len(left) < len(spot.forms):
            numbers = {number for number, _ in left}
            around.forms = [one for i, one in enumerate(around.forms) if i in numbers]

    def _say_why(self, spot: Spot, value: Any) -> None:
        for _, form in spot.forms:
            for schema in form:
                for error in self._validator(schema).iter_errors(value):
                    (problem, *_) = of_schema([error], self._names)
                    raise Unreadable(problem.reason, tuple(error.instance_path), "invalid_value")
        raise Unreadable("no such value fits here", label="invalid_value")

    def _fits(self, schema: Schema, value: Any) -> bool:
        from guardrail.structure.shape import without_nulls

        validator = self._validator(schema)
        if validator.is_valid(value):
            return True
        return isinstance(value, (dict, list)) and validator.is_valid(
            without_nulls(validator, value)
        )

    def _validator(self, schema: Schema) -> Validator:
        from guardrail.structure.shape import compiled

        known = self._validators.get(id(schema))
        if known is None:
            known = schema, compiled({**schema, "$defs": self._definitions})
            self._validators[id(schema)] = known
        return known[1]

    def _of(self, schema: Any, under_way: frozenset[int] = frozenset()) -> tuple[Form, ...]:
        """The forms of a schema, at most _MAX_FORMS, else one that takes anything."""
        if isinstance(schema, bool):
            return _ANYTHING if schema else ()
        known = self._known.get(id(schema))
        if known is None:
            if id(schema) in under_way:
                return ()  # a branch that is the whole adds nothing to it
            known = tuple(_all_together(list(self._factors(schema, under_way | {id(schema)}))))
            if not under_way:
                self._known[id(schema)] = known
        return known

    def _factors(self, schema: Schema, under_way: frozenset[int]) -> Iterator[tuple[Form, ...]]:
        own = {key: value for key, value in schema.items() if key not in _TAKEN_APART}
        if own:
            yield ((own,),)
        if "$ref" in schema:
            named = str(schema["$ref"]).removeprefix("#/$defs/")
            yield self._of(self._definitions[named], under_way)
        for inner in schema.get("allOf", ()):
            yield self._of(inner, under_way)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                yield tuple(f for inner in schema[key] for f in self._of(inner, under_way))


def _all_together(factors: list[tuple[Form, ...]]) -> Iterator[Form]:
    """Every choice of one form of each factor, held together."""
    count = 1
    for factor in factors:
        count *= len(factor)
    if count > _MAX_FORMS:
        yield ()
        return
    for choice in product(*factors):
        yield tuple(schema for form in choice for schema in form)


def _kinds(schema: Schema) -> list[str]:
    if "enum" in schema:
        return [_kind_of(value) for value in schema["enum"]]
    if "const" in schema:
        return [_kind_of(schema["const"])]
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "number", float: "number", dict: "object", list: "array"}
    return kinds[type(value)]


def _takes(schema: Schema, kind: str) -> bool:
    kinds = _kinds(schema)
    return not kinds or kind in kinds or (kind == "number" and "integer" in kinds)


def _may_begin(schema: Schema, text: Pieces) -> bool:
    if text.length > schema.get("maxLength", text.length):
        return False
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices is None:
        return True
    so_far = text.joined()
    return any(isinstance(choice, str) and choice.startswith(so_far) for choice in choices)


def _has_key(schema: Schema, text: str) -> bool:
    if schema.get("additionalProperties", True) is not False or "patternProperties" in schema:
        return True
    return any(name.startswith(text) for name in schema.get("properties", ()))


def _under(schema: Schema, key: str | int) -> Any:
    """The schema of a child; True where anything goes, False where there can be none."""
    if isinstance(key, str):
        properties = schema.get("properties", {})
        if key in properties:
            return properties[key]
        return True if "patternProperties" in schema else schema.get("additionalProperties", True)
    items = schema.get("items", True)
    first = items if isinstance(items, list) else schema.get("prefixItems", [])
    if key < len(first):
        return first[key]
    return schema.get("additionalItems", True) if isinstance(items, list) else items


def _full(schema: Schema, key: str | int) -> bool:
    return isinstance(key, int) and key >= schema.get("maxItems", key + 1)
