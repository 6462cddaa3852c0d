"""Our own words of an operation against those of the provider's published document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.manifest import Field, Operation, Schema
from tests.connectors.published import Input, Key, Kind, Published, positions, shape


def differences(
    name: str,
    operation: Operation,
    published: Mapping[Key, Published],
    *,
    credential: tuple[str, ...],
    base: str,
    any_case: bool = False,
) -> Iterator[tuple[str, str]]:
    """Where one operation departs from the document (`operation.input`), and what the document says.

    `credential` are the parameters that the credential fills; `base` is what the document's paths start with.
    `any_case`: the provider reads the fields of a body without regard to case.
    """
    path = base + operation.path
    there = published.get((operation.method, shape(path)))
    if there is None:
        yield name, f"no {operation.method} {path}"
        return
    index = positions(path)
    inputs = {_cased(key) if any_case else key: given for key, given in there.inputs.items()}
    given: set[Key] = set()
    for field_name, field in operation.input.items():
        if field.place == "none":  # not sent by itself
            continue
        wire = field.name or field_name
        key: Key = (field.place, index[wire] if field.place == "path" else wire)
        key = _cased(key) if any_case else key
        given.add(key)
        as_text = field.place != "body" or operation.encoding == "form"
        rule = _departs(field, inputs.get(key), f"{field.place} {wire}", as_text=as_text)
        if field_name not in operation.required and key in inputs and inputs[key].required:
            rule = f"{field.place} {wire} is required"
        if rule is not None:
            yield f"{name}.{field_name}", rule
    filled = {("query", item) for item in operation.fixed.query}
    filled |= {("body", item) for item in operation.fixed.body or ()}
    for place, wire in inputs.keys() - given - filled:
        if inputs[place, wire].required and place != "header" and wire not in credential:
            yield f"{name}.{wire}", f"{place} {wire} is required"


def _cased(key: Key) -> Key:
    place, wire = key
    return (place, wire.lower()) if place == "body" else key


def _departs(field: Field, there: Input | None, what: str, *, as_text: bool) -> str | None:
    """`as_text`: in a path, query or form every scalar is text, and a list is when its style makes one text of it."""
    if there is None:
        return f"the document has no {what}"
    ours = _kind(field)
    joined = {"array", "object"} if field.style in {"comma", "json"} else set()
    if (
        as_text
        and there.kind.types == {"string"}
        and ours.types
        and ours.types <= {"string", "integer", "number", "boolean"} | joined
    ):
        ours = ours._replace(types=there.kind.types, items=None)
    return _wider(ours, there.kind, what)


def _wider(ours: Kind, theirs: Kind, what: str) -> str | None:
    """What ours lets through that theirs does not."""
    accepted = theirs.types | ({"integer"} if "number" in theirs.types else frozenset())
    if theirs.types and not (ours.types and ours.types <= accepted):
        more = ", ".join(sorted(ours.types - accepted)) or "anything"
        return f"{what} may be {more} here, {', '.join(sorted(theirs.types))} there"
    if theirs.values and not (ours.values and set(ours.values) <= {*theirs.values, *_nothing(theirs)}):
        return f"{what} may be {list(ours.values) or 'anything'} here, {list(theirs.values)} there"
    if ours.items is not None and theirs.items is not None:
        return _wider(ours.items, theirs.items, f"an item of {what}")
    return None


def _nothing(kind: Kind) -> tuple[None, ...]:
    return (None,) if "null" in kind.types else ()


def _kind(schema: Schema) -> Kind:
    types = (schema.type,) if isinstance(schema.type, str) else schema.type or ()
    return Kind(frozenset(types), schema.enum or (), _kind(schema.items) if schema.items else None)
