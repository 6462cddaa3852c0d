"""Pages: put the caller's cursor into the request, and find the next one in the answer.

A cursor is only ever put where the manifest says, as a value; a `Link` gives its query alone, never its host or path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode, urlsplit

import msgspec

from sidecar.core.dig import dig, path_of
from sidecar.core.render import CONTENT_TYPES, as_text
from sidecar.kinds import places_of
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, PagePaging, Paging
from sidecar.model import Failure, Reason, Request
from sidecar.provider import Operation, Provider
from sidecar.wire.request import MAX_CURSOR, encode_cursor

# RFC 8288 section 3: `<URL>; name=value; name="value"`, of which a value in quotes may hold anything.
PARAMETER = r';\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?'
LINK = re.compile(rf"<([^<>]*)>((?:\s*{PARAMETER})*)")
PARAMETERS = re.compile(PARAMETER)
QUERY_SAFE = "!$&'()*+,;=:@/?%"  # beside letters, digits and -._~ (RFC 3986 section 3.4); `%` starts what is encoded


class BadCursor(Exception):
    """What stands where the next page's cursor is due is none. The text goes on from "the answer has"."""


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
            query = _query(cursor, secret.union(fixed))
            always = urlencode([(name, as_text(value)) for name, value in fixed.items()], quote_via=quote)
            return msgspec.structs.replace(request, url=f"{head}?{'&'.join(filter(None, (query, always)))}")
        case CursorPaging(place="body", name=name):
            wrap = operation.fact.wrap
            return _with_body(request, (wrap, *path_of(name)) if wrap else path_of(name), cursor)
        case CursorPaging(name=name):
            return _with_query(request, name, cursor)
        case OffsetPaging(name=name) | PagePaging(name=name):
            if not cursor.isascii() or not cursor.isdigit():
                return Failure(reason=Reason.MALFORMED, detail="Cursor is not one that this operation gave")
            return _with_query(request, name, cursor)


def next_cursor(paging: Paging | None, link: str | None, body: Any, secret: frozenset[str]) -> str | None:
    """The provider's cursor of the next page, or None on the last. `link` is the Link header, `body` decoded JSON;
    `secret` parameters, which hold the credential, are left out. Raises BadCursor.
    """
    found = _next(paging, link, body, secret)
    if found and len(encode_cursor(found)) > MAX_CURSOR:
        raise BadCursor(f"a cursor of {len(found):,} characters, more than a header may hold")
    return found


def reads_body(paging: Paging | None) -> bool:
    """Whether the next cursor stands in the body."""
    return paging is not None and not (isinstance(paging, LinkPaging) and paging.path is None)


def secret_parameters(provider: Provider) -> frozenset[str]:
    """The query parameters that hold a credential of this provider. A provider may write them into its links."""
    places = (found for auth in provider.manifest.auth for found in places_of(auth))
    return frozenset(name for place, name in places if place == "query")


def _next(paging: Paging | None, link: str | None, body: Any, secret: frozenset[str]) -> str | None:
    match paging:
        case None:
            return None
        case LinkPaging(path=path):
            if path is not None:
                return _query_in(dig(body, path), secret)
            found = _next_link(link or "")
            return None if found is None else _query_of(found, secret)
        case CursorPaging(path=path, more=more, place=place):
            return _cursor(dig(body, path), place) if more is None or dig(body, more) else None
        case OffsetPaging(offset=offset, limit=limit, total=total):
            return _following(_count(dig(body, offset)), _count(dig(body, limit)), _count(dig(body, total)))
        case PagePaging(page=page, pages=pages):
            last = _count(dig(body, pages))
            return _following(_count(dig(body, page)), 1, None if last is None else last + 1)


def _next_link(header: str) -> str | None:
    """The URL of the first link whose relation is `next`; of several relations of a link the first parameter counts."""
    for link in LINK.finditer(header):
        named = (found for found in PARAMETERS.finditer(link[2]) if found[1].lower() == "rel")
        relation = next(((found[2] or found[3] or "") for found in named), "")
        if "next" in relation.lower().split():
            return link[1]
    return None


def _query_in(url: Any, secret: frozenset[str]) -> str | None:
    if url in (None, ""):
        return None
    query = _query_of(url, secret) if isinstance(url, str) else None
    if query is None:
        raise BadCursor("no URL with a query for the next page")
    return query


def _query_of(url: str, secret: frozenset[str]) -> str | None:
    try:
        query = urlsplit(url).query
    except ValueError:
        return None
    return _query(query, secret) or None


def _query(text: str, secret: frozenset[str]) -> str:
    """The query as it was given, without secret parameters; what no query may hold is encoded."""
    kept = [pair for pair in text.split("&") if unquote_plus(pair.partition("=")[0]) not in secret]
    return quote("&".join(kept), safe=QUERY_SAFE)


def _cursor(value: Any, place: str) -> str | None:
    if value in (None, "", 0):  # no page that follows another starts at 0; false is 0 too
        return None
    if value is True or not isinstance(value, str | int | float):
        raise BadCursor("no text or number for the cursor of the next page")
    if place == "body" and isinstance(value, str) and _as_value(value) != value:
        return msgspec.json.encode(value).decode()
    return as_text(value)


def _as_value(cursor: str) -> str | int | float:
    """What goes into a JSON body for a cursor: a number stays a number. Text that reads as one stands in quotes."""
    try:
        value = msgspec.json.decode(cursor)
    except msgspec.DecodeError:
        return cursor
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else cursor


def _count(value: Any) -> int | None:
    """A whole number, or None where there is none at all."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise BadCursor("no whole number where its pages are counted")
    return value


def _following(offset: int | None, limit: int | None, total: int | None) -> str | None:
    if offset is None or limit is None or total is None:
        return None
    following = offset + limit
    return str(following) if limit > 0 and following < total else None


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
    place[path[-1]] = _as_value(cursor)
    return msgspec.structs.replace(request, headers=headers, content=msgspec.json.encode(body))
