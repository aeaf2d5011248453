"""Ten bounded schemas: nested, enums, patterns, bounds, lists, unions, recursion, formats."""

from __future__ import annotations

from typing import Any

_NAME = {"type": "string", "minLength": 1, "maxLength": 20}
_MONEY = {"type": "number", "minimum": 0, "maximum": 10_000, "multipleOf": 0.01}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 99}
_SMALL = {"minimum": -5, "maximum": 5}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _between(least: float, most: float) -> dict[str, Any]:
    return {"type": "number", "minimum": least, "maximum": most}


def _list(items: Any, most: int, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


SCHEMAS: dict[str, dict[str, Any]] = {
    "invoice": _object(
        vendor=_NAME,
        number={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4,6}$"},
        date={"type": "string", "format": "date"},
        currency={"enum": ["EUR", "USD", "GBP", "JPY"]},
        items=_list(_object(name=_NAME, quantity=_COUNT, price=_MONEY), 3, 1),
        total=_MONEY,
    ),
    "scene": _object(
        objects=_list(
            _object(
                label={"enum": ["person", "car", "dog", "bicycle", "traffic light"]},
                box=_list({"type": "integer", "minimum": 0, "maximum": 4096}, 4, 4),
                confidence=_between(0, 1),
            ),
            4,
        ),
        indoors={"type": "boolean"},
        caption={"type": "string", "maxLength": 40},
    ),
    "moderation": _object(
        verdict={"enum": ["allow", "flag", "block"]},
        categories=_list({"enum": ["violence", "nudity", "hate", "self-harm"]}, 4),
        severity={"type": "integer", "minimum": 1, "maximum": 5},
        reason={"type": ["string", "null"], "maxLength": 60},
    ),
    "shape": {
        "anyOf": [
            _object(kind={"const": "circle"}, radius=_between(0.001, 100)),
            _object(kind={"const": "rectangle"}, width=_COUNT, height=_COUNT),
            _object(kind={"const": "polygon"}, points=_list(_list(_COUNT, 2, 2), 5, 3)),
        ]
    },
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": _NAME,
                    "children": _list({"$ref": "#/$defs/node"}, 2),
                },
                "required": ["name"],
                "additionalProperties": False,
            }
        },
    },
    "contact": _object(
        name=_NAME,
        email={"type": "string", "format": "email"},
        phone={"type": "string", "pattern": "^\\+[1-9][0-9]{6,13}$"},
        born={"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        id={"type": "string", "format": "uuid"},
    ),
    "settings": {
        "type": "object",
        "patternProperties": {"^[a-z]{1,8}$": {"type": ["boolean", "integer"], **_SMALL}},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 4,
    },
    "row": {
        "type": "array",
        "prefixItems": [_NAME, _COUNT, {"type": "boolean"}, {"enum": [None, "x", 3]}],
        "items": False,
        "minItems": 3,
    },
    "reading": _object(
        taken={"type": "string", "format": "date-time"},
        value=_between(-273.15, 1e6),
        unit={"enum": ["°C", "K", "°F"]},
        station=_object(name=_NAME, place=_object(lat=_between(-90, 90), lon=_between(-180, 180))),
    ),
    "answers": _list(
        {
            "oneOf": [
                _object(question=_COUNT, answer={"type": "boolean"}),
                _object(question=_COUNT, choices=_list({"enum": ["a", "b", "c", "d"]}, 3, 1)),
                _object(question=_COUNT, text={"type": "string", "minLength": 2, "maxLength": 30}),
            ]
        },
        3,
        1,
    ),
}
