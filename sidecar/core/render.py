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
from sidecar.manifest import Operation as OperationFact
from sidecar.model import Failure, Problem, Reason, Request
from sidecar.provider import Operation, Parameter, Provider

PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CALL_ID = "call_id"
PLACES = ("path", "query", "header", "body", "content")
JSON_TYPE = re.compile(r"\s*[a-z]+/([^\s;]+\+)?json\s*(;|$)", re.IGNORECASE)  # RFC 6839 section 3.1
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


class Template:
    """How the inputs of one operation become its request. What no input changes is put together once."""

    def __init__(self, provider: Provider, operation: Operation) -> None:
        fact, fixed = operation.fact, operation.fact.fixed
        at = {place: [item for item in operation.parameters if item.place == place] for place in PLACES}
        segments = {item.wire[0]: item for item in at["path"]}
        start, *rest = PLACEHOLDER.split(fact.path)
        self._fact = fact
        self._start = start
        self._segments = [
            (None if name == CALL_ID else segments[name], literal)
            for name, literal in zip(rest[::2], rest[1::2], strict=True)
        ]
        self._fixed_query: Pairs = [(name, as_text(value)) for name, value in fixed.query.items()]
        self._query = at["query"]
        self._in_headers = at["header"]
        self._body = at["body"]
        self._whole = next(iter(at["content"]), None)
        self._names = [(item.name, item.wire[0]) for item in self._body if len(item.wire) == 1]
        self._is_flat = len(self._names) == len(self._body)
        self._has_body = bool(self._whole or self._body or fixed.body)
        self._content_type = fact.content_type or CONTENT_TYPES.get(fact.encoding) if self._has_body else None
        self._headers = {"accept": "application/json"} if fact.returns == "json" else {}
        self._headers |= {name.lower(): value for name, value in provider.manifest.headers.items()}
        self._headers |= {name.lower(): value for name, value in fixed.header.items()}
        self._usual_headers = tuple(_typed(self._headers, self._content_type).items())

    def filled(self, url: str, values: Mapping[str, Any], call_id: str) -> Request | Failure:
        """The request below the base `url`, without credential and page."""
        try:
            path = self._path(values, call_id)
            query = self._fixed_query + _pairs_of(self._query, values) if self._query else self._fixed_query
            given = self._given_headers(values) if self._in_headers else {}
            content, content_type = self._content(values, call_id)
        except Refused as refused:
            problem = refused.problem
            return Failure(reason=Reason.VALIDATION, detail=f"{problem.pointer}: {problem.detail}", problems=(problem,))
        headers = self._usual_headers
        if given or content_type != self._content_type:
            headers = tuple(_typed(self._headers | given, content_type).items())
        full = f"{url}{path}?{urlencode(query, quote_via=quote)}" if query else f"{url}{path}"
        return Request(self._fact.method, full, headers, content)

    def _path(self, values: Mapping[str, Any], call_id: str) -> str:
        path = self._start
        for parameter, literal in self._segments:
            path += (call_id if parameter is None else _segment(parameter, values[parameter.name])) + literal
        return path

    def _given_headers(self, values: Mapping[str, Any]) -> dict[str, str]:
        return {
            item.wire[0].lower(): header_value(item.name, values[item.name])
            for item in self._in_headers
            if values.get(item.name) is not None
        }

    def _content(self, values: Mapping[str, Any], call_id: str) -> tuple[bytes, str | None]:
        """The body and its content type; no type where there is no body."""
        fact = self._fact
        if self._whole is not None:
            value = values.get(self._whole.name)
            return (b"", None) if value is None else (_whole(fact, self._whole, value), self._content_type)
        if not self._has_body:
            return b"", None
        match fact.encoding:
            case "json":
                body = self._json_body(values)
                return msgspec.json.encode({fact.wrap: body} if fact.wrap else body), self._content_type
            case "multipart":
                return _multipart(fact, self._body, values, call_id)
            case _:
                pairs = [(name, as_text(value)) for name, value in fact.fixed.body.items()]
                pairs += _pairs_of(self._body, values)
                return urlencode(pairs, quote_via=quote).encode(), self._content_type

    def _json_body(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Fixed values and inputs at their paths. An input not given is left out; a null that was given is sent."""
        fixed = self._fact.fixed.body
        if self._is_flat:
            given = {wire: values[name] for name, wire in self._names if name in values}
            return {**fixed, **given} if fixed else given
        body: dict[str, Any] = deepcopy(dict(fixed))  # inputs are put into it; the manifest's own stays as it is
        for parameter in self._body:
            if parameter.name not in values:
                continue
            place = body
            for name in parameter.wire[:-1]:
                place = place.setdefault(name, {})
            place[parameter.wire[-1]] = values[parameter.name]
        return body


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


def _segment(parameter: Parameter, value: object) -> str:
    if parameter.style == "segments":
        return "/".join(path_segment(parameter.name, part) for part in str(value).split("/"))
    return path_segment(parameter.name, value)


def _typed(headers: dict[str, str], content_type: str | None) -> dict[str, str]:
    return headers if content_type is None else headers | {"content-type": content_type}


def _pairs_of(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> Pairs:
    """Inputs as name-value pairs, in the manifest's order. A null is left out."""
    pairs: Pairs = []
    for parameter in parameters:
        value = values.get(parameter.name)
        if value is not None:
            pairs += _pairs(".".join(parameter.wire), parameter.style, value)
    return pairs


def _pairs(name: str, style: str | None, value: Any) -> Iterator[tuple[str, str]]:
    if style == "brackets" and isinstance(value, dict | list):
        yield from _in_brackets(name, value)
    elif style == "json" or isinstance(value, dict):
        yield name, msgspec.json.encode(value).decode()
    elif not isinstance(value, list):
        yield name, as_text(value)
    elif style == "comma":
        yield name, ",".join(as_text(item) for item in value)
    else:
        for item in value:
            yield name, as_text(item)


def _in_brackets(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """What a value holds, each below its place: `a[key]`, `a[]`, and `a[0][key]` where elements have parts. A null is
    left out. Raises Refused for a key with brackets, which would lead to another place.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key or "[" in key or "]" in key:
                raise Refused(name, f"{key!r} cannot be a name in brackets")
            yield from _in_brackets(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        flat = not any(isinstance(item, dict | list) for item in value)
        for at, item in enumerate(value):
            yield from _in_brackets(f"{name}[]" if flat else f"{name}[{at}]", item)
    elif value is not None:
        yield name, as_text(value)


def _whole(fact: OperationFact, parameter: Parameter, value: Any) -> bytes:
    """One input that is the whole body: bytes, text, or JSON."""
    if parameter.base64:
        return _bytes(parameter.name, value)
    return as_text(value).encode() if fact.encoding == "raw" else msgspec.json.encode(value)


def _multipart(
    fact: OperationFact, fields: Sequence[Parameter], values: Mapping[str, Any], call_id: str
) -> tuple[bytes, str]:
    texts: Pairs = [(name, as_text(value)) for name, value in fact.fixed.body.items()]
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
    return multipart(texts, files, call_id=call_id)


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
    if CONTROL.search(text):
        raise Refused(name, "has a control character")
