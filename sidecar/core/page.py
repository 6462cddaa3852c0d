"""Pages: put the caller's cursor into the request, and find the next one in the answer.

A cursor is only ever put where the manifest says, as a value; a `Link` gives its query alone, never its host or path.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from sidecar.core.dig import dig
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, PagePaging, Paging
from sidecar.model import Failure, Reason, Request
from sidecar.provider import Operation

NEXT_LINK = re.compile(r'<([^<>]*)>\s*;(?:[^,<]*;)?\s*rel="?next"?(?=[\s;,]|$)', re.IGNORECASE)


def with_page(operation: Operation, request: Request, cursor: str | None) -> Request | Failure:
    """The request for the page that `cursor` (a provider's cursor, decoded) stands for."""
    if cursor is None:
        return request
    paging = operation.fact.paging
    match paging:
        case None:
            detail = f"{operation.provider}.{operation.name} has no pages; leave out Cursor"
            return Failure(reason=Reason.MALFORMED, detail=detail)
        case LinkPaging():
            return _with_query(request, dict(parse_qsl(cursor, keep_blank_values=True)), replace=True)
        case CursorPaging(place="body", name=name):
            body = msgspec.json.decode(request.content) if request.content else {}
            return msgspec.structs.replace(request, content=msgspec.json.encode({**body, name: cursor}))
        case CursorPaging(name=name):
            return _with_query(request, {name: cursor})
        case OffsetPaging(name=name) | PagePaging(name=name):
            if not cursor.isascii() or not cursor.isdigit():
                return Failure(reason=Reason.MALFORMED, detail="Cursor is not one that this operation gave")
            return _with_query(request, {name: cursor})


def next_cursor(paging: Paging | None, link: str | None, body: Any) -> str | None:
    """The provider's cursor of the next page, or None on the last. `link` is the Link header, `body` decoded JSON."""
    match paging:
        case None:
            return None
        case LinkPaging():
            found = NEXT_LINK.search(link or "")
            return urlsplit(found[1]).query or None if found else None
        case CursorPaging(path=path, more=more):
            cursor = dig(body, path)
            if cursor in (None, "", False) or (more is not None and not dig(body, more)):
                return None
            return str(cursor)
        case OffsetPaging(offset=offset, limit=limit, total=total):
            return _following(dig(body, offset), dig(body, limit), dig(body, total))
        case PagePaging(page=page, pages=pages):
            number, last = dig(body, page), dig(body, pages)
            return str(number + 1) if isinstance(number, int) and isinstance(last, int) and number < last else None


def reads_body(paging: Paging | None) -> bool:
    """Whether the next cursor stands in the body."""
    return paging is not None and not isinstance(paging, LinkPaging)


def _following(offset: Any, limit: Any, total: Any) -> str | None:
    if not (isinstance(offset, int) and isinstance(limit, int) and isinstance(total, int)):
        return None
    following = offset + limit
    return str(following) if limit > 0 and following < total else None


def _with_query(request: Request, given: dict[str, str], *, replace: bool = False) -> Request:
    """The request with these query parameters in place of its own of the same name (or of all)."""
    head, _, query = request.url.partition("?")
    kept = [] if replace else [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in given]
    return msgspec.structs.replace(request, url=f"{head}?{urlencode([*kept, *given.items()], quote_via=quote)}")
