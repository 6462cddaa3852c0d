"""What may stand at a place of a manifest: said beside a value or a key that may not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import inspect

from sidecar.catalogue.validate import nearest
from sidecar.manifest import Schema

WRONG_VALUE = re.compile(r"Invalid (?:enum )?value '?(.*?)'?", re.DOTALL)  # as msgspec says it
WRONG_KEY = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
MOST_LISTED = 20
# What others write into a schema, and what says it here. https://json-schema.org/draft/2020-12
INSTEAD = {
    "oneOf": "write `anyOf`: one of its schemas must fit",
    "allOf": "write one schema that has the keywords of all of them",
    "const": "write `enum` with this one value; what every call sends stands in `fixed`",
    "default": "nothing is filled in; say in the description what holds where it is left out",
    "$ref": "write the schema out, or mark it where it first stands (`&name`) and repeat it (`*name`)",
    "$defs": "write each schema where it is used",
    "definitions": "write each schema where it is used",
    "exclusiveMinimum": "write `minimum`, of whole numbers one more",
    "exclusiveMaximum": "write `maximum`, of whole numbers one less",
    "nullable": 'write the type as a list: `type: [string, "null"]`',
    "example": "write `examples`, a list",
    "title": "write it into the description",
}
UNCHECKED = frozenset(
    {
        "not", "if", "then", "else", "uniqueItems", "multipleOf", "prefixItems", "contains", "minContains",
        "maxContains", "minProperties", "maxProperties", "patternProperties", "propertyNames", "dependentRequired",
        "dependentSchemas", "unevaluatedItems", "unevaluatedProperties", "contentMediaType", "contentSchema",
        "deprecated", "readOnly", "writeOnly", "discriminator", "externalDocs", "xml", "$comment", "$id", "$schema",
        "$anchor",
    }
)  # fmt: skip


def allowed(text: str, value: Any, kind: Any, steps: Sequence[str | int]) -> str:
    """What to say behind `text`, msgspec's own words about the place that the steps lead to in a value which should be
    of this kind: what is allowed there, or what was meant; empty where neither is known.
    """
    if match := WRONG_VALUE.fullmatch(text):
        return _values(match[1], [str(known) for info in _types(value, kind, steps) for known in _choices(info)])
    if match := WRONG_KEY.fullmatch(text):
        structs = [info for info in _types(value, kind, steps) if isinstance(info, inspect.StructType)]
        return _keys(match[1], structs)
    return ""


def _values(given: str, known: Sequence[str]) -> str:
    if known and len(known) <= MOST_LISTED:
        return f"; it is one of {', '.join(known)}"
    return _meant(given, known)


def _keys(given: str, structs: Sequence[inspect.StructType]) -> str:
    if any(issubclass(info.cls, Schema) for info in structs):
        if given in INSTEAD:
            return f": {INSTEAD[given]}"
        if given in UNCHECKED:
            return ": it is not among the keywords, as nobody would check it here; say it in the description"
    return _meant(given, [field.encode_name for info in structs for field in info.fields])


def _meant(given: str, known: Sequence[str]) -> str:
    close = nearest(given, known)
    return f"; did you mean {close}?" if close else ""


def _choices(info: inspect.Type) -> Sequence[Any]:
    match info:
        case inspect.LiteralType(values=values):
            return values
        case inspect.EnumType(cls=cls):
            return [member.value for member in cls]
        case _:
            return ()


def _types(value: Any, kind: Any, steps: Sequence[str | int]) -> list[inspect.Type]:
    """What the place may be; nothing where the steps lead nowhere, as they do where msgspec does not name each."""
    found = _which(inspect.type_info(kind), value)
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return []
        found = [one for info in found for below in _below(info, step) for one in _which(below, value)]
    return found


def _which(info: inspect.Type, value: Any) -> list[inspect.Type]:
    """Of several that a value may be, those that its tag names; all of them where it names none."""
    if not isinstance(info, inspect.UnionType):
        return [info]
    named: list[inspect.Type] = [
        one for one in info.types if isinstance(one, inspect.StructType) and _is_named(one, value)
    ]
    return named or list(info.types)


def _is_named(info: inspect.StructType, value: Any) -> bool:
    return info.tag_field is not None and isinstance(value, Mapping) and value.get(info.tag_field) == info.tag


def _below(info: inspect.Type, step: str | int) -> Iterator[inspect.Type]:
    match info:
        case inspect.StructType(tag_field=str(name), tag=tag) if name == step:
            yield inspect.LiteralType((tag,))
        case inspect.StructType(fields=fields):
            yield from (field.type for field in fields if field.encode_name == step)
        case inspect.DictType(value_type=each) | inspect.VarTupleType(item_type=each):
            yield each
