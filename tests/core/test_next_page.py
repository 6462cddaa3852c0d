"""The next page is found where the manifest says: a cursor, none, or a lie that is told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.next_page import BadCursor, next_cursor, reads_body
from sidecar.core.page import secret_parameters
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, PagePaging, Paging
from tests.build import provider

NOTHING: frozenset[str] = frozenset()


def following(
    paging: Paging | None, link: str | None, body: Any, secret: frozenset[str], asked: int | None = None
) -> str | None:
    return next_cursor(
        paging, httpx.Headers([] if link is None else [(b"link", link.encode("latin-1"))]), body, secret, asked
    )


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
        ("<?page=2>; rel=next", "page=2"),
        ("<https://x/items?a=1#frag>; rel=next", "a=1"),
        ('<https://x/items?q=a,b;c&page=2>; rel="next"', "q=a,b;c&page=2"),
    ],
)
def test_the_next_link_gives_its_query_alone(header: str | None, cursor: str | None) -> None:
    """RFC 8288; host and path of the link are not believed."""
    assert following(LinkPaging(), header, None, NOTHING) == cursor


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
    assert following(paging, header, {"@odata.nextLink": url}, frozenset({"key"})) == cursor
    assert following(paging, header, {}, NOTHING) is None


@pytest.mark.parametrize("lie", [7, True, [], "https://x/items", "https://[broken?page=2"])
def test_a_next_page_that_is_no_address_is_told(lie: object) -> None:
    """It would end the listing in silence."""
    with pytest.raises(BadCursor):
        following(LinkPaging(path="next"), None, {"next": lie}, NOTHING)
    if isinstance(lie, str):
        with pytest.raises(BadCursor):
            following(LinkPaging(), f"<{lie}>; rel=next", None, NOTHING)


@pytest.mark.parametrize(("page", "first"), [(-7, 1), (10**18, 1), (1e300, 1), (2**70, 0)])
def test_a_page_that_could_not_be_asked_for_is_told(page: float, first: int) -> None:
    """Its cursor would be refused when it comes back."""
    paging = PagePaging(name="page", page="p", more="more", first=first)
    with pytest.raises(BadCursor):
        following(paging, None, {"p": page, "more": True}, NOTHING)


def test_no_secret_leaves_in_a_cursor() -> None:
    """A provider that takes its key in the query writes it into its links: the agent must not get it."""
    made = provider(auth=[{"kind": "api_key", "place": "query", "name": "key"}, {"kind": "bearer"}])
    secret = secret_parameters(made)
    assert secret == {"key"}
    link = "<https://x/items?key=canary&page=2&Key=b&%6bey=canary>; rel=next"
    assert following(LinkPaging(), link, None, secret) == "page=2&Key=b"
    with pytest.raises(BadCursor):
        following(LinkPaging(), "<https://x/items?key=canary>; rel=next", None, secret)


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
    assert following(CursorPaging(path="meta.next", name="c"), None, body, NOTHING) == cursor


@pytest.mark.parametrize("lie", [{"a": 1}, ["x"], True, [], {}, "x" * 6_200, "é" * 3_100])
def test_a_cursor_that_is_none_is_told(lie: object) -> None:
    """A list, an object, or more than a header may hold: a listing that ended here in silence would be half."""
    with pytest.raises(BadCursor):
        following(CursorPaging(path="next", name="c"), None, {"next": lie}, NOTHING)


def test_a_link_that_is_too_long_is_told() -> None:
    """As any other cursor."""
    with pytest.raises(BadCursor):
        following(LinkPaging(), f"<?page={'x' * 7_000}>; rel=next", None, NOTHING)


@pytest.mark.parametrize(("more", "cursor"), [(True, "abc"), (False, None), (None, None), (0, None), (1, "abc")])
def test_a_flag_can_say_that_there_is_more(more: object, cursor: str | None) -> None:
    """Where a cursor is given on the last page too."""
    paging = CursorPaging(path="next", name="c", more="has_more")
    assert following(paging, None, {"next": "abc", "has_more": more}, NOTHING) == cursor


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
    assert following(paging, None, {"o": offset, "l": limit, "t": total}, NOTHING) == cursor


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
    assert following(paging, None, {"p": page, "n": pages}, NOTHING) == cursor


@pytest.mark.parametrize("lie", ["x", "3.5", "-1", "", "9" * 5_000, True, [], 1.5])
def test_a_count_that_is_none_is_told(lie: object) -> None:
    """A figure that is no whole number would end the listing in silence."""
    with pytest.raises(BadCursor):
        following(PagePaging(name="page", page="p", pages="n"), None, {"p": 1, "n": lie}, NOTHING)
    with pytest.raises(BadCursor):
        following(OffsetPaging(name="o", offset="o", limit="l", total="t"), None, {"o": 0, "l": 5, "t": lie}, NOTHING)


@given(
    st.text(st.characters(max_codepoint=0xFF), max_size=60) | st.none(),
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
        PagePaging(name="p", total="a.b", size="c"),
        PagePaging(name="p", told_in="header", more="link", items="a"),
        OffsetPaging(name="o", items="a.b", last="c"),
    ):
        try:
            found = following(paging, header, body, NOTHING)
        except BadCursor:
            continue
        assert found is None or found


def test_a_pathological_link_header_takes_no_time() -> None:
    """The search is not the place to stall for what a provider sends."""
    for header in ("<" * 8_000, "<a>;" * 2_000, "<a>" + " ;" * 4_000, "<a>;" + " " * 8_000, "<a>; rel=" * 900):
        following(LinkPaging(), header, None, NOTHING)


def test_the_cursor_may_be_the_last_items_id() -> None:
    """As Stripe's `starting_after` and Discord's `before` are."""
    paging = CursorPaging(path="data.-1.id", name="starting_after", more="has_more")
    page = {"has_more": True, "data": [{"id": "a"}, {"id": "b"}]}
    assert following(paging, None, page, NOTHING) == "b"
    assert following(paging, None, page | {"data": []}, NOTHING) is None


@pytest.mark.parametrize(("path", "body"), [("data.-1.id", {"data": [{"title": "a"}]}), ("-1.id", [{"id": "a"}, {}])])
def test_a_last_item_without_its_id_is_told(path: str, body: object) -> None:
    """A caller who asks for other fields alone would take the first page for the whole list."""
    paging = CursorPaging(path=path, name="after")
    with pytest.raises(BadCursor, match="no id in its last item"):
        following(paging, None, body, NOTHING)


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
    assert following(LinkPaging(), header, None, NOTHING) == cursor


# --- what an answer does not say --------------------------------------------------------------------------------------

FIVE = {"items": [1, 2, 3, 4, 5]}


@pytest.mark.parametrize(
    ("paging", "body", "asked", "cursor"),
    [
        (OffsetPaging(name="o", items="items"), FIVE, None, "5"),
        (OffsetPaging(name="o", items="items"), FIVE, 10, "15"),
        (OffsetPaging(name="o", items="items"), {"items": []}, 15, None),
        (OffsetPaging(name="o", items="items"), {}, 15, None),
        (OffsetPaging(name="o", items="*"), [1, 2, 3], 3, "6"),
        (OffsetPaging(name="o", items="*"), [], 6, None),
        (OffsetPaging(name="o", items="items", total="n"), FIVE | {"n": 6}, None, "5"),
        (OffsetPaging(name="o", items="items", total="n"), FIVE | {"n": 5}, None, None),
        (OffsetPaging(name="o", items="items", more="more"), FIVE | {"more": True}, 5, "10"),
        (OffsetPaging(name="o", items="items", more="more"), {"items": [], "more": True}, 5, None),
        (OffsetPaging(name="o", limit="l", last="last"), {"l": 5, "last": False}, 5, "10"),
        (OffsetPaging(name="o", limit="l", last="last"), {"l": 5, "last": True}, 5, None),
        (OffsetPaging(name="o", offset="o", items="items", first=1), FIVE | {"o": 7}, 1, "12"),
        (OffsetPaging(name="o", items="items", total="n", first=1), FIVE | {"n": 6}, None, "6"),
        (OffsetPaging(name="o", items="items", total="n", first=1), FIVE | {"n": 5}, None, None),
        (OffsetPaging(name="o", items="items", total="n", first=1), {"items": [6], "n": 6}, 6, None),
        (PagePaging(name="p", items="items"), FIVE, None, "2"),
        (PagePaging(name="p", items="items"), FIVE, 2, "3"),
        (PagePaging(name="p", items="items"), {"items": []}, 3, None),
        (PagePaging(name="p", items="items", first=0), FIVE, None, "1"),
        (PagePaging(name="p", items="items"), FIVE, 0, "1"),
        (PagePaging(name="p", items="by_id"), {"by_id": {"a": 1}}, 1, "2"),
        (PagePaging(name="p", pages="n"), {"n": 3}, None, "2"),
        (PagePaging(name="p", pages="n"), {"n": "3"}, 2, "3"),
        (PagePaging(name="p", pages="n"), {"n": 3}, 3, None),
        (PagePaging(name="p", pages="n", first=0), {"n": 3}, 1, "2"),
        (PagePaging(name="p", pages="n", first=0), {"n": 3}, 2, None),
        (PagePaging(name="p", total="n", size="s"), {"n": 11, "s": 5}, 2, "3"),
        (PagePaging(name="p", total="n", size="s"), {"n": 10, "s": 5}, 2, None),
        (PagePaging(name="p", total="n", size="s"), {"n": 10, "s": 0}, 2, None),
        (PagePaging(name="p", total="n", size="s", first=0), {"n": 11, "s": 5}, 1, "2"),
        (PagePaging(name="p", total="n", size="s", first=0), {"n": 10, "s": 5}, 1, None),
        (PagePaging(name="p", more="more"), {"more": True}, 2, "3"),
        (PagePaging(name="p", more="more"), {}, 2, None),
        (PagePaging(name="p", last="last"), {"last": False}, 2, "3"),
        (PagePaging(name="p", last="last"), {}, 2, "3"),
        (PagePaging(name="p", last="last"), {"last": True}, 2, None),
        (PagePaging(name="p", last="last", items="items"), {"items": []}, 2, None),
        (CursorPaging(path="c", name="c", last="last"), {"c": "x", "last": False}, None, "x"),
        (CursorPaging(path="c", name="c", last="last"), {"c": "x"}, None, "x"),
        (CursorPaging(path="c", name="c", last="last"), {"c": "x", "last": True}, None, None),
        (CursorPaging(path="c", name="c", more="more"), {"c": "x", "more": "false"}, None, None),
        (CursorPaging(path="seq", name="since", items="results"), {"seq": 3, "results": [1]}, None, "3"),
        (CursorPaging(path="seq", name="since", items="results"), {"seq": 3, "results": []}, None, None),
    ],
)
def test_what_an_answer_does_not_say_is_what_was_asked_for(
    paging: Paging, body: object, asked: int | None, cursor: str | None
) -> None:
    """Pages and items are counted on from there, as far as a total, a flag, or a page without items lets."""
    assert following(paging, None, body, NOTHING, asked) == cursor


@pytest.mark.parametrize(
    ("paging", "headers", "body", "cursor"),
    [
        (CursorPaging(path="X-Next-Page", name="page", told_in="header"), {"x-next-page": "3"}, {}, "3"),
        (CursorPaging(path="X-Next-Page", name="page", told_in="header"), {"x-next-page": ""}, {}, None),
        (CursorPaging(path="X-Next-Page", name="page", told_in="header"), {}, {"X-Next-Page": "3"}, None),
        (
            LinkPaging(path="Next-Page", told_in="header"),
            {"next-page": "https://x.example/v1?_token=a%3D"},
            [],
            "_token=a%3D",
        ),
        (LinkPaging(path="Next-Page", told_in="header"), {}, [], None),
        (PagePaging(name="page", pages="X-WP-TotalPages", told_in="header"), {"x-wp-totalpages": "5"}, [], "5"),
        (PagePaging(name="page", pages="X-WP-TotalPages", told_in="header"), {"x-wp-totalpages": "4"}, [], None),
        (
            PagePaging(name="page", total="X-Total", size="X-Per-Page", told_in="header"),
            {"x-total": "81", "x-per-page": "20"},
            [],
            "5",
        ),
        (
            OffsetPaging(name="o", total="X-Total-Count", items="*", told_in="header"),
            {"x-total-count": "7"},
            [1, 2],
            "6",
        ),
        (
            OffsetPaging(name="o", total="X-Total-Count", items="*", told_in="header"),
            {"x-total-count": "6"},
            [1, 2],
            None,
        ),
        (OffsetPaging(name="o", more="X-More", items="*", told_in="header"), {"x-more": "True"}, [1, 2], "6"),
        (OffsetPaging(name="o", more="X-More", items="*", told_in="header"), {"x-more": "False"}, [1, 2], None),
    ],
)
def test_headers_may_tell_of_the_next_page(
    paging: Paging, headers: dict[str, str], body: object, cursor: str | None
) -> None:
    """Names of headers have no case; what they say is text, also a number or a flag."""
    assert next_cursor(paging, httpx.Headers(headers), body, NOTHING, 4) == cursor


@pytest.mark.parametrize(
    ("paging", "reads"),
    [
        (None, False),
        (LinkPaging(), False),
        (LinkPaging(path="next"), True),
        (LinkPaging(path="next", told_in="header"), False),
        (CursorPaging(path="c", name="c", told_in="header"), False),
        (PagePaging(name="p", pages="n", told_in="header"), False),
        (PagePaging(name="p", more="m", items="i", told_in="header"), True),
        (OffsetPaging(name="o", items="i"), True),
        (CursorPaging(path="c", name="c", told_in="header", items="*"), True),
    ],
)
def test_a_body_is_read_only_where_it_tells_something(paging: Paging | None, reads: bool) -> None:
    """What is passed on as it is need not be decoded."""
    assert reads_body(paging) is reads


@pytest.mark.parametrize("lie", ["abc", 7, True])
def test_items_that_are_no_list_are_told(lie: object) -> None:
    """The count of their letters would lead beside every page."""
    with pytest.raises(BadCursor):
        following(OffsetPaging(name="o", items="items"), None, {"items": lie}, NOTHING)
