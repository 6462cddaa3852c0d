"""Render a validated input as one HTTP request. Every value stays in its place: none changes path, host or headers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from sidecar.core.multipart import multipart
from sidecar.model import Failure, Problem, Reason, Request
from sidecar.provider import Operation, Parameter, Provider

PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
CALL_ID = "call_id"
CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "raw": "application/octet-stream",
}

Pairs = list[tuple[str, str]]


class Refused(Exception):
    """A value that would leave its place. Never crosses this module's boundary."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(rule)
        self.problem = Problem(f"/{name}", rule)


def render(
    provider: Provider, operation: Operation, url: str, values: Mapping[str, Any], call_id: str
) -> Request | Failure:
    """The request below the base `url`, without credential and page."""
    try:
        path = _path(operation, values, call_id)
        query = [(name, as_text(value)) for name, value in operation.fact.fixed.query.items()]
        query += _placed(operation, values, "query")
        headers = _headers(provider, operation, values)
        content, content_type = _content(operation, values, call_id)
    except Refused as refused:
        problem = refused.problem
        return Failure(reason=Reason.VALIDATION, detail=f"{problem.pointer}: {problem.detail}", problems=(problem,))
    if content_type is not None:
        headers["content-type"] = content_type
    full = f"{url}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
    return Request(operation.fact.method, full, tuple(headers.items()), content)


def path_segment(name: str, value: object) -> str:
    """A value as one segment of a path, percent-encoded. `.` and `..` would be resolved away, controls never belong."""
    text = as_text(value)
    if text in {"", ".", ".."}:
        raise Refused(name, f"{text!r} cannot be part of a path")
    _no_controls(name, text)
    return quote(text, safe="")


def header_value(name: str, value: object) -> str:
    """A value as a header's value: printable ASCII (RFC 9110 section 5.5), so it cannot start a header of its own."""
    text = as_text(value)
    if not text.isascii() or not text.isprintable():
        raise Refused(name, "a header's value is printable ASCII on one line")
    return text.strip()


def _path(operation: Operation, values: Mapping[str, Any], call_id: str) -> str:
    parameters = {item.wire[0]: item for item in operation.parameters if item.place == "path"}

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name == CALL_ID:
            return call_id
        parameter = parameters[name]
        value = values[parameter.name]
        if parameter.style == "segments":
            return "/".join(path_segment(parameter.name, part) for part in str(value).split("/"))
        return path_segment(parameter.name, value)

    return PLACEHOLDER.sub(fill, operation.fact.path)


def _headers(provider: Provider, operation: Operation, values: Mapping[str, Any]) -> dict[str, str]:
    headers = {"accept": "application/json"} if operation.fact.returns == "json" else {}
    headers |= {name.lower(): value for name, value in provider.manifest.headers.items()}
    headers |= {name.lower(): value for name, value in operation.fact.fixed.header.items()}
    for parameter in operation.parameters:
        if parameter.place == "header" and values.get(parameter.name) is not None:
            headers[parameter.wire[0].lower()] = header_value(parameter.name, values[parameter.name])
    return headers


def _placed(operation: Operation, values: Mapping[str, Any], place: str) -> Pairs:
    """The inputs of one place as name-value pairs, in the manifest's order. A null is left out."""
    pairs: Pairs = []
    for parameter in operation.parameters:
        if parameter.place == place and values.get(parameter.name) is not None:
            pairs += _pairs(".".join(parameter.wire), parameter.style, values[parameter.name])
    return pairs


def _pairs(name: str, style: str | None, value: Any) -> Iterator[tuple[str, str]]:
    if style == "json" or isinstance(value, dict):
        yield name, msgspec.json.encode(value).decode()
    elif not isinstance(value, list):
        yield name, as_text(value)
    elif style == "comma":
        yield name, ",".join(as_text(item) for item in value)
    else:
        key = f"{name}[]" if style == "brackets" else name
        for item in value:
            yield key, as_text(item)


def _content(operation: Operation, values: Mapping[str, Any], call_id: str) -> tuple[bytes, str | None]:
    """The body and its content type; no type where there is no body."""
    fact = operation.fact
    whole = next((item for item in operation.parameters if item.place == "content"), None)
    if whole is not None:
        return _whole(operation, whole, values.get(whole.name))
    fields = [item for item in operation.parameters if item.place == "body"]
    if not fields and not fact.fixed.body:
        return b"", None
    match fact.encoding:
        case "json":
            body = _json_body(fact.fixed.body, fields, values)
            content = msgspec.json.encode({fact.wrap: body} if fact.wrap else body)
            return content, fact.content_type or CONTENT_TYPES["json"]
        case "multipart":
            return _multipart(operation, fields, values, call_id)
        case _:
            pairs = [(name, as_text(value)) for name, value in fact.fixed.body.items()] + _placed(
                operation, values, "body"
            )
            return urlencode(pairs, quote_via=quote).encode(), fact.content_type or CONTENT_TYPES["form"]


def _whole(operation: Operation, parameter: Parameter, value: Any) -> tuple[bytes, str | None]:
    """One input that is the whole body: bytes, text, or JSON."""
    if value is None:
        return b"", None
    content_type = operation.fact.content_type or CONTENT_TYPES[operation.fact.encoding]
    if parameter.base64:
        return _bytes(parameter.name, value), content_type
    if operation.fact.encoding == "raw":
        return as_text(value).encode(), content_type
    return msgspec.json.encode(value), content_type


def _json_body(fixed: Mapping[str, Any], fields: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed values and inputs at their paths. An input not given is left out; a null that was given is sent."""
    body: dict[str, Any] = deepcopy(dict(fixed))  # inputs are put into it; the manifest's own stays as it is
    for parameter in fields:
        if parameter.name not in values:
            continue
        place = body
        for name in parameter.wire[:-1]:
            place = place.setdefault(name, {})
        place[parameter.wire[-1]] = values[parameter.name]
    return body


def _multipart(
    operation: Operation, fields: Sequence[Parameter], values: Mapping[str, Any], call_id: str
) -> tuple[bytes, str]:
    texts: Pairs = [(name, as_text(value)) for name, value in operation.fact.fixed.body.items()]
    files: list[tuple[str, str, bytes]] = []
    for parameter in fields:
        value = values.get(parameter.name)
        if value is None:
            continue
        name = str(values[parameter.name_from]) if parameter.name_from else ".".join(parameter.wire)
        _no_controls(parameter.name_from or parameter.name, name)
        if parameter.base64:
            file_name = values.get(parameter.file_name) if parameter.file_name else None
            _no_controls(parameter.file_name or parameter.name, str(file_name or ""))
            files.append((name, str(file_name or parameter.name), _bytes(parameter.name, value)))
        else:
            texts += _pairs(name, parameter.style, value)
    return multipart(texts, files, stem=f"sidecar-{call_id}")


def _bytes(name: str, value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(name, "is not base64") from None


def as_text(value: object) -> str:
    """A value as the provider's text: JSON's words, but text without quotes and whole numbers without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return msgspec.json.encode(value).decode()


def _no_controls(name: str, text: str) -> None:
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):  # noqa: PLR2004
        raise Refused(name, "has a control character")
