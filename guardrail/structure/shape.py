"""A declared output, and an answer read under it: valid, mended, or what is wrong with it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from guardrail.structure.mend import documents
from guardrail.structure.parse import parse
from guardrail.structure.problems import Problem, of_schema, of_type
from guardrail.structure.reader import Unreadable
from guardrail.structure.schema import Schema, linear_time, normal, resolve

if TYPE_CHECKING:
    from jsonschema_rs import Validator
    from pydantic import TypeAdapter

    from guardrail.structure.viable import Forms

LABELS = ("invalid_json", "invalid_value", "cut_off", "refused", "mended")
WRAPPED = "value"  # the key that an output which is no object is asked for under
_MAX_MENDED = 1_000_000  # characters; a longer answer is taken as it is


@dataclass(frozen=True)
class Reading:
    """An answer as read. `label` is None where it fits as it is, "mended" where only its dress
    was wrong (`slips` says how), and else one of LABELS, with the `problems`. `value` is the typed
    value and `data` the plain one; both are None where the answer does not fit."""

    value: Any = None
    data: Any = None
    label: str | None = None
    problems: tuple[Problem, ...] = ()
    slips: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether there is a value."""
        return self.label in (None, "mended")


class Shape:
    """What an answer must be: a type, a schema in normal form, and what checks them.

    Safe to use from several threads at once. Made by `shape_of`.
    """

    def __init__(self, output: Any) -> None:
        from guardrail.structure.types import adapter_of, name_of, schema_of

        self.output = output
        self.name = name_of(output)
        self.adapter: TypeAdapter[Any] | None = None
        if isinstance(output, Mapping):
            declared: Mapping[str, Any] = output
        else:
            self.adapter = adapter_of(output)
            declared = schema_of(self.adapter, output)
        self.schema: Schema = normal(declared)
        # Checks of a type are more than its schema: no other process shares their results.
        self.token = secrets.token_hex(8) if self.adapter is not None else ""

    @cached_property
    def validator(self) -> Validator:
        """The compiled schema. Formats are checked, patterns run in linear time."""
        return compiled(self.schema)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every key that the schema declares."""
        return frozenset(_names(self.schema))

    @cached_property
    def root(self) -> Any:
        """The schema of the whole answer, references followed."""
        return resolve(self.schema, {k: v for k, v in self.schema.items() if k != "$defs"})

    @cached_property
    def forms(self) -> Forms:
        """What a document that has begun is held to."""
        from guardrail.structure.viable import Forms

        return Forms(self, WRAPPED)

    @cached_property
    def is_object(self) -> bool:
        """Whether the answer can only be an object."""
        return isinstance(self.root, dict) and self.root.get("type") == "object"

    def read(self, text: str, *, cut_off: bool = False, mend: bool = True) -> Reading:
        """Read an answer. `cut_off` says that the model was stopped before its end.

        Valid JSON is never changed. Otherwise the one document that fits the schema is taken out
        of fences and prose, with the slips that `Reader` forgives; where there are none or
        several, or the answer was cut off, nothing is guessed.
        """
        try:
            data = parse(text)
        except Unreadable as error:
            unreadable = Problem("$", error.reason)
        else:
            reading = self._fitted(data, (), text)
            whole = isinstance(data, (dict, list, str))
            if reading.fits and (whole or not cut_off):
                return reading
            if not cut_off:
                return reading
        if cut_off:
            return Reading(label="cut_off", problems=(Problem("$", "the model was cut off"),))
        if not mend or len(text) > _MAX_MENDED:
            return Reading(label="invalid_json", problems=(unreadable,))
        return self._mended(text, unreadable)

    def _mended(self, text: str, unreadable: Problem) -> Reading:
        fitting: dict[str, Reading] = {}
        failed: Reading | None = None
        for data, slips, error in documents(text, only_objects=self.is_object):
            if error is not None:
                failed = failed or Reading(
                    label="invalid_json", problems=(Problem("$", error.reason),)
                )
                continue
            reading = self._fitted(data, slips)
            if reading.fits:
                fitting[json.dumps(data, sort_keys=True)] = reading
            elif failed is None or failed.label == "invalid_json":
                failed = reading
        if not fitting and not self.is_object:
            bare = self._fitted(text.strip(), ("quotes",))
            if bare.fits:
                return bare
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        if fitting:
            several = Problem("$", f"one document is expected, there are {len(fitting)}")
            return Reading(label="invalid_json", problems=(several,))
        return failed or Reading(label="invalid_json", problems=(unreadable,))

    def _fitted(self, data: Any, slips: tuple[str, ...], text: str | None = None) -> Reading:
        """A document under the schema and the type, with the detours of request dialects undone:
        an object around an output that is none, null for what is left out."""
        plain, detours = data, tuple[str, ...]()
        if not self.validator.is_valid(plain):
            text = None
            if not self.is_object and isinstance(plain, dict) and set(plain) == {WRAPPED}:
                plain, detours = plain[WRAPPED], ("wrapped",)
            if not self.validator.is_valid(plain):
                plain = without_nulls(self.validator, plain)
                detours += ("nulls",)
            if not self.validator.is_valid(plain):
                problems = of_schema(self.validator.iter_errors(data), self.names)
                return Reading(label="invalid_value", problems=problems)
        value = plain
        if self.adapter is not None:
            from pydantic import ValidationError

            try:
                value = self.adapter.validate_json(json.dumps(plain) if text is None else text)
            except ValidationError as error:
                return Reading(label="invalid_value", problems=of_type(error, self.names))
            except (ValueError, TypeError, AssertionError, ArithmeticError, LookupError) as error:
                reason = f"the type's own check fails ({type(error).__name__})"
                return Reading(label="invalid_value", problems=(Problem("$", reason),))
        slips += detours
        return Reading(value, plain, "mended" if slips else None, slips=slips)


def compiled(schema: Schema) -> Validator:
    """A validator without network and without backtracking."""
    import jsonschema_rs

    return jsonschema_rs.validator_for(
        schema, pattern_options=linear_time(), offline=True, validate_formats=True
    )


def without_nulls(validator: Validator, data: Any) -> Any:
    """A copy without the keys whose null is what the schema objects to.

    Where every property must be given, models write null for what is not there.
    """
    from guardrail.reading.tree import at

    paths: list[tuple[Any, ...]] = []
    waiting = list(validator.iter_errors(data))
    while waiting and len(waiting) < 1_000:
        error = waiting.pop()
        path = tuple(error.instance_path)
        if path and isinstance(path[-1], str) and error.instance is None:
            paths.append(path)
        for branch in getattr(error.kind, "context", ()):
            waiting += branch
    if not paths:
        return data
    copy = json.loads(json.dumps(data))
    for path in set(paths):
        at(copy, path[:-1]).pop(path[-1], None)
    return copy


def _names(schema: Any) -> set[str]:
    from guardrail.structure.schema import children

    names: set[str] = set()
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            names |= set(one.get("properties", ())) | set(one.get("required", ()))
            waiting += [inner for _, inner in children(one)]
    return names


def shape_of(output: Any) -> Shape:
    """The shape of a pydantic model, dataclass, TypedDict, other type, or JSON Schema mapping.

    Raises SchemaError with keyword and place for what cannot be used.
    """
    if isinstance(output, Shape):
        return output
    if isinstance(output, Mapping):
        return _of_text(json.dumps(output))
    try:
        return _of_type(output)
    except TypeError:  # a type that cannot be a key
        return Shape(output)


@lru_cache(maxsize=256)
def _of_type(output: Any) -> Shape:
    return Shape(output)


@lru_cache(maxsize=256)
def _of_text(schema: str) -> Shape:
    return Shape(json.loads(schema))
