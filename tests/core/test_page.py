"""Pages: the next one is found where the manifest says, and a cursor is only ever a value in its place."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.page import BadCursor, next_cursor, secret_parameters, with_page
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, PagePaging
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


@pytest.mark.parametrize("cursor", ["-1", "1.5", "x", "1 ", "٣", "²", "1&admin=1"])
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


# --- the next page ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cursor"),
    [
        (None, None),
        ("", None),
        ("garbage", None),
        ('<https://x/items?page=2>; rel="next"', "page=2"),
        ("<https://x/items?page=2>;rel=next", "page=2"),
        ('<https://x/items?page=2>; REL="NEXT"', "page=2"),
        ('<https://x/items?page=2&b=c>; rel="next", <https://x/items?page=9>; rel="last"', "page=2&b=c"),
        ('<https://x/items?page=1>; rel="prev", <https://x/items?page=3>; rel="next"', "page=3"),
        ('<https://x/items?page=1>; rel="prev"', None),
        ('<https://x/items?page=2>; rel="nextish"', None),
        ('<https://x/items?page=2>; title="next"', None),
        ('<https://x/items?page=2>; title="a"; rel="next"', "page=2"),
        ('<https://evil.example/other?page=2>; rel="next"', "page=2"),
        ("<https://x/items>; rel=next", None),
        ("<?page=2>; rel=next", "page=2"),
        ("<https://x/items?a=1#frag>; rel=next", "a=1"),
        ("<https://[broken?page=2>; rel=next", None),
        ('<https://x/items?q=a,b;c&page=2>; rel="next"', "q=a,b;c&page=2"),
    ],
)
def test_the_next_link_gives_its_query_alone(header: str | None, cursor: str | None) -> None:
    """RFC 8288; host and path of the link are not believed."""
    assert next_cursor(LinkPaging(), header, None, NOTHING) == cursor


@pytest.mark.parametrize(
    ("url", "cursor"),
    [
        ("https://x/items?%24skip=10&a=b", "%24skip=10&a=b"),
        ("https://evil.example/other?page=2", "page=2"),
        ("https://x/items?key=canary&page=2", "page=2"),
        ("", None),
        (None, None),
    ],
)
def test_the_next_page_may_stand_in_the_answer(url: str | None, cursor: str | None) -> None:
    """A URL there gives its query alone, as a Link does; none there is the last page."""
    paging = LinkPaging(path=r"@odata\.nextLink")
    header = "<https://x/items?page=9>; rel=next"
    assert next_cursor(paging, header, {"@odata.nextLink": url}, frozenset({"key"})) == cursor
    assert next_cursor(paging, header, {}, NOTHING) is None


@pytest.mark.parametrize("lie", [7, True, [], "https://x/items", "https://[broken?page=2"])
def test_a_next_page_that_is_no_address_is_told(lie: object) -> None:
    """It would end the listing in silence."""
    with pytest.raises(BadCursor):
        next_cursor(LinkPaging(path="next"), None, {"next": lie}, NOTHING)


def test_no_secret_leaves_in_a_cursor() -> None:
    """A provider that takes its key in the query writes it into its links: the agent must not get it."""
    made = provider(auth=[{"kind": "api_key", "place": "query", "name": "key"}, {"kind": "bearer"}])
    secret = secret_parameters(made)
    assert secret == {"key"}
    link = "<https://x/items?key=canary&page=2&Key=b&%6bey=canary>; rel=next"
    assert next_cursor(LinkPaging(), link, None, secret) == "page=2&Key=b"
    assert next_cursor(LinkPaging(), "<https://x/items?key=canary>; rel=next", None, secret) is None


def test_no_part_of_a_credential_leaves_in_a_cursor() -> None:
    """What a key has beside it, and a token that is carried in the query, are secrets as the key is."""
    beside = {"field": "pin", "place": "query", "name": "pin"}
    key = {"kind": "api_key", "place": "header", "name": "x-key", "more": [beside]}
    token = {"kind": "client_credentials", "token_url": "/token", "carry": {"place": "query", "name": "token"}}
    assert secret_parameters(provider(auth=[key, token])) == {"pin", "token"}


def test_no_other_credential_comes_in_by_a_cursor() -> None:
    """The key is the connection's: a caller cannot bring another one."""
    assert url(LINK, "page=2&key=mine", frozenset({"key"})).endswith("?page=2")


