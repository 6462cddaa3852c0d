"""What is wrong with the names of headers and parameters in a manifest: those that are none, or not the manifest's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from sidecar.kinds import ApiKey, Auth, Basic, Bearer, Place, places_of
from sidecar.manifest import LinkPaging, Operation

Places = frozenset[tuple[Place, str]]

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
IN_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]*")  # RFC 3986 section 3.3
PLACES = {"header": "header", "query": "parameter"}
QUERY_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Framing, routing and the credential: nobody else writes them.
OUR_HEADERS = frozenset(
    {
        "accept-encoding", "authorization", "connection", "content-length", "cookie", "expect", "host", "keep-alive",
        "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip


def credential_places(kinds: Collection[Auth]) -> Places:
    """Where credentials of these kinds stand, headers in lower case: nothing else is ever written there."""
    return frozenset(_same(place) for auth in kinds for place in places_of(auth))


def header_mistakes(name: str, value: str, places: Places) -> Iterator[str]:
    """What is wrong with a header that a manifest sets, or lets a call set."""
    if ("header", name.lower()) in places and name.lower() not in OUR_HEADERS:
        yield f"the header {name.lower()} holds the credential"
    yield from _header_mistakes(name, value, OUR_HEADERS)


def parameter_mistakes(name: str, places: Places) -> Iterator[str]:
    """What is wrong with a query parameter that a manifest writes by itself."""
    if ("query", name) in places:
        yield f"the parameter {name} holds the credential"
    elif not QUERY_NAME.fullmatch(name):
        yield f"{name!r} is not a parameter's name of [A-Za-z0-9_.-]"


def answered_mistakes(key: str, name: str) -> Iterator[str]:
    """What is wrong with a header that is looked for in answers."""
    if not HEADER_NAME.fullmatch(name):
        yield f"{key}: {name!r} is not a header's name"


def carried_mistakes(auth: Auth) -> Iterator[str]:
    """What is wrong with the places that a credential of the kind stands in, below `auth.<kind>`."""
    if isinstance(auth, ApiKey):
        yield from _key_mistakes(auth)
    taken: set[tuple[Place, str]] = set()
    for key, place, name, prefix in _parts(auth):
        if place == "header":
            yield from (f"{key}: {wrong}" for wrong in _header_mistakes(name, prefix, OUR_HEADERS - {"authorization"}))
        elif not QUERY_NAME.fullmatch(name):
            yield f"{key}: {name!r} is not a parameter's name of [A-Za-z0-9_.-]"
        if _same((place, name)) in taken:
            yield f"{key}: another part stands in {place} {name!r} already"
        taken.add(_same((place, name)))


def operation_place_mistakes(fact: Operation, places: Places) -> Iterator[str]:
    """What is wrong with the headers that an operation sends, and with what it writes where the credential stands."""
    for name, value in fact.fixed.header.items():
        yield from (f"fixed.header: {wrong}" for wrong in header_mistakes(name, value, places))
    in_query = [("fixed.query", name) for name in fact.fixed.query]
    for name, field in fact.input.items():
        if field.place == "header":
            yield from (f"input.{name}: {wrong}" for wrong in header_mistakes(field.name or name, "", places))
        if field.place == "query":
            in_query.append((f"input.{name}", field.name or name))
    if fact.paging is not None and not isinstance(fact.paging, LinkPaging) and fact.paging.place == "query":
        in_query.append(("paging.name", fact.paging.name))
    for key, name in in_query:
        if not name:
            yield f"{key}: a parameter has a name"
        if ("query", name) in places:
            yield f"{key}: the parameter {name} holds the credential"


def _key_mistakes(auth: ApiKey) -> Iterator[str]:
    """What is wrong with the key's own place: a header or parameter has a name, a segment of a path has none."""
    if auth.place != "path":
        if auth.name is None:
            yield f".name: required: the {PLACES[auth.place]} that holds the key"
        return
    if auth.name is not None:
        yield ".name: a key in the path has none: it is a segment of its own, right below the base URL"
    if not IN_SEGMENT.fullmatch(auth.prefix):
        yield f".prefix: {auth.prefix!r} and the key are one segment of the path: no slash, nothing to be encoded"


def _parts(auth: Auth) -> Iterator[tuple[str, Place, str, str]]:
    """Of each part with a name its key in the manifest, where it stands, that name, and what stands before it."""
    match auth:
        case ApiKey(place=place, name=name, prefix=prefix, more=more):
            if place != "path" and name is not None:
                yield "", place, name, prefix
            yield from ((f".more.{index}", part.place, part.name, part.prefix) for index, part in enumerate(more))
        case Bearer() | Basic():
            return
        case _:
            yield ".carry", auth.carry.place, auth.carry.name, auth.carry.prefix


def _header_mistakes(name: str, value: str, ours: Collection[str]) -> Iterator[str]:
    if not HEADER_NAME.fullmatch(name):
        yield f"{name!r} is not a header's name"
        return
    if name.lower() in ours:
        yield f"the header {name.lower()} is ours"
    if not value.isascii() or not value.isprintable():
        yield f"the value of {name} is not printable ASCII on one line"


def _same(place: tuple[Place, str]) -> tuple[Place, str]:
    """The place as it is compared: names of headers have no case."""
    return (place[0], place[1].lower()) if place[0] == "header" else place
