"""Schemas checked before they are used, and brought into one form.

What would reach for the network, run without bound or be understood in two ways is refused with
the keyword and its place. The form: references point into `$defs` only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from guardrail.errors import SchemaError

MAX_DEPTH = 32  # schemas inside schemas
MAX_SCHEMAS = 5_000  # in one document
MAX_PATTERN = 1_000  # characters
_PATTERN_MEMORY = 1 << 20  # bytes of one compiled pattern

DRAFTS = {
    "https://json-schema.org/draft/2020-12/schema": 2020,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "http://json-schema.org/draft-07/schema": 7,
    "http://json-schema.org/draft-06/schema": 6,
}

ONE = frozenset(
    """additionalProperties unevaluatedProperties propertyNames items additionalItems contains
    unevaluatedItems not if then else""".split()
)
MANY = frozenset("allOf anyOf oneOf prefixItems".split())
NAMED = frozenset("properties patternProperties dependentSchemas $defs definitions".split())
KEYWORDS = frozenset(
    """type enum const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength
    maxLength pattern format required minProperties maxProperties minItems maxItems uniqueItems
    minContains maxContains dependentRequired dependencies contentEncoding contentMediaType
    contentSchema $ref $schema $id $comment title description default examples example deprecated
    readOnly writeOnly discriminator""".split()
)
_REFUSED = {
    "$dynamicRef": "references that depend on the way here are not supported: use $ref",
    "$recursiveRef": "references that depend on the way here are not supported: use $ref",
    "$anchor": 'named places are not supported: use $ref: "#/$defs/..."',
    "nullable": 'this is OpenAPI: write type: ["...", "null"]',
    "$vocabulary": "vocabularies are not supported",
}

Schema = dict[str, Any]


def children(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The schemas directly inside a schema, each with its place in it."""
    for key, value in schema.items():
        if key in ONE:
            if isinstance(value, list):  # items of older drafts
                yield from (((key, i), item) for i, item in enumerate(value))
            else:
                yield (key,), value
        elif key in MANY and isinstance(value, list):
            yield from (((key, i), item) for i, item in enumerate(value))
        elif key in NAMED and isinstance(value, Mapping):
            yield from (((key, name), item) for name, item in value.items())


