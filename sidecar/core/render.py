"""Render a validated input as one HTTP request. Every value stays in its place: none changes path, host or headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from sidecar.core.multipart import multipart
from sidecar.core.parts import parts_of
from sidecar.core.values import Refused, as_text, fixed_pairs, given_pairs, header_text, of_base64, path_text
from sidecar.manifest import Operation as OperationFact
from sidecar.model import Failure, Reason, Request
from sidecar.provider import Operation, Parameter, Provider

PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
CALL_ID = "call_id"
PLACES = ("path", "query", "header", "body", "content")
JSON_TYPE = re.compile(r"\s*[a-z]+/([^\s;]+\+)?json\s*(;|$)", re.IGNORECASE)  # RFC 6839 section 3.1
CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "raw": "application/octet-stream",
}


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
        self._fixed_query = fixed_pairs(fixed.query)
        self._query = at["query"]
        self._in_headers = at["header"]
        self._body = at["body"]
        self._whole = next(iter(at["content"]), None)
        self._names = [(item.name, item.wire[0]) for item in self._body if len(item.wire) == 1]
        self._is_flat = len(self._names) == len(self._body)
        self._fixed_fields = [] if fact.encoding == "json" else fixed_pairs(fixed.body or {})
        self._has_body = bool(self._whole or self._body or fixed.body is not None)
        self._content_type = fact.content_type or CONTENT_TYPES.get(fact.encoding) if self._has_body else None
        self._headers = {"accept": "application/json"} if fact.returns == "json" else {}
        self._headers |= {name.lower(): value for name, value in provider.manifest.headers.items()}
        self._headers |= {name.lower(): value for name, value in fixed.header.items()}
        self._usual_headers = tuple(_typed(self._headers, self._content_type).items())

    def filled(self, url: str, values: Mapping[str, Any], call_id: str) -> Request | Failure:
        """The request below the base `url`, without credential and page."""
        try:
            path = self._path(values, call_id)
            query = self._fixed_query + given_pairs(self._query, values) if self._query else self._fixed_query
            given = self._given_headers(values) if self._in_headers else {}
            content, content_type = self._content(values, call_id)
        except Refused as refused:
            problem = refused.problem
            return Failure(reason=Reason.VALIDATION, detail=f"{problem.pointer}: {problem.detail}", problems=(problem,))
        headers = self._usual_headers
        if given or content_type != self._content_type:
            headers = tuple(_typed(self._headers | given, content_type).items())
        full = f"{url}{path}?{urlencode(query, quote_via=quote)}" if query else f"{url}{path}"
        return Request(self._fact.method, full, headers, content, url)

    def _path(self, values: Mapping[str, Any], call_id: str) -> str:
        path = self._start
        for parameter, literal in self._segments:
            path += (call_id if parameter is None else path_text(parameter, values[parameter.name])) + literal
        return path

    def _given_headers(self, values: Mapping[str, Any]) -> dict[str, str]:
        return {
            item.wire[0].lower(): header_text(item, values[item.name])
            for item in self._in_headers
            if values.get(item.name) not in (None, [])
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
                texts, files = parts_of(self._body, values)
                return multipart(self._fixed_fields + texts, files, call_id=call_id)
            case _:
                fields = self._fixed_fields + given_pairs(self._body, values)
                return urlencode(fields, quote_via=quote).encode(), self._content_type

    def _json_body(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Fixed values and inputs at their paths. An input not given is left out; a null that was given is sent."""
        fixed = self._fact.fixed.body or {}
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


def _typed(headers: dict[str, str], content_type: str | None) -> dict[str, str]:
    return headers if content_type is None else headers | {"content-type": content_type}


def _whole(fact: OperationFact, parameter: Parameter, value: Any) -> bytes:
    """One input that is the whole body: bytes, text, or JSON."""
    if parameter.base64:
        return of_base64(parameter.name, value)
    return as_text(value).encode() if fact.encoding == "raw" else msgspec.json.encode(value)
