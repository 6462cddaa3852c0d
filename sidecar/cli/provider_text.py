"""The catalogue's answers as text: tables of providers, of operations, and of an operation's input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sidecar.trace.line import Paint, Tone, columns, plain, unpainted

WIDE = 160
SHORT_LIST = 8  # values of an enumeration that stand in a table
BASE_URLS = {
    "fixed": "",
    "subdomain": "needs --base-url SUBDOMAIN",
    "self_hosted": "--base-url names a server of yours",
}


class Kind(msgspec.Struct, frozen=True):
    """A kind of credential that a provider takes, and its fields. `file`: what the provider's key file calls them.
    `app`: the steps to an OAuth app there.
    """

    kind: str
    fields: tuple[str, ...]
    optional: tuple[str, ...] = ()
    file: dict[str, str] = {}
    app: tuple[str, ...] = ()


class Budget(msgspec.Struct, frozen=True):
    """A quota as the catalogue lists it."""

    name: str
    scope: str
    limits: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    each_operation: bool = False
    operations: tuple[str, ...] = ()
    costs: dict[str, int] = {}
    set_by_connection: bool = False


class Served(msgspec.Struct, frozen=True):
    """A provider as the catalogue lists it."""

    name: str
    auth: tuple[Kind, ...]
    title: str = ""
    version: str = ""
    base_url: str = ""
    operations: int = 0
    docs: str | None = None
    quotas: tuple[Budget, ...] = ()
    base_url_needed: bool = False


class Listed(msgspec.Struct, frozen=True):
    """An operation as the catalogue lists it."""

    operation: str
    access: str
    summary: str = ""


class Described(msgspec.Struct, frozen=True):
    """An operation with its input."""

    provider: str
    operation: str
    access: str
    summary: str = ""
    request: str = ""
    pages: bool = False
    docs: str | None = None
    input_schema: dict[str, Any] = {}


def providers_text(providers: Sequence[Served], paint: Paint = unpainted) -> str:
    rows = [["provider", "version", "operations", "credential", "address"]]
    rows += [
        [
            plain(item.name, 60),
            plain(item.version, 20),
            f"{item.operations:>10}",
            plain(" or ".join(kind.kind for kind in item.auth), 60),
            plain(BASE_URLS.get(item.base_url, item.base_url), 60),
        ]
        for item in sorted(providers, key=lambda item: item.name)
    ]
    head, *lines = columns(rows)
    return "\n".join([paint(head, Tone.DIM), *lines])


def operations_text(provider: str, operations: Sequence[Listed], paint: Paint = unpainted) -> str:
    """Reads first, then writes, each in the provider's order."""
    rows = [
        [f"{provider}.{plain(item.operation, 80)}", plain(item.access, 10), plain(item.summary, WIDE)]
        for item in sorted(operations, key=lambda item: item.access)
    ]
    head, *lines = columns([["operation", "access", "what it does"], *rows])
    return "\n".join([paint(head, Tone.DIM), *lines])


def quotas_text(quotas: Sequence[Budget], paint: Paint = unpainted) -> str:
    """What is kept before the provider's own limits, and what of it a connection may set."""
    rows = [["quota", "of each", "limits", "what counts"]]
    rows += [[plain(item.name, 40), _whose(item), _limits(item), _counted(item)] for item in quotas]
    head, *lines = columns(rows)
    said = [plain(item.name, 40) for item in quotas if item.set_by_connection]
    told = f"{', '.join(said)}: as the owner of a server sets it, with sidecar connection limit" if said else ""
    return "\n".join([paint(head, Tone.DIM), *lines, *([told] if told else [])])


def _whose(item: Budget) -> str:
    parts = [item.scope, *item.by, *(["operation"] if item.each_operation else [])]
    return plain(" and ".join(parts), 60)


def _limits(item: Budget) -> str:
    """Windows with their seconds, a token bucket as it is said, a bare number as slots."""
    words = [text if "/" in text else f"{text} at once" for text in item.limits]
    return plain(", ".join(words) or "none, unless a connection says some", 80)


