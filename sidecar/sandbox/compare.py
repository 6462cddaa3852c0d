"""Whether a request is the one that a case expects, and in what it differs. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import httpx
import msgspec

from sidecar.sandbox.case import CaseRequest
from sidecar.sandbox.parts import Part, expected_parts, parts_in, sent_parts

CALL_ID_MARK = "{call_id}"
CALL_ID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")  # some providers take no dashes
MAX_SHOWN = 400

Grouped = dict[str, tuple[str, ...]]


class Seen(msgspec.Struct, frozen=True):
    """One request as it went over the wire: path below the base URL, header names in lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    content: bytes


class Standing(NamedTuple):
    """Where a credential stands in a request (`header`, `query` or `path`), its name there and its value. In a path it
    has no name, and its value begins with the slash.
    """

    place: str
    name: str
    value: str

    @property
    def where(self) -> str:
        return f"{self.place} {self.name}".rstrip()


def seen(request: httpx.Request, base: str) -> Seen:
    """The request as sent to `base`, a URL without a trailing slash."""
    path, _, query = request.url.raw_path.decode().partition("?")
    return Seen(
        request.method,
        path.removeprefix(httpx.URL(base).raw_path.decode().rstrip("/")),
        tuple(parse_qsl(query, keep_blank_values=True)),
        {name.lower(): value for name, value in request.headers.items()},
        request.content,
    )


def differences(expected: CaseRequest, request: Seen, credential: Standing | None = None) -> Iterator[str]:
    """In what the request is not the expected one. A `credential` in the path or the query need not be listed."""
    if request.method != expected.method:
        yield _unlike("method", expected.method, request.method)
    path = _whole_path(expected.path, credential)
    if not _same(path, request.path):
        yield _unlike("path", path, request.path)
    wanted = {name: (value,) if isinstance(value, str) else value for name, value in expected.query.items()}
    query = grouped(request.query)
    if credential and credential.place == "query" and credential.name not in wanted:
        query.pop(credential.name, None)
    if wanted != query:
        yield _unlike("query", wanted, query)
    for name, value in expected.headers.items():
        if request.headers.get(name.lower()) != value:
            yield _unlike(f"header {name.lower()}", value, request.headers.get(name.lower()))
    yield from _body_differences(expected, request)


def _whole_path(path: str, credential: Standing | None) -> str:
    """The path as it is sent: with the credential that stands in it, listed or not."""
    if credential is None or credential.place != "path" or path.startswith(f"{credential.value}/"):
        return path
    return f"{credential.value}{path}"


def grouped(pairs: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> Grouped:
    """The values of each name, in order."""
    values: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        values[name] = (*values.get(name, ()), value)
    return values


def body_kind(request: Seen) -> str:
    """What the content type says the body is: `json`, `form`, `multipart`, `text`, or `none` where there is none."""
    if not request.content:
        return "none"
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json" or content_type.endswith("+json"):
        return "json"
    return {"application/x-www-form-urlencoded": "form", "multipart/form-data": "multipart"}.get(content_type, "text")


def parts_of(request: Seen) -> list[Part]:
    """The parts of a multipart body."""
    return list(parts_in(request.content, request.headers.get("content-type", "")))


def _body_differences(expected: CaseRequest, request: Seen) -> Iterator[str]:
    kind = _expected_kind(expected)
    found = body_kind(request)
    # A text may be of any type: what its author says is JSON or a form is compared as it stands.
    if kind != found and not (kind == "text" and found != "none"):
        yield _unlike("body", kind, f"{found} ({request.headers.get('content-type', 'no content type')})")
        return
    match kind:
        case "json":
            wanted, got = canonical(expected.json), _canonical_text(request.content)
        case "form":
            pairs = parse_qsl(request.content.decode(errors="replace"), keep_blank_values=True)
            form = expected.form or {}
            wanted = canonical({name: [value] if isinstance(value, str) else value for name, value in form.items()})
            got = canonical(grouped(pairs))
        case "multipart":
            said, parts = expected.multipart or {}, parts_of(request)
            wanted, got = canonical(expected_parts(said)), canonical(sent_parts(parts, said))
        case "text":
            wanted, got = expected.text or "", _text(request.content)
        case _:
            return
    if not _same(wanted, got):
        yield _unlike("body", wanted, got)


def _expected_kind(expected: CaseRequest) -> str:
    if expected.json is not msgspec.UNSET:
        return "json"
    for name in ("form", "multipart", "text"):
        if getattr(expected, name) is not None:
            return name
    return "none"


def _same(expected: str, sent: str) -> bool:
    """Whether they are equal, any call's id standing where the mark does."""
    if CALL_ID_MARK not in expected:
        return expected == sent
    return re.fullmatch(CALL_ID.pattern.join(map(re.escape, expected.split(CALL_ID_MARK))), sent) is not None


def canonical(value: Any) -> str:
    """The value as JSON in one spelling: equal texts are equal JSON, and `1` is not `true`."""
    return msgspec.json.encode(value, order="sorted").decode()


def _canonical_text(content: bytes) -> str:
    try:
        return canonical(msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"no JSON: {_text(content)}"


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return b64encode(content).decode()


def _unlike(what: str, expected: object, sent: object) -> str:
    return f"{what}: expected {_shown(expected)}, sent {_shown(sent)}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        value = {name: items[0] if len(items) == 1 else list(items) for name, items in value.items()}
    text = "none" if value is None else value if isinstance(value, str) else canonical(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