@pytest.mark.parametrize(
    ("body", "cursor"),
    [
        ({"meta": {"next": "abc"}}, "abc"),
        ({"meta": {"next": 17}}, "17"),
        ({"meta": {"next": 17.0}}, "17"),
        ({"meta": {"next": 2**70}}, str(2**70)),
        ({"meta": {"next": ""}}, None),
        ({"meta": {"next": None}}, None),
        ({"meta": {"next": False}}, None),
        ({"meta": {"next": 0}}, None),
        ({"meta": {}}, None),
        ({"meta": []}, None),
        ({}, None),
        ([], None),
        (None, None),
        ("text", None),
    ],
)
def test_a_cursor_is_found_in_the_body(body: object, cursor: str | None) -> None:
    """Absent, null, empty, false or zero is the last page."""
    assert next_cursor(CursorPaging(path="meta.next", name="c"), None, body, NOTHING) == cursor


@pytest.mark.parametrize("lie", [{"a": 1}, ["x"], True, [], {}, "x" * 6_200, "é" * 3_100])
def test_a_cursor_that_is_none_is_told(lie: object) -> None:
    """A list, an object, or more than a header may hold: a listing that ended here in silence would be half."""
    with pytest.raises(BadCursor):
        next_cursor(CursorPaging(path="next", name="c"), None, {"next": lie}, NOTHING)


def test_a_link_that_is_too_long_is_told() -> None:
    """As any other cursor."""
    with pytest.raises(BadCursor):
        next_cursor(LinkPaging(), f"<?page={'x' * 7_000}>; rel=next", None, NOTHING)


@pytest.mark.parametrize(("more", "cursor"), [(True, "abc"), (False, None), (None, None), (0, None), (1, "abc")])
def test_a_flag_can_say_that_there_is_more(more: object, cursor: str | None) -> None:
    """Where a cursor is given on the last page too."""
    paging = CursorPaging(path="next", name="c", more="has_more")
    assert next_cursor(paging, None, {"next": "abc", "has_more": more}, NOTHING) == cursor


@pytest.mark.parametrize(
    ("offset", "limit", "total", "cursor"),
    [
        (0, 25, 60, "25"),
        (25, 25, 60, "50"),
        (50, 25, 60, None),
        (0, 25, 25, None),
        (0, 25, 0, None),
        (0, 25.0, 60, "25"),
        (0, 0, 60, None),  # would be the same page for ever
        (0, -5, 60, None),
        (100, 25, 60, None),
        (None, 25, 60, None),
        (0, 25, None, None),
    ],
)
def test_offsets_count_up_to_the_total(offset: object, limit: object, total: object, cursor: str | None) -> None:
    """The next page starts behind this one, while there is something."""
    paging = OffsetPaging(name="offset", offset="o", limit="l", total="t")
    assert next_cursor(paging, None, {"o": offset, "l": limit, "t": total}, NOTHING) == cursor


@pytest.mark.parametrize(
    ("page", "pages", "cursor"),
    [
        (1, 3, "2"),
        (3, 3, None),
        (4, 3, None),
        (1, 1, None),
        (1, 0, None),
        (1.0, 2, "2"),
        (None, 3, None),
        (1, None, None),
    ],
)
def test_pages_count_up_to_the_last(page: object, pages: object, cursor: str | None) -> None:
    """The next page is one more, while there is one."""
    paging = PagePaging(name="page", page="p", pages="n")
    assert next_cursor(paging, None, {"p": page, "n": pages}, NOTHING) == cursor