def _counted(item: Budget) -> str:
    costs = ", ".join(f"{name} {units}" for name, units in item.costs.items())
    what = "every request" if item.operations in {(), ("*",)} else ", ".join(item.operations)
    return plain(f"{what}; units: {costs}, else 1" if costs else what, WIDE)


def operation_text(described: Described, paint: Paint = unpainted) -> str:
    """What an operation does, what it takes, and how to call it."""
    name = f"{plain(described.provider)}.{plain(described.operation)}"
    lines = [f"{paint(name, Tone.STRONG)}  {plain(described.access)}  {plain(described.request, WIDE)}"]
    lines.append(plain(described.summary, WIDE))
    if described.docs:
        lines.append(plain(described.docs, WIDE))
    fields = list(_fields(described.input_schema))
    lines.append("")
    if fields:
        head, *rows = columns([["input", "type", "", "description"], *fields])
        lines += [paint(head, Tone.DIM), *rows]
    else:
        lines.append("it takes no input")
    if described.pages:
        lines.append("pages: the answer names the next page's --cursor")
    return "\n".join([*lines, "", f"try  sidecar call {name}{_example(described.input_schema)}"])


def _fields(schema: Mapping[str, Any], path: str = "") -> Iterator[list[str]]:
    """A row for each field, those within objects below theirs."""
    required = schema.get("required") or ()
    properties: Mapping[str, Any] = schema.get("properties") or {}
    for name in sorted(properties, key=lambda name: name not in required):
        field = properties[name]
        needed = "required" if name in required else ""
        yield [f"{path}{plain(name, 60)}", type_words(field), needed, _description(field)]
        yield from _fields(field, f"{path}{plain(name, 60)}.")
        if isinstance(field.get("items"), dict):
            yield from _fields(field["items"], f"{path}{plain(name, 60)}[].")


def type_words(field: Mapping[str, Any]) -> str:
    """The type of a field in a few words: `list of strings`, `open|closed|all`, `integer 1..100`."""
    values = field.get("enum")
    if values:
        shown = "|".join(str(value) for value in values[:SHORT_LIST])
        return plain(shown + ("|..." if len(values) > SHORT_LIST else ""), 100)
    if field.get("anyOf"):
        return " or ".join(type_words(inner) for inner in field["anyOf"])
    kinds = field.get("type") or "any"
    words = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if words == "array":
        items = field.get("items")
        return f"list of {_plural(type_words(items))}" if isinstance(items, dict) else "list"
    return plain(f"{words}{_bounds(field)}{_format(field)}", 100)


def _plural(words: str) -> str:
    return f"{words}s" if words in {"string", "integer", "number", "object", "boolean"} else words


def _bounds(field: Mapping[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is None and high is None:
        low, high = None, field.get("maxLength")
    if low is None and high is None:
        return ""
    return f" {_figure(low)}..{_figure(high)}"


def _figure(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else ""


def _format(field: Mapping[str, Any]) -> str:
    word = field.get("contentEncoding") or field.get("format")
    return f" ({word})" if word else ""


def _description(field: Mapping[str, Any]) -> str:
    text = plain(" ".join(str(field.get("description") or "").split()), WIDE)
    examples = field.get("examples")
    return f"{text} E.g. {plain(_json(examples[0]), 80)}" if examples else text


def _example(schema: Mapping[str, Any]) -> str:
    """The least input, with an example or a placeholder for each required field."""
    properties = schema.get("properties") or {}
    values = {name: _value(properties.get(name, {})) for name in schema.get("required") or ()}
    return f" {_quoted(_json(values))}" if values else ""


def _value(field: Mapping[str, Any]) -> Any:
    if field.get("examples"):
        return field["examples"][0]
    if field.get("enum"):
        return field["enum"][0]
    kinds = field.get("type")
    match kinds[0] if isinstance(kinds, list) and kinds else kinds:
        case "integer" | "number":
            return field.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return [_value(field.get("items") or {})]
        case "object":
            properties = field.get("properties") or {}
            return {name: _value(properties.get(name, {})) for name in field.get("required") or ()}
        case _:
            return "..."


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """The text as one word of a shell."""
    return "'" + plain(text, 2_000).replace("'", "'\\''") + "'"
