"""Pages: put the caller's cursor into the request. It is only ever put where the manifest says, as a value; of a link
the query counts alone, never its host or path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from inspect import unwrap
from urllib.parse import SplitResult, parse_qsl, quote, unquote_plus, urlencode, urlsplit

import msgspec

from sidecar.core.dig import path_of
from sidecar.core.render import CONTENT_TYPES
from sidecar.core.values import as_text, fixed_pairs
from sidecar.kinds import places_of
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, PagePaging
from sidecar.model import Failure, Reason, Request
from sidecar.provider import Operation, Provider

QUERY_SAFE = "!$&'()*+,;=:@/?%"  # beside letters, digits and -._~ (RFC 3986 section 3.4); `%` starts what is encoded
# The standard library remembers what it has split; a URL of an answer may hold the key.
split_url: Callable[[str], SplitResult] = unwrap(urlsplit)
NUMBER = re.compile(r"[0-9]{1,18}")  # of pages, and of items: below 2^63


def with_page(operation: Operation, request: Request, cursor: str | None, secret: frozenset[str]) -> Request | Failure:
    """The request for the page that `cursor` (a provider's cursor, decoded) stands for. `secret` parameters, which
    hold the credential, come from no cursor.
    """
    if cursor is None:
        return request
    paging = operation.fact.paging
    match paging:
        case None:
            detail = f"{operation.provider}.{operation.name} has no pages; leave out Cursor"
            return Failure(reason=Reason.MALFORMED, detail=detail)
        case LinkPaging():
            head, fixed = request.url.partition("?")[0], operation.fact.fixed.query
            query = query_left(cursor, secret.union(fixed))
            always = urlencode(fixed_pairs(fixed), quote_via=quote)
            return msgspec.structs.replace(request, url=f"{head}?{'&'.join(filter(None, (query, always)))}")
        case CursorPaging(place="body", name=name):
            return _with_body(request, _in_body(operation, name), cursor)
        case CursorPaging(name=name):
            return _with_query(request, name, cursor)
        case OffsetPaging(name=name, place=place) | PagePaging(name=name, place=place):
            if not NUMBER.fullmatch(cursor):
                return Failure(reason=Reason.MALFORMED, detail="Cursor is not one that this operation gave")
            if place == "body":
                return _with_body(request, _in_body(operation, name), cursor)
            return _with_query(request, name, cursor)


def asked_for(operation: Operation, request: Request) -> int | None:
    """The number of the page, or of its first item, that the request asks for; None where it names none."""
    paging = operation.fact.paging
    if not isinstance(paging, OffsetPaging | PagePaging):
        return None
    if paging.place == "query":
        given = dict(parse_qsl(request.url.partition("?")[2])).get(paging.name)
        return int(given) if given is not None and NUMBER.fullmatch(given) else None
    value = msgspec.json.decode(request.content or b"{}")
    for name in _in_body(operation, paging.name):
        value = value.get(name) if isinstance(value, dict) else None
    text = as_text(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return int(text) if NUMBER.fullmatch(text) else None


def secret_parameters(provider: Provider) -> frozenset[str]:
    """The query parameters that hold a credential of this provider. A provider may write them into its links."""
    places = (found for auth in provider.manifest.auth for found in places_of(auth))
    return frozenset(name for place, name in places if place == "query")


def query_left(text: str, secret: frozenset[str]) -> str:
    """The query as it was given, without secret parameters; what no query may hold is encoded."""
    kept = [pair for pair in text.split("&") if unquote_plus(pair.partition("=")[0]) not in secret]
    return quote("&".join(kept), safe=QUERY_SAFE)


def as_value(cursor: str) -> str | int | float:
    """What goes into a JSON body for a cursor: a number stays a number. Text that reads as one stands in quotes."""
    try:
        value = msgspec.json.decode(cursor)
    except (msgspec.DecodeError, RecursionError):
        return cursor
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else cursor


def _in_body(operation: Operation, name: str) -> tuple[str, ...]:
    """Where a parameter of this name lies in a JSON body, as an input of that name would."""
    wrap = operation.fact.wrap
    return (wrap, *path_of(name)) if wrap else path_of(name)


def _with_query(request: Request, name: str, value: str) -> Request:
    """The request with this query parameter in place of its own of the same name."""
    head, _, query = request.url.partition("?")
    kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != name]
    return msgspec.structs.replace(request, url=f"{head}?{urlencode([*kept, (name, value)], quote_via=quote)}")


def _with_body(request: Request, path: Sequence[str], cursor: str) -> Request:
    """The request with this field in its JSON body, below what the path leads through."""
    body = msgspec.json.decode(request.content) if request.content else {}
    headers = request.headers if request.content else (*request.headers, ("content-type", CONTENT_TYPES["json"]))
    place = body
    for name in path[:-1]:
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    place[path[-1]] = as_value(cursor)
    return msgspec.structs.replace(request, headers=headers, content=msgspec.json.encode(body))