@pytest.mark.parametrize("lie", ["3", True, [], 1.5])
def test_a_count_that_is_none_is_told(lie: object) -> None:
    """A figure that is no whole number would end the listing in silence."""
    with pytest.raises(BadCursor):
        next_cursor(PagePaging(name="page", page="p", pages="n"), None, {"p": 1, "n": lie}, NOTHING)
    with pytest.raises(BadCursor):
        next_cursor(OffsetPaging(name="o", offset="o", limit="l", total="t"), None, {"o": 0, "l": 5, "t": lie}, NOTHING)


@given(
    st.text(max_size=60) | st.none(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
    ),
)
def test_no_answer_breaks_the_search_for_the_next_page(header: str | None, body: object) -> None:
    """A cursor, none, or a lie that is told: nothing else."""
    for paging in (
        LinkPaging(),
        LinkPaging(path="a.b"),
        CursorPaging(path="a.b", name="c", more="c"),
        CursorPaging(path="a", name="c"),
        OffsetPaging(name="o", offset="a", limit="b", total="c"),
        PagePaging(name="p", page="a", pages="b"),
    ):
        try:
            found = next_cursor(paging, header, body, NOTHING)
        except BadCursor:
            continue
        assert found is None or found


def test_a_pathological_link_header_takes_no_time() -> None:
    """The search is not the place to stall for what a provider sends."""
    for header in ("<" * 8_000, "<a>;" * 2_000, "<a>" + " ;" * 4_000, "<a>;" + " " * 8_000, "<a>; rel=" * 900):
        next_cursor(LinkPaging(), header, None, NOTHING)


# --- what providers' own ways of paging need --------------------------------------------------------------------------


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


@pytest.mark.parametrize("value", [2, 2**70, 1.5, "2", "1.5", "abc", '"abc"', "true", "null", "[1]", "{", "é"])
def test_a_cursor_comes_back_into_a_body_as_the_provider_wrote_it(value: object) -> None:
    """A number stays a number, and text that reads as one stays text: a typed variable takes nothing else."""
    assert isinstance(IN_BODY.fact.paging, CursorPaging)
    cursor = next_cursor(IN_BODY.fact.paging, None, {"next": value}, NOTHING)
    assert cursor is not None
    changed = with_page(IN_BODY, Request("POST", "https://x.example/"), cursor, NOTHING)
    assert isinstance(changed, Request)
    assert msgspec.json.decode(changed.content) == {"start": value}


def test_the_cursor_may_be_the_last_items_id() -> None:
    """As Stripe's `starting_after` and Discord's `before` are."""
    paging = CursorPaging(path="data.-1.id", name="starting_after", more="has_more")
    page = {"has_more": True, "data": [{"id": "a"}, {"id": "b"}]}
    assert next_cursor(paging, None, page, NOTHING) == "b"
    assert next_cursor(paging, None, page | {"data": []}, NOTHING) is None


@pytest.mark.parametrize(
    ("header", "cursor"),
    [
        ('<u?page=2>; title="a, b"; rel="next"', "page=2"),
        ('<u?page=2>; rel="last next"', "page=2"),
        ('<u?page=2> ; rel = "next"', "page=2"),
        ('<u?page=2>; title="<"; rel=next', "page=2"),
        (r'<u?page=2>; title="\""; rel=next', "page=2"),
        ('<u?page=9>; rel="prev"; title="; rel=next", <u?page=2>; rel=next', "page=2"),
        ('<u?page=9>; rel="prev"; rel="next"', None),
    ],
)
def test_a_link_may_be_written_in_every_way_that_the_rfc_has(header: str, cursor: str | None) -> None:
    """RFC 8288 section 3: a next page that is not seen would be taken for the end."""
    assert next_cursor(LinkPaging(), header, None, NOTHING) == cursor


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
