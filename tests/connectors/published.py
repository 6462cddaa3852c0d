"""What a provider's published document says of its operations: OpenAPI 3 and Swagger 2, in one small form.

An operation is found by method and path, whatever its path's placeholders are called; these count by position.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

PLACEHOLDER = re.compile(r"\{([^}]*)\}")
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
BODIES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")

Document = Mapping[str, Any]


class Kind(NamedTuple):
    """What a schema lets through: JSON types (empty: any), values (empty: any), and the kind of a list's items."""

    types: frozenset[str]
    values: tuple[Any, ...] = ()
    items: Kind | None = None


class Input(NamedTuple):
    kind: Kind
    required: bool


class Published(NamedTuple):
    """One operation of the document; path parameters are named by their position (`0`, `1`), members of an object in
    the body by a path (`message.raw`) where the document is read so deep.
    """

    inputs: Mapping[tuple[str, str], Input]


Key = tuple[str, str]


def read(path: Path) -> Document:
    document: Document = json.loads(gzip.decompress(path.read_bytes()))
    return document


def operations(document: Document) -> Mapping[Key, Published]:
    """Every operation by method and path, read when it is asked for."""
    return _Operations(
        {
            (method.upper(), shape(path)): partial(_published, document, path, item, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method in METHODS
        }
    )


class _Operations(Mapping[Key, Published]):
    """Operations of which few are looked at."""

    def __init__(self, readers: Mapping[Key, Callable[[], Published]]) -> None:
        self._readers = readers

    def __getitem__(self, key: Key) -> Published:
        return self._readers[key]()

    def __iter__(self) -> Iterator[Key]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def shape(path: str) -> str:
    return PLACEHOLDER.sub("{}", path)


def positions(path: str) -> dict[str, str]:
    """The placeholders of a path by name, with their position."""
    return {name: str(index) for index, name in enumerate(PLACEHOLDER.findall(path))}


def kind(document: Document, schema: Mapping[str, Any]) -> Kind:
    """What a schema lets through, as far as its types, values and list items say."""
    schema = _resolved(document, schema)
    options = [kind(document, option) for word in ("oneOf", "anyOf") for option in schema.get(word, ())]
    if options:
        types = frozenset[str]().union(*(option.types for option in options))
        if any(not option.types for option in options):
            return Kind(frozenset())
        items = [option.items for option in options if option.items is not None]
        return Kind(types | _null(schema), (), items[0] if len(items) == 1 else None)
    given = schema.get("type", ())
    types = frozenset([given] if isinstance(given, str) else given)
    items_of = kind(document, schema["items"]) if "items" in schema else None
    return Kind(types | _null(schema) if types else types, tuple(schema.get("enum", ())), items_of)


def _published(document: Document, path: str, item: Mapping[str, Any], operation: Mapping[str, Any]) -> Published:
    index = positions(path)
    inputs: dict[Key, Input] = {}
    for given in [*item.get("parameters", ()), *operation.get("parameters", ())]:
        parameter = _resolved(document, given)
        place, name = parameter["in"], parameter["name"]
        if place == "body":
            inputs |= _properties(document, parameter.get("schema", {}))
            continue
        schema = parameter.get("schema", parameter)  # Swagger 2 has type and enum in the parameter itself
        required = bool(parameter.get("required"))
        place = "body" if place == "formData" else place
        inputs[place, index.get(name, name) if place == "path" else name] = Input(kind(document, schema), required)
    inputs |= _request_body(document, operation)
    return Published(inputs)


def _request_body(document: Document, operation: Mapping[str, Any]) -> dict[Key, Input]:
    content = _resolved(document, operation.get("requestBody", {})).get("content", {})
    return next((_properties(document, content[name]["schema"]) for name in BODIES if name in content), {})


def _properties(document: Document, schema: Mapping[str, Any]) -> dict[Key, Input]:
    found: dict[Key, Input] = {}
    for name, inner, required in _named(document, schema):
        found["body", name] = Input(kind(document, inner), required)
        for deeper, innermost, _ in _named(document, inner):
            found["body", f"{name}.{deeper}"] = Input(kind(document, innermost), required=False)
    return found


def _named(document: Document, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """The properties of a schema, and whether each is required."""
    for part in _parts(document, schema):
        required = part.get("required", ())
        for name, inner in part.get("properties", {}).items():
            yield name, inner, name in required


def _parts(document: Document, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and what it is put together from."""
    schema = _resolved(document, schema)
    yield schema
    for word in ("allOf", "oneOf", "anyOf"):
        for inner in schema.get(word, ()):
            yield from _parts(document, inner)


def _resolved(document: Document, value: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in value:
        found: Any = document
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def _null(schema: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({"null"}) if schema.get("nullable") or schema.get("x-nullable") else frozenset()
