"""A schema made ready for decoding token by token: finite, closed, and with nothing that such
decoding cannot hold to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import inf, nextafter
from typing import Any

from guardrail.errors import SchemaError
from guardrail.structure.schema import NAMED, Schema, pointer

LEVELS = 3  # how often a schema may contain itself where the caller does not say
_LARGEST = 20_000  # schemas after unrolling

_UNSUPPORTED = {
    "uniqueItems": "items that differ cannot be held to token by token: use list instead of set",
    "not": "exclusions cannot be held to token by token",
    "if": "conditions cannot be held to token by token: use anyOf",
    "then": "conditions cannot be held to token by token: use anyOf",
    "else": "conditions cannot be held to token by token: use anyOf",
    "contains": "this cannot be held to token by token: use prefixItems",
    "propertyNames": "this cannot be held to token by token: use patternProperties",
    "dependentRequired": "this cannot be held to token by token: use anyOf",
    "dependentSchemas": "this cannot be held to token by token: use anyOf",
    "dependencies": "this cannot be held to token by token: use anyOf",
    "unevaluatedProperties": "this cannot be held to token by token: use additionalProperties",
    "unevaluatedItems": "this cannot be held to token by token: use items",
}
_WITHOUT_MEANING = frozenset(
    """title description default examples example deprecated readOnly writeOnly discriminator
    $comment $schema $id contentEncoding contentMediaType contentSchema minContains
    maxContains""".split()
)

_MONTHS_AND_DAYS = (
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8])"
)
_LEAP_YEARS = "[12][0-9](?:0[48]|[2468][048]|[13579][26])|2000"
_DATE = f"(?:[1-9][0-9]{{3}}-(?:{_MONTHS_AND_DAYS})|(?:{_LEAP_YEARS})-02-29)"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?"
_ZONE = "(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
_SPAN = "[1-9][0-9]{0,3}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_HOST = "(?:[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\\.){1,3}[a-z]{2,8}"
_FORMATS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}{_ZONE}$",
    "date-time": f"^{_DATE}T{_TIME}{_ZONE}$",
    "duration": f"^P(?:{_SPAN}D|T{_SPAN}[HMS]|{_SPAN}DT{_SPAN}[HMS])$",
    "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    "ipv4": f"^(?:{_BYTE}\\.){{3}}{_BYTE}$",
    "email": f"^[a-z0-9_+-]{{1,30}}(?:\\.[a-z0-9_+-]{{1,30}})?@{_HOST}$",
    "hostname": f"^{_HOST}$",
    "uri": f"^https?://{_HOST}(?:/[A-Za-z0-9._~-]{{0,40}}){{0,4}}$",
}
# Formats that the check of an answer knows beside those: what it would refuse may not be written.
_CHECKED = frozenset(
    """idn-email idn-hostname ipv6 uri-reference iri iri-reference uri-template json-pointer
    relative-json-pointer regex""".split()
)
MOST = 10**15  # bound of numbers that have none: beyond it, digits are lost
STEP = 1e-9  # of numbers without a step of their own: so many decimals
ANYTHING: Schema = {
    "type": ["string", "number", "boolean", "null"],
    "minimum": -MOST,
    "maximum": MOST,
    "multipleOf": STEP,
}
_MEANT = {
    "object": frozenset("properties patternProperties additionalProperties required".split()),
    "array": frozenset("items prefixItems minItems maxItems".split()),
    "string": frozenset("pattern minLength maxLength".split()),
    "number": frozenset("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf".split()),
}


def for_decoding(schema: Schema, levels: int = LEVELS) -> Schema:
    """A schema in normal form as one to decode under: every document of it fits the given one.

    Objects take no keys but those declared, and what may be anything is no object or list. What
    contains itself does so `levels` times at most: a branch, item or property that would go deeper
    is left out. Numbers without bounds lie within ±MOST and are multiples of STEP; constants that
    would lose digits are refused. A format becomes a pattern of its usual forms. That no key comes
    twice can only be held to where keys are declared. Raises SchemaError, naming the keyword and
    its place, for what cannot be held to.
    """
    form = _Unroll(schema.get("$defs", {}), levels).form(schema, (), {})
    if form is None:
        raise SchemaError(
            "#", "$ref", f"it needs more than {levels} levels of itself: raise the bound"
        )
    return form


Path = tuple[str | int, ...]


class _Unroll:
    """Copies a schema with its references put in; None is what cannot be within the levels."""

    def __init__(self, definitions: Mapping[str, Any], levels: int) -> None:
        self.definitions, self.levels = definitions, levels
        self.count = 0

    def form(self, schema: Any, path: Path, used: Mapping[str, int]) -> Schema | None:
        if isinstance(schema, bool):
            return dict(ANYTHING) if schema else None
        self.count += 1
        if self.count > _LARGEST:
            raise SchemaError(
                pointer(path), "$ref", "too large once it is unrolled: lower the levels"
            )
        for keyword, reason in _UNSUPPORTED.items():
            if schema.get(keyword, False) is not False:
                raise SchemaError(pointer(path), keyword, reason)
        form = {
            key: schema[key] for key in schema if key not in _WITHOUT_MEANING and key != "$defs"
        }
        referred = None
        if "$ref" in form:
            referred = self._referred(form.pop("$ref"), used)
            if referred is None:
                return None
        for key in ("allOf", "anyOf", "oneOf", "prefixItems"):
            if key not in schema:
                continue
            made = [self.form(one, (*path, key, i), used) for i, one in enumerate(schema[key])]
            left = [one for one in made if one is not None]
            if key == "prefixItems":
                possible = self._first_items(form, made)
            else:
                possible = bool(left) and (key != "allOf" or len(left) == len(made))
                form[key] = left
            if not possible:
                return None
        if referred is not None and len(form) == 0:
            return referred
        if referred is not None:
            form["allOf"] = [*form.get("allOf", ()), referred]
        if not self._object(schema, form, path, used) or not self._list(schema, form, path, used):
            return None
        return self._settled(form, path)

    def _referred(self, reference: str, used: Mapping[str, int]) -> Schema | None:
        name = reference.removeprefix("#/$defs/")
        times = used.get(name, 0)
        if times > self.levels:
            return None
        return self.form(self.definitions[name], ("$defs", name), {**used, name: times + 1})

    def _object(self, schema: Schema, form: Schema, path: Path, used: Mapping[str, int]) -> bool:
        required = schema.get("required", ())
        for key in NAMED & form.keys():
            made = {n: self.form(one, (*path, key, n), used) for n, one in schema[key].items()}
            if key == "properties" and any(made.get(name, {}) is None for name in required):
                return False
            form[key] = {name: one for name, one in made.items() if one is not None}
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            inner = self.form(extra, (*path, "additionalProperties"), used)
            form["additionalProperties"] = False if inner is None else inner
        elif extra is None and NAMED & form.keys():
            form["additionalProperties"] = False
            missing = {n: dict(ANYTHING) for n in required if n not in form.get("properties", {})}
            if missing and "patternProperties" not in form:
                form["properties"] = {**form.get("properties", {}), **missing}
        return True

    def _first_items(self, form: Schema, made: list[Schema | None]) -> bool:
        whole = made.index(None) if None in made else len(made)
        if form.get("minItems", 0) > whole and whole < len(made):
            return False
        form["prefixItems"] = made[:whole]
        if whole < len(made):
            form["maxItems"] = min(whole, form.get("maxItems", whole))
        return True

    def _list(self, schema: Schema, form: Schema, path: Path, used: Mapping[str, int]) -> bool:
        for key in ("items", "additionalItems"):
            items = schema.get(key)
            if isinstance(items, list):
                made = [self.form(one, (*path, key, i), used) for i, one in enumerate(items)]
                if not self._first_items(form, made):
                    return False
                form.pop("items")
                form["items"] = form.pop("additionalItems", True)
            elif isinstance(items, dict) and key in form:
                inner = self.form(items, (*path, key), used)
                if inner is not None:
                    form[key] = inner
                    continue
                whole = len(form.get("prefixItems", ()))
                if form.get("minItems", 0) > whole:
                    return False
                form[key] = False
        return True

    def _settled(self, form: Schema, path: Path) -> Schema:
        """With what was left open closed: kinds, keys, items, digits and formats."""
        for key in ("enum", "const"):
            if key in form:
                choices = form[key] if key == "enum" else [form[key]]
                for number in _numbers(choices):
                    if not _survives(number):
                        reason = f"{number} loses digits token by token: use fewer, or a range"
                        raise SchemaError(pointer(path), key, reason)
                return form
        wanted = form.pop("format", None)
        if wanted in _FORMATS:
            if "pattern" in form:
                raise SchemaError(pointer(path), "format", "beside pattern it cannot be held to")
            form["pattern"] = _FORMATS[wanted]
        elif wanted in _CHECKED:
            raise SchemaError(pointer(path), "format", f"{wanted} cannot be held to token by token")
        if not form.keys() & {"type", "anyOf", "oneOf", "allOf"}:
            meant = [kind for kind, keys in _MEANT.items() if keys & form.keys()]
            form["type"] = meant[:1] or ANYTHING["type"]
        kinds = form.get("type", ())
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if "object" in kinds and form.get("additionalProperties", True) is True:
            form["additionalProperties"] = dict(ANYTHING)
        if "array" in kinds and form.get("items", True) is True:
            form["items"] = dict(ANYTHING)
        if "number" in kinds:
            form.setdefault("multipleOf", STEP)
        if "number" in kinds or "integer" in kinds:
            if "minimum" not in form and "exclusiveMinimum" not in form:
                form["minimum"] = -MOST
            if "maximum" not in form and "exclusiveMaximum" not in form:
                form["maximum"] = MOST
        if "number" in kinds:
            _narrow(form)
            if len(kinds) == 1 and form["minimum"] == form["maximum"]:
                return {"const": form["minimum"]}  # engines find no number between such bounds
        return form


def _numbers(values: Iterable[Any]) -> Iterator[int | float]:
    """The numbers in values, however deep."""
    for value in values:
        if isinstance(value, dict):
            yield from _numbers(value.values())
        elif isinstance(value, list):
            yield from _numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield value


def _survives(number: int | float) -> bool:
    """Whether a number is still the same once it was read the quick way that engines use: as a
    double of its digits, times or divided by a power of ten, each of which may be rounded."""
    if isinstance(number, int):
        return abs(number) <= 2**53
    if number != 0 and not STEP <= abs(number) <= MOST:
        return False
    exact = Decimal(repr(abs(number))).as_tuple()
    power = int(exact.exponent)
    digits, ten = float("".join(map(str, exact.digits))), float(f"1e{abs(power)}")
    return abs(number) == (digits * ten if power > 0 else digits / ten)


def _narrow(form: Schema) -> None:
    """Bounds of numbers as the multiples of their step that lie next to them: engines round other
    bounds, and take one that is excluded where both bounds have the same whole part."""
    step = Decimal(repr(form["multipleOf"]))
    for bound, excluded, rounding, sign in (
        ("minimum", "exclusiveMinimum", ROUND_CEILING, 1),
        ("maximum", "exclusiveMaximum", ROUND_FLOOR, -1),
    ):
        inside = []
        for key in (bound, excluded):
            given = form.get(key)
            if given is None or abs(given) > MOST:
                continue
            exact = Decimal(repr(given))
            count = (exact / step).to_integral_value(rounding)
            if key == excluded and count * step == exact:
                count += sign
            near: float = form.pop(key) if count * step == exact else float(count * step)
            if key == excluded and near == given:  # the step is lost beside so large a number
                near = nextafter(given, sign * inf)
            form.pop(key, None)
            inside.append(near)
        if inside:
            form[bound] = max(inside) if sign > 0 else min(inside)