def pointer(path: tuple[str | int, ...]) -> str:
    """A place as a JSON Pointer in a URI fragment (RFC 6901)."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def normal(schema: Mapping[str, Any]) -> Schema:
    """The schema in the form described above. Raises SchemaError; reads nothing but its argument.

    JSON Schema 2020-12, 2019-09, draft 7 and draft 6 are understood.
    """
    draft = _draft(schema)
    _look(schema, draft)
    form = _Hoist(schema, draft).form()
    _meaningful(form)
    _finite(form)
    return form


def _draft(schema: Mapping[str, Any]) -> int:
    named = schema.get("$schema", "https://json-schema.org/draft/2020-12/schema")
    draft = DRAFTS.get(str(named).rstrip("#"))
    if draft is None:
        raise SchemaError("#", "$schema", f"not supported; there are: {', '.join(DRAFTS)}")
    return draft


def _look(schema: Mapping[str, Any], draft: int) -> None:
    """Every schema of the document, one by one."""
    waiting: list[tuple[tuple[str | int, ...], Any, int]] = [((), schema, 0)]
    seen = 0
    while waiting:
        path, one, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH:
            where, keyword = path[:-1], str(path[-1])
            raise SchemaError(pointer(where), keyword, f"more than {MAX_DEPTH} schemas deep")
        if seen > MAX_SCHEMAS:
            raise SchemaError(pointer(path), "", f"more than {MAX_SCHEMAS} schemas in one document")
        if isinstance(one, bool):
            continue
        if not isinstance(one, Mapping):
            raise SchemaError(pointer(path), "", "a schema is expected (an object, true or false)")
        _look_at_keywords(one, path, draft)
        waiting += [((*path, *step), inner, depth + 1) for step, inner in children(one)]


def _look_at_keywords(schema: Mapping[str, Any], path: tuple[str | int, ...], draft: int) -> None:
    where = pointer(path)
    known = KEYWORDS | ONE | MANY | NAMED
    for keyword, value in schema.items():
        if not isinstance(keyword, str):
            raise SchemaError(where, str(keyword), "keywords are strings")
        if keyword in _REFUSED and value is not False:
            raise SchemaError(where, keyword, _REFUSED[keyword])
        if keyword == "$id" and path:
            raise SchemaError(where, keyword, "an address inside the schema is not supported")
        if keyword not in known and not keyword.startswith("x-"):
            close = get_close_matches(keyword, known, n=1, cutoff=0.84)
            if close:
                raise SchemaError(where, keyword, f"not a keyword; did you mean {close[0]}?")
    reference = schema.get("$ref", "#")
    if not isinstance(reference, str) or not reference.startswith(("#/", "#")):
        raise SchemaError(
            where, "$ref", "only places in this document (#/...) can be referred to: no network"
        )
    if reference != "#" and not reference.startswith("#/"):
        raise SchemaError(where, "$ref", _REFUSED["$anchor"])
    patterns = [schema["pattern"]] if "pattern" in schema else []
    named = schema.get("patternProperties")
    for keyword, pattern in [
        *(("pattern", pattern) for pattern in patterns),
        *(("patternProperties", name) for name in (named if isinstance(named, Mapping) else ())),
    ]:
        _look_at_pattern(where, keyword, pattern)


def _look_at_pattern(where: str, keyword: str, pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise SchemaError(where, keyword, "a text is expected")
    if len(pattern) > MAX_PATTERN:
        raise SchemaError(where, keyword, f"longer than {MAX_PATTERN} characters")
    import jsonschema_rs

    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=linear_time())
    except Exception:
        raise SchemaError(
            where,
            keyword,
            "this expression cannot be run in linear time and bounded memory, or is none: "
            "leave out look-around and back-references, use smaller counts in {}",
        ) from None


def linear_time() -> Any:
    """Regular expressions without backtracking, in bounded memory."""
    import jsonschema_rs

    return jsonschema_rs.RegexOptions(size_limit=_PATTERN_MEMORY, dfa_size_limit=_PATTERN_MEMORY)


class _Hoist:
    """Copies a schema with everything that is referred to put under `$defs`."""

    def __init__(self, schema: Mapping[str, Any], draft: int) -> None:
        self.root, self.draft = schema, draft
        self.names: dict[str, str] = {}
        self.defs: Schema = {}

    def form(self) -> Schema:
        form: Schema = self._copy(self.root, ())
        form.pop("$id", None)
        if self.defs:
            form["$defs"] = self.defs
        return form

    def _copy(self, schema: Any, path: tuple[str | int, ...]) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            schema = {
                **({} if self.draft < 2019 else schema),  # older drafts ignore what is beside it
                "$ref": f"#/$defs/{self._name(schema['$ref'], path)}",
            }
        copied = {}
        for key, value in schema.items():
            if key in ("$defs", "definitions"):
                continue
            if key in ONE:
                listed = isinstance(value, list)
                copied[key] = (
                    [self._copy(item, (*path, key, i)) for i, item in enumerate(value)]
                    if listed
                    else self._copy(value, (*path, key))
                )
            elif key in MANY:
                if not isinstance(value, list):
                    raise SchemaError(pointer(path), key, "a list of schemas is expected")
                copied[key] = [self._copy(item, (*path, key, i)) for i, item in enumerate(value)]
            elif key in NAMED:
                if not isinstance(value, Mapping):
                    raise SchemaError(pointer(path), key, "an object of schemas is expected")
                copied[key] = {n: self._copy(item, (*path, key, n)) for n, item in value.items()}
            else:
                copied[key] = value
        return copied

    def _name(self, reference: str, path: tuple[str | int, ...]) -> str:
        known = self.names.get(reference)
        if known is not None:
            return known
        target: Any = self.root
        steps = [s.replace("~1", "/").replace("~0", "~") for s in reference.split("/")[1:]]
        try:
            for step in steps:
                target = target[int(step)] if isinstance(target, list) else target[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise SchemaError(pointer(path), "$ref", f"there is no {reference}") from None
        last = "".join(c if c.isalnum() or c in "_-." else "_" for c in steps[-1]) if steps else ""
        name = last = last or "root"
        number = 1
        while name in self.defs:
            number += 1
            name = f"{last}_{number}"
        self.names[reference] = name
        self.defs[name] = {}
        self.defs[name] = self._copy(target, tuple(steps))
        return name


def _meaningful(form: Schema) -> None:
    """Values of keywords as the standard wants them."""
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(
            form, pattern_options=linear_time(), offline=True, validate_formats=True
        )
    except jsonschema_rs.ValidationError as error:
        steps = [step for step in error.instance_path if step is not None]
        keyword = str(steps[-1]) if steps else ""
        raise SchemaError(
            pointer(tuple(steps[:-1])), keyword, "this is not what the keyword takes"
        ) from None
    except Exception as error:
        raise SchemaError("#", "", f"no valid JSON Schema ({type(error).__name__})") from None


def resolve(form: Schema, schema: Any) -> Any:
    """The schema that a chain of references ends at; for one in normal form."""
    seen = 0
    while isinstance(schema, dict) and "$ref" in schema and len(schema) == 1 and seen < MAX_DEPTH:
        schema, seen = form["$defs"][str(schema["$ref"]).removeprefix("#/$defs/")], seen + 1
    return schema


def _finite(form: Schema) -> None:
    """Refuse what refers to itself without an end: no document could ever fit it."""
    definitions: Schema = form.get("$defs", {})
    ending: set[str] = set()

    def ends(schema: Any) -> bool:
        if not isinstance(schema, dict):
            return schema is not False
        if "$ref" in schema and schema["$ref"].removeprefix("#/$defs/") not in ending:
            return False
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        for key in ("anyOf", "oneOf"):
            if key in schema and not any(map(ends, schema[key])):
                return False
        if not all(map(ends, schema.get("allOf", ()))):
            return False
        if kinds and set(kinds) - {"object", "array"}:
            return True
        if "object" in kinds or not kinds:
            properties = schema.get("properties", {})
            needed = [properties[n] for n in schema.get("required", ()) if n in properties]
            if all(map(ends, needed)):
                return True
        if "array" in kinds:
            first = schema.get("prefixItems", [])[: schema.get("minItems", 0)]
            rest = schema.get("items", True)
            more = schema.get("minItems", 0) > len(schema.get("prefixItems", []))
            return all(map(ends, first)) and (not more or isinstance(rest, list) or ends(rest))
        return False

    while True:
        new = {name for name in definitions if name not in ending and ends(definitions[name])}
        if not new:
            break
        ending |= new
    for name in definitions:
        if name not in ending:
            raise SchemaError(
                f"#/$defs/{name}", "$ref", "it contains itself without an end: nothing can fit it"
            )
