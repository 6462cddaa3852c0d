"""The raw request: `http.get` and `http.request`, relative to the connection's base URL."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, unquote, urlencode

import msgspec

from sidecar.core.page import secret_parameters
from sidecar.core.render import CONTENT_TYPES, JSON_TYPE
from sidecar.core.values import Refused, as_text, header_value
from sidecar.manifest import Operation as OperationFact
from sidecar.model import Access, Failure, Reason, Request
from sidecar.provider import RAW_READ, RAW_WRITE, Provider

SAFE_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+")  # RFC 3986 section 3.3
SLASHES = re.compile("//+")
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

_QUERY = {
    "type": "object",
    "description": "Query parameters; a list is sent as the parameter repeated.",
    "additionalProperties": {
        "anyOf": [
            {"type": ["string", "number", "boolean"]},
            {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
        ]
    },
}
_HEADERS = {
    "type": "object",
    "description": "Headers, out of those the provider's manifest allows.",
    "additionalProperties": {"type": "string"},
}
_PATH = {"type": "string", "description": "Path below the base URL, percent-encoded, such as /users/42."}

RAW_FACTS: dict[str, OperationFact] = {
    RAW_READ: OperationFact(
        access=Access.READ, method="GET", path="/", summary="Read anything below the provider's base URL (raw GET)."
    ),
    RAW_WRITE: OperationFact(
        access=Access.WRITE, method="POST", path="/", summary="Send any request below the provider's base URL (raw)."
    ),
}
RAW_SCHEMAS: dict[str, dict[str, object]] = {
    RAW_READ: {
        "type": "object",
        "properties": {"path": _PATH, "query": _QUERY, "headers": _HEADERS},
        "required": ["path"],
        "additionalProperties": False,
    },
    RAW_WRITE: {
        "type": "object",
        "properties": {
            "method": {"type": "string", "enum": ["POST", "PUT", "PATCH", "DELETE"]},
            "path": _PATH,
            "query": _QUERY,
            "headers": _HEADERS,
            "json": {"description": "The body as JSON."},
            "form": {**_QUERY, "description": "The body as an urlencoded form."},
            "base64": {"type": "string", "description": "The body as bytes in base64; name its type in content_type."},
            "content_type": {
                "type": "string",
                "description": "The content type of `base64`, or one of JSON in place of application/json.",
            },
        },
        "required": ["method", "path"],
        "additionalProperties": False,
    },
}


def render_raw(provider: Provider, method: str, url: str, values: Mapping[str, Any]) -> Request | Failure:
    """The raw request below the base `url`. Its path cannot climb out of it, its headers are those allowed."""
    try:
        path = _raw_path(provider, str(values["path"]))
        headers = {name.lower(): value for name, value in provider.manifest.headers.items()}
        headers |= _raw_headers(provider, values.get("headers") or {})
        content, content_type = _raw_content(values)
        query = _raw_query(provider, values.get("query") or {})
    except Refused as refused:
        problem = refused.problem
        return Failure(reason=Reason.VALIDATION, detail=f"{problem.pointer}: {problem.detail}", problems=(problem,))
    if content_type is not None:
        headers["content-type"] = content_type
    return Request(
        str(values.get("method", method)),
        f"{url}{path}" + (f"?{query}" if query else ""),
        tuple(headers.items()),
        content,
        url,
    )


def _raw_path(provider: Provider, path: str) -> str:
    if not SAFE_PATH.fullmatch(path):
        raise Refused("path", "must start with / and be percent-encoded; put the query into `query`")
    for segment in path.split("/"):
        decoded = unquote(segment)
        if decoded in {".", ".."} or "/" in decoded or "\\" in decoded or CONTROLS.search(decoded):
            raise Refused("path", f"{segment!r} cannot be part of a path")
    if path.startswith("//"):
        raise Refused("path", "must not start with //")
    if _is_closed(provider, path):
        raise Refused("path", "is closed: what it answers would hold a credential")
    return path


def _is_closed(provider: Provider, path: str) -> bool:
    """Whether the manifest closes the path, as any server may read it: without case, with slashes folded or cut off."""
    closed = provider.manifest.raw.closed if provider.manifest.raw else ()
    seen = SLASHES.sub("/", unquote(path)).lower()
    return any(fnmatchcase(form, pattern.lower()) for pattern in closed for form in (seen, seen.rstrip("/")))


def _raw_query(provider: Provider, given: Mapping[str, Any]) -> str:
    taken = secret_parameters(provider).intersection(given)
    if taken:
        raise Refused("query", f"{min(taken)!r} holds the connection's credential and may not be set")
    return _form(given)


def _raw_headers(provider: Provider, given: Mapping[str, str]) -> dict[str, str]:
    allowed = provider.manifest.raw.headers if provider.manifest.raw else ()
    headers: dict[str, str] = {}
    for name, value in given.items():
        if name.lower() not in allowed:
            rule = f"may not be set; allowed: {', '.join(allowed) or 'none'}"
            raise Refused("headers", f"{name[:80]!r} {rule}")
        headers[name.lower()] = header_value(f"headers/{name}", value)
    return headers


def _raw_content(values: Mapping[str, Any]) -> tuple[bytes, str | None]:
    given = [name for name in ("json", "form", "base64") if name in values]
    if len(given) > 1:
        raise Refused(given[1], f"give one body: {' or '.join(given)}")
    named = header_value("content_type", values["content_type"]) if "content_type" in values else None
    match given:
        case ["json"]:
            if named is not None and not JSON_TYPE.match(named):
                raise Refused("content_type", f"{named[:80]!r} is no type of JSON; send other bodies as base64")
            return msgspec.json.encode(values["json"]), named or CONTENT_TYPES["json"]
        case ["base64"]:
            try:
                return base64.b64decode(values["base64"], validate=True), named or CONTENT_TYPES["raw"]
            except (binascii.Error, ValueError):
                raise Refused("base64", "is not base64") from None
    if named is not None:
        raise Refused("content_type", "is of json or base64; a form has its own type, and no body has none")
    return (_form(values["form"]).encode(), CONTENT_TYPES["form"]) if given else (b"", None)


def _form(values: Mapping[str, Any]) -> str:
    pairs = [(name, item) for name, value in values.items() for item in (value if isinstance(value, list) else [value])]
    return urlencode([(name, as_text(value)) for name, value in pairs], quote_via=quote)
