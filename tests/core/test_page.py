"""Pages: the next one is found where the manifest says, and a cursor is only ever a value in its place."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.next_page import next_cursor
from sidecar.core.page import asked_for, secret_parameters, with_page
from sidecar.manifest import CursorPaging
from sidecar.model import Failure, Reason, Request
from sidecar.provider import Operation
from tests.build import CREATE_ITEM, GET_ITEM, provider

LIST = GET_ITEM | {"path": "/items", "input": {}, "required": []}
NOTHING: frozenset[str] = frozenset()


def operation(**paging: Any) -> Operation:
    facts = LIST | ({"paging": paging} if paging else {})
    return provider(operations={"items.list": facts}).operations["items.list"]


LINK = operation(kind="link")
CURSOR = operation(kind="cursor", path="meta.next", name="cursor")
OFFSET = operation(kind="offset", name="offset", offset="offset", limit="limit", total="total")
PAGE = operation(kind="page", name="page", page="page", pages="pages")
IN_BODY = provider(
    operations={
        "items.find": CREATE_ITEM
        | {"access": "read", "paging": {"kind": "cursor", "path": "next", "name": "start", "place": "body"}}
    }
).operations["items.find"]
REQUEST = Request("GET", "https://api.acme.example/v1/items?state=open&cursor=old&offset=0&page=1")


def url(made: Operation, cursor: str, secret: frozenset[str] = NOTHING) -> str:
    request = with_page(made, REQUEST, cursor, secret)
    assert isinstance(request, Request), request
    return request.url


@pytest.mark.parametrize("made", [LINK, CURSOR, OFFSET, PAGE, operation()])
def test_without_a_cursor_the_request_is_unchanged(made: Operation) -> None:
    """The first page is the plain request."""
    assert with_page(made, REQUEST, None, NOTHING) is REQUEST


def test_a_cursor_where_there_are_no_pages_is_refused() -> None:
    """Never accepted and ignored: the caller would read the first page for ever."""
    failure = with_page(operation(), REQUEST, "2", NOTHING)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.MALFORMED
    assert "acme.items.list" in failure.detail


@pytest.mark.parametrize(
    ("made", "cursor", "query"),
    [
        (CURSOR, "a=b&c d#", "state=open&offset=0&page=1&cursor=a%3Db%26c%20d%23"),
        (OFFSET, "50", "state=open&cursor=old&page=1&offset=50"),
        (PAGE, "2", "state=open&cursor=old&offset=0&page=2"),
        (LINK, "state=closed&page=2", "state=closed&page=2"),
        (LINK, "labels=a&labels=b&page=2", "labels=a&labels=b&page=2"),
        (LINK, "after=Y3%2BvcjI%3D&q=a+b%20c", "after=Y3%2BvcjI%3D&q=a+b%20c"),
        (LINK, "raw=%ff&empty=&flag", "raw=%ff&empty=&flag"),
    ],
)
def test_a_cursor_goes_where_the_manifest_says(made: Operation, cursor: str, query: str) -> None:
    """It replaces what stood there; a link's query is sent byte for byte, repeated names and all."""
    assert url(made, cursor) == f"https://api.acme.example/v1/items?{query}"


@pytest.mark.parametrize("cursor", ["-1", "1.5", "x", "1 ", "٣", "²", "1&admin=1", "9" * 5_000])
@pytest.mark.parametrize("made", [OFFSET, PAGE])
def test_an_offset_or_page_is_a_number(made: Operation, cursor: str) -> None:
    """Nothing else was ever given out as one."""
    failure = with_page(made, REQUEST, cursor, NOTHING)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.MALFORMED


@given(st.text(min_size=1, max_size=40))
@example("a=b#https://evil.example/")
@example("\r\nX-Evil: 1")
@example("%zz%")
@example("[x]=é&\\")
def test_no_cursor_changes_where_a_request_goes(cursor: str) -> None:
    """Whatever the cursor says, host and path are the operation's."""
    for made in (LINK, CURSOR):
        changed = url(made, cursor)
        assert changed.isascii()
        assert changed.isprintable()
        for host, path in (
            (httpx.URL(changed).host, httpx.URL(changed).path),
            (yarl.URL(changed).host, yarl.URL(changed).path),
        ):
            assert (host, path) == ("api.acme.example", "/v1/items")
        assert httpx.URL(changed).fragment == ""


def test_a_cursor_in_a_body_is_one_value_of_it() -> None:
    """The rest of the body stays; JSON, so it cannot add a field. A body that was empty gets its type."""
    request = Request(
        "POST", "https://x.example/", (("content-type", "application/json"),), b'{"title":"a","start":"old"}'
    )
    changed = with_page(IN_BODY, request, '","admin":true', NOTHING)
    assert isinstance(changed, Request)
    assert msgspec.json.decode(changed.content) == {"title": "a", "start": '","admin":true'}
    assert changed.headers == request.headers
    empty = with_page(IN_BODY, Request("POST", "https://x.example/"), "c", NOTHING)
    assert isinstance(empty, Request)
    assert empty.content == b'{"start":"c"}'
    assert empty.headers == (("content-type", "application/json"),)


def test_no_part_of_a_credential_leaves_in_a_cursor() -> None:
    """What a key has beside it, and a token that is carried in the query, are secrets as the key is."""
    beside = {"field": "pin", "place": "query", "name": "pin"}
    key = {"kind": "api_key", "place": "header", "name": "x-key", "more": [beside]}
    token = {"kind": "client_credentials", "token_url": "/token", "carry": {"place": "query", "name": "token"}}
    assert secret_parameters(provider(auth=[key, token])) == {"pin", "token"}


