"""The next page, found in an answer where the manifest says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from sidecar.core.dig import dig
from sidecar.core.page import NUMBER, as_value, query_left, split_url
from sidecar.core.values import as_text
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, PagePaging, Paging
from sidecar.wire.request import MAX_CURSOR, encode_cursor

# RFC 8288 section 3: `<URL>; name=value; name="value"`, of which a value in quotes may hold anything.
PARAMETER = r';\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?'
LINK = re.compile(rf"<([^<>]*)>((?:\s*{PARAMETER})*)")
PARAMETERS = re.compile(PARAMETER)
DOWN = frozenset({"", "0", "false", "no"})  # what a flag is that is a text, in lower case

Read = Callable[[str | None], Any]  # what the answer says by this name


class BadCursor(Exception):
    """What stands where the next page's cursor is due is none. The text goes on from "the answer has"."""


def next_cursor(
    paging: Paging | None, headers: httpx.Headers, body: Any, secret: frozenset[str], asked: int | None = None
) -> str | None:
    """The provider's cursor of the next page, or None on the last. `body` is decoded JSON; `secret` parameters, which
    hold the credential, are left out; `asked` is the number of the page, or of its first item, that was asked for.
    Raises BadCursor.
    """
    found = None if paging is None else _next(paging, headers, body, secret, asked)
    if found and len(encode_cursor(found)) > MAX_CURSOR:
        raise BadCursor(f"a cursor of {len(found):,} characters, more than a header may hold")
    return found


def reads_body(paging: Paging | None) -> bool:
    """Whether something of the next page stands in the body."""
    match paging:
        case None | LinkPaging(path=None):
            return False
        case CursorPaging(items=str()) | OffsetPaging(items=str()) | PagePaging(items=str()):
            return True
        case _:
            return paging.told_in == "body"


def _next(paging: Paging, headers: httpx.Headers, body: Any, secret: frozenset[str], asked: int | None) -> str | None:
    def read(name: str | None) -> Any:
        if name is None:
            return None
        return headers.get(name) if paging.told_in == "header" else dig(body, name)

    match paging:
        case LinkPaging(path=None):
            found = _next_link(headers.get("link", ""))
            return _query_in(found, secret)
        case LinkPaging(path=path):
            return _query_in(read(path), secret)
        case CursorPaging(path=path, place=place):
            if _flagged(paging, read) is False or (paging.items is not None and _items(body, paging.items) == 0):
                return None
            found = read(path)
            list_path, of_last, name = path.rpartition("-1.")
            if found is None and of_last and dig(body, f"{list_path}-1") is not None:
                raise BadCursor(f"no {name} in its last item, which the next page is asked for by")
            return _cursor(found, place)
        case OffsetPaging():
            return _next_offset(paging, read, body, asked)
        case PagePaging():
            return _next_page(paging, read, body, asked)


def _next_offset(paging: OffsetPaging, read: Read, body: Any, asked: int | None) -> str | None:
    """A page without items, or of which nothing says how many it has, is the last: it would be asked for for ever."""
    items = None if paging.items is None else _items(body, paging.items)
    size = items if paging.limit is None else _count(read(paging.limit))
    offset = _count(read(paging.offset)) if paging.offset is not None else paging.first if asked is None else asked
    if offset is None or size is None or size <= 0 or items == 0:
        return None
    following = offset + size
    if paging.total is not None:
        total = _count(read(paging.total))
        return _number(following) if total is not None and following < total + paging.first else None
    return None if _flagged(paging, read) is False else _number(following)


def _next_page(paging: PagePaging, read: Read, body: Any, asked: int | None) -> str | None:
    page = _count(read(paging.page)) if paging.page is not None else paging.first if asked is None else asked
    if page is None or (paging.items is not None and _items(body, paging.items) == 0):
        return None
    following, seen = page + 1, page + 1 - paging.first
    if paging.pages is not None:
        pages = _count(read(paging.pages))
        return _number(following) if pages is not None and seen < pages else None
    if paging.total is not None:
        total, size = _count(read(paging.total)), _count(read(paging.size))
        return _number(following) if total is not None and size is not None and 0 < size * seen < total else None
    return None if _flagged(paging, read) is False else _number(following)


def _number(following: int) -> str:
    """The cursor that this number is; one that could not be asked for again is none."""
    if not NUMBER.fullmatch(str(following) if abs(following) < 1 << 63 else ""):
        raise BadCursor("a count of its pages that leads to no page")
    return str(following)


def _flagged(paging: CursorPaging | OffsetPaging | PagePaging, read: Read) -> bool | None:
    """Whether a flag says that there is a next page; None where there is no flag. One that is left out is not up."""
    if paging.more is not None:
        return _is_up(read(paging.more))
    return None if paging.last is None else not _is_up(read(paging.last))


def _is_up(flag: Any) -> bool:
    return flag.strip().lower() not in DOWN if isinstance(flag, str) else bool(flag)


def _items(body: Any, path: str) -> int:
    """How many items the page has; some leave an empty list out."""
    found = dig(body, path)
    if found is not None and not isinstance(found, list | dict):
        raise BadCursor("no list where its items are counted")
    return len(found or ())


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
        query = split_url(url).query
    except ValueError:
        return None
    return query_left(query, secret) or None


def _cursor(value: Any, place: str) -> str | None:
    if value in (None, "", 0):  # no page that follows another starts at 0; false is 0 too
        return None
    if value is True or not isinstance(value, str | int | float):
        raise BadCursor("no text or number for the cursor of the next page")
    if place == "body" and isinstance(value, str) and as_value(value) != value:
        return msgspec.json.encode(value).decode()
    return as_text(value)


def _count(value: Any) -> int | None:
    """A whole number, which some write as a text, or None where there is none at all."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise BadCursor("no whole number where its pages are counted")
    return value
