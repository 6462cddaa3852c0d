"""What is wrong with how an operation's pages are told: what leads nowhere, contradicts, or would be ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.catalogue.path_mistakes import index_mistakes, path_mistakes
from sidecar.catalogue.place_mistakes import answered_mistakes
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, Operation, PagePaging, Paging

TOLD = ("path", "offset", "limit", "page", "pages", "total", "size", "more", "last")
ENDS = ("pages", "total", "more", "last")  # each says whether there is a next page


def paging_mistakes(fact: Operation) -> Iterator[str]:
    """Each mistake as `key: rule`."""
    paging = fact.paging
    if paging is None:
        return
    told = _told(paging)
    if paging.told_in == "header":
        for key, name in told.items():
            yield from answered_mistakes(f"paging.{key}", name)
        if not told:
            yield "paging.told_in: there is nothing that a header tells"
    else:
        yield from path_mistakes({f"paging.{key}": path for key, path in told.items()})
    yield from _end_mistakes(paging, told)
    if not isinstance(paging, LinkPaging) and paging.place == "body":
        yield from _body_mistakes(fact, paging.name)


def _told(paging: Paging) -> Mapping[str, str]:
    """What `told_in` is about, by its key."""
    return {key: name for key in TOLD if (name := getattr(paging, key, None)) is not None}


def _end_mistakes(paging: Paging, told: Mapping[str, str]) -> Iterator[str]:
    """A listing has one end, and something that says where it is."""
    ends = [key for key in ENDS if key in told]
    if len(ends) > 1:
        yield f"paging: {' and '.join(ends)} both say where the end is; name one of them"
    if isinstance(paging, LinkPaging):
        return
    if paging.items is not None:
        yield from path_mistakes({"paging.items": paging.items})
    if isinstance(paging, CursorPaging):
        return
    if paging.items is None and not ends:
        known = ", ".join(key for key in ENDS if hasattr(paging, key))
        yield f"paging: nothing says where the end is: name one of {known}, or items"
    if isinstance(paging, OffsetPaging) and paging.limit is None and paging.items is None:
        yield "paging: nothing says how many items a page has: name limit, or items"
    if isinstance(paging, PagePaging) and (paging.size is None) is not (paging.total is None):
        yield "paging: total and size belong together: of so many items, so many on a page"
    if paging.first < 0:
        yield "paging.first: must be 0 or more"


def _body_mistakes(fact: Operation, name: str) -> Iterator[str]:
    yield from path_mistakes({"paging.name": name})
    yield from index_mistakes("paging.name", name)
    if fact.encoding != "json":
        yield "paging: a cursor goes into the body of a JSON request only"
    if fact.method == "GET":
        yield "paging.place: GET carries no body for the cursor"
    if any(field.place == "content" for field in fact.input.values()):
        yield "paging.place: a body that is one `in: content` has no place for the cursor"