def test_no_other_credential_comes_in_by_a_cursor() -> None:
    """The key is the connection's: a caller cannot bring another one."""
    assert url(LINK, "page=2&key=mine", frozenset({"key"})).endswith("?page=2")


def find_in_body(name: str, wrap: str | None = None) -> Operation:
    paging = {"kind": "cursor", "path": "next", "name": name, "place": "body"}
    facts = CREATE_ITEM | {"access": "read", "paging": paging} | ({"wrap": wrap} if wrap else {})
    return provider(operations={"items.find": facts}).operations["items.find"]


@pytest.mark.parametrize(
    ("made", "before", "after"),
    [
        (find_in_body("variables.after"), b'{"variables":{"first":2}}', {"variables": {"first": 2, "after": "c"}}),
        (find_in_body("variables.after"), b"", {"variables": {"after": "c"}}),
        (find_in_body(r"page\.after"), b"{}", {"page.after": "c"}),
        (find_in_body("page", wrap="query"), b'{"query":{"a":1}}', {"query": {"a": 1, "page": "c"}}),
    ],
)
def test_a_cursor_lies_in_a_body_where_an_input_of_that_name_would(
    made: Operation, before: bytes, after: dict[str, Any]
) -> None:
    """Beside that place the provider would not see it, and answer the first page for ever."""
    changed = with_page(made, Request("POST", "https://x.example/", (), before), "c", NOTHING)
    assert isinstance(changed, Request)
    assert msgspec.json.decode(changed.content) == after


@pytest.mark.parametrize(
    "value", [2, 2**70, 1.5, "2", "1.5", "abc", '"abc"', "true", "null", "[1]", "{", "é", "[" * 5_000]
)
def test_a_cursor_comes_back_into_a_body_as_the_provider_wrote_it(value: object) -> None:
    """A number stays a number, and text that reads as one stays text: a typed variable takes nothing else."""
    assert isinstance(IN_BODY.fact.paging, CursorPaging)
    cursor = next_cursor(IN_BODY.fact.paging, httpx.Headers(), {"next": value}, NOTHING)
    assert cursor is not None
    changed = with_page(IN_BODY, Request("POST", "https://x.example/"), cursor, NOTHING)
    assert isinstance(changed, Request)
    assert msgspec.json.decode(changed.content) == {"start": value}


def test_what_an_operation_always_asks_for_comes_from_no_cursor() -> None:
    """A made-up cursor would else ask for what the operation is not for."""
    facts = LIST | {"paging": {"kind": "link"}, "fixed": {"query": {"type": "mine", "size": 50}}}
    made = provider(operations={"items.list": facts}).operations["items.list"]
    assert url(made, "type=all&page=2&size=1").endswith("/items?page=2&type=mine&size=50")


def test_every_part_of_a_credential_in_the_query_is_secret() -> None:
    """Also the second part of a key, and a token that is carried there."""
    more = [{"field": "app", "place": "query", "name": "app"}, {"field": "x", "place": "header", "name": "x"}]
    keys = {"kind": "api_key", "place": "header", "name": "x-key", "more": more}
    token = {
        "kind": "client_credentials",
        "token_url": "https://x.example/token",
        "carry": {"place": "query", "name": "token", "prefix": ""},
    }
    assert secret_parameters(provider(auth=[keys, token, {"kind": "basic"}])) == {"app", "token"}


def counted(**paging: Any) -> Operation:
    facts = CREATE_ITEM | {"access": "read", "wrap": "query"} if paging.get("place") == "body" else LIST
    return provider(operations={"items.find": facts | {"paging": paging}}).operations["items.find"]


@pytest.mark.parametrize("kind", ["page", "offset"])
@pytest.mark.parametrize(
    ("query", "number"), [("page=3", 3), ("a=1&page=03", 3), ("page=", None), ("page=x", None), ("page=-1", None)]
)
def test_what_page_a_request_asks_for(kind: str, query: str, number: int | None) -> None:
    """By a cursor, or by an input of the same name; else it is the first."""
    made = counted(kind=kind, name="page", items="items")
    assert asked_for(made, Request("GET", f"https://x.example/items?{query}")) == number
    assert asked_for(LINK, Request("GET", f"https://x.example/items?{query}")) is None


def test_a_page_may_be_asked_for_in_a_body() -> None:
    """There it is a number, below what `wrap` says, and is found there again."""
    made = counted(kind="page", name="page.number", place="body", items="items")
    first = Request("POST", "https://x.example/", (), b'{"query":{"title":"a"}}')
    assert asked_for(made, first) is None
    second = with_page(made, first, "2", NOTHING)
    assert isinstance(second, Request)
    assert msgspec.json.decode(second.content) == {"query": {"title": "a", "page": {"number": 2}}}
    assert asked_for(made, second) == 2
    assert asked_for(made, Request("POST", "https://x.example/")) is None
    for written, number in ((b"3.0", 3), (b'"4"', 4), (b"5e0", 5), (b"true", None), (b"1.5", None), (b"[]", None)):
        body = b'{"query":{"page":{"number":' + written + b"}}}"
        assert asked_for(made, Request("POST", "https://x.example/", (), body)) == number
    assert isinstance(with_page(made, first, "x", NOTHING), Failure)
