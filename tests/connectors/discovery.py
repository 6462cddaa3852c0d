"""What Google's discovery documents say of operations, in the small form of `published`.

https://developers.google.com/discovery/v1/reference/apis
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.connectors.published import Document, Input, Key, Kind, Published, positions, shape

DEPTH = 2  # how deep the members of a body are named


def discovered(document: Document, filled: Mapping[str, str]) -> dict[Key, Published]:
    """Every operation by method and path. `filled` are values that stand for a path parameter (`userId`: `me`)."""
    return {
        (method["httpMethod"], shape(path)): Published(_inputs(document, method, path))
        for method, path in _methods(document, filled)
    }


def accepted_scopes(document: Document, filled: Mapping[str, str]) -> dict[Key, frozenset[str]]:
    """The scopes of which any one is enough, of every operation."""
    return {
        (method["httpMethod"], shape(path)): frozenset(method.get("scopes", ()))
        for method, path in _methods(document, filled)
    }


def _methods(document: Document, filled: Mapping[str, str]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each method with its path, whole."""
    for method in _within(document):
        path = f"/{document['servicePath']}{method['path']}"
        for name, value in filled.items():
            path = path.replace(f"{{{name}}}", value)
        yield method, path


def _within(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from resource.get("methods", {}).values()
    for inner in resource.get("resources", {}).values():
        yield from _within(inner)


def _inputs(document: Document, method: Mapping[str, Any], path: str) -> dict[Key, Input]:
    index = positions(path)
    inputs: dict[Key, Input] = {}
    for name, parameter in method.get("parameters", {}).items():
        place = parameter["location"]
        if place == "path" and name not in index:  # spelled out
            continue
        wire = index[name] if place == "path" else name
        inputs[place, wire] = Input(_kind(document, parameter), bool(parameter.get("required")))
    if "request" in method:
        inputs |= _members(document, method["request"], method["id"])
    return inputs


def _members(document: Document, schema: Mapping[str, Any], method: str, above: str = "") -> dict[Key, Input]:
    """The members of a body; one is required where the document says so of this method."""
    inputs: dict[Key, Input] = {}
    for name, member in _resolved(document, schema).get("properties", {}).items():
        required = not above and method in member.get("annotations", {}).get("required", ())
        inputs["body", f"{above}{name}"] = Input(_kind(document, member), required)
        if above.count(".") + 1 < DEPTH:
            inputs |= _members(document, member, method, f"{above}{name}.")
    return inputs


def _kind(document: Document, given: Mapping[str, Any]) -> Kind:
    schema = _resolved(document, given)
    items = _kind(document, schema["items"]) if "items" in schema else None
    kind = Kind(_types(schema), tuple(schema.get("enum", ())), items)
    return Kind(frozenset({"array"}), (), kind) if given.get("repeated") else kind


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """`any` is anything, which the small form says by naming no type."""
    named = schema.get("type")
    return frozenset() if named in (None, "any") else frozenset({named})


def _resolved(document: Document, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document["schemas"][schema["$ref"]] if "$ref" in schema else schema
    return found
