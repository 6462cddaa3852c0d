"""What is wrong with the schema of an input: what no value could ever fit, and what nobody would check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sidecar.manifest import Schema

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
# https://json-schema.org/draft/2020-12/json-schema-validation#section-7.3 -- all of these are checked, and no others.
FORMATS = (
    "date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri",
    "iri-reference", "json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference", "uri-template",
    "uuid",
)  # fmt: skip
BOUNDS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
)


def schema_mistakes(key: str, schema: Schema) -> Iterator[str]:
    """Each mistake as `key: rule`, at every depth. `key` is the schema's own."""
    kinds = _types(schema)
    for kind in kinds:
        if kind not in TYPES:
            yield f"{key}.type: {kind!r} is none of {', '.join(TYPES)}"
    if schema.format is not None and schema.format not in FORMATS:
        yield f"{key}.format: {schema.format!r} would not be checked; formats are: {', '.join(FORMATS)}"
    yield from _enum_mistakes(key, schema.enum, kinds)
    yield from _bound_mistakes(key, schema)
    yield from _member_mistakes(key, schema)
    for below, inner in _below(schema):
        yield from schema_mistakes(f"{key}.{below}", inner)


def kinds_of(schema: Schema | None) -> frozenset[str]:
    """The types that its values may have; none where it does not say."""
    if schema is None:
        return frozenset()
    return frozenset(_types(schema)).union(*(kinds_of(inner) for inner in schema.any_of or ()))


def _types(schema: Schema) -> Sequence[str]:
    return (schema.type,) if isinstance(schema.type, str) else schema.type or ()


def _enum_mistakes(key: str, values: Sequence[Any] | None, kinds: Sequence[str]) -> Iterator[str]:
    if values == ():
        yield f"{key}.enum: is empty, so no value would do"
    for value in values or ():
        if kinds and set(kinds) <= set(TYPES) and not any(_is(kind, value) for kind in kinds):
            yield f"{key}.enum: {msgspec.json.encode(value).decode()} is not of type {' or '.join(kinds)}"


def _bound_mistakes(key: str, schema: Schema) -> Iterator[str]:
    said: dict[str, Any] = msgspec.to_builtins(schema)
    for least, most in BOUNDS:
        if least in said and most in said and said[least] > said[most]:
            yield f"{key}.{least}: {said[least]} is above {most}, {said[most]}"


def _member_mistakes(key: str, schema: Schema) -> Iterator[str]:
    """A member that must be there and is refused where it is."""
    is_closed = schema.additional_properties is False or (
        schema.additional_properties is None and schema.properties is not None
    )
    for name in schema.required or ():
        if is_closed and name not in (schema.properties or {}):
            yield f"{key}.required: there is no property {name!r}"


def _below(schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield from ((f"properties.{name}", inner) for name, inner in (schema.properties or {}).items())
    yield from ((f"anyOf.{index}", inner) for index, inner in enumerate(schema.any_of or ()))
    if schema.items is not None:
        yield "items", schema.items
    if isinstance(schema.additional_properties, Schema):
        yield "additionalProperties", schema.additional_properties


def _is(kind: str, value: object) -> bool:
    """Whether a value of JSON is of this type of JSON Schema."""
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "integer" if isinstance(value, float):
            return value.is_integer()
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)
