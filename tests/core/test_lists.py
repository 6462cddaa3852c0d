"""Lists where one text is due, and lists that are always sent."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.page import with_page
from sidecar.model import Request
from tests.build import BASE
from tests.core.test_render import operation, parts, refused, rendered

TEXTS = {"type": "array", "items": {"type": "string"}}
IN_TEXT = operation(
    method="GET",
    path="/files/{ids}",
    input={
        "ids": {"in": "path", "style": "comma", **TEXTS},
        "beta": {"in": "header", "name": "OpenAI-Beta", "style": "comma", **TEXTS},
    },
    required=["ids"],
)


@pytest.mark.parametrize(
    ("ids", "segment"),
    [(["a"], "a"), (["a", "b"], "a,b"), (["a,b", "c/d", "é"], "a%2Cb,c%2Fd,%C3%A9"), ([".a", "1"], ".a,1")],
)
def test_a_list_in_a_path_has_commas(ids: list[str], segment: str) -> None:
    """One segment, as RFC 6570 writes it: a comma or a slash in an item is encoded."""
    assert rendered(IN_TEXT, {"ids": ids}).url == f"{BASE}/files/{segment}"


@pytest.mark.parametrize(
    ("ids", "pointer"),
    [([], "/ids"), ([".."], "/ids/0"), (["a", ".."], "/ids/1"), (["a", ""], "/ids/1"), (["a\n"], "/ids/0")],
)
def test_what_cannot_stand_in_a_path_is_refused_in_a_list_too(ids: list[str], pointer: str) -> None:
    """By the place of the item."""
    assert refused(IN_TEXT, {"ids": ids}).problems[0].pointer == pointer


def test_a_list_in_a_header_has_commas() -> None:
    """One line; an empty list is no header."""
    headers = [dict(rendered(IN_TEXT, {"ids": ["a"], "beta": beta}).headers) for beta in (["a", "b=v2"], [])]
    assert headers == [{"accept": "application/json", "openai-beta": "a,b=v2"}, {"accept": "application/json"}]
    assert refused(IN_TEXT, {"ids": ["a"], "beta": ["a", "b\r\nX: 1"]}).problems[0].pointer == "/beta/1"


FIXED: dict[str, Any] = {"expand": ["a", "b"], "limit": 3, "with": {"x": 1}}


def test_a_fixed_list_is_repeated() -> None:
    """In a query, a form and a multipart body: as an input's list without a style is."""
    in_query = operation(fixed={"query": {"expand": ["a", "b"], "n": [1, True]}})
    assert rendered(in_query, {}).url == f"{BASE}/items?expand=a&expand=b&n=1&n=true"
    form = rendered(operation(encoding="form", fixed={"body": FIXED}), {})
    assert form.content == b"expand=a&expand=b&limit=3&with=%7B%22x%22%3A1%7D"
    multipart = rendered(operation(encoding="multipart", fixed={"body": FIXED}), {})
    assert parts(multipart) == [
        ("expand", None, b"a"),
        ("expand", None, b"b"),
        ("limit", None, b"3"),
        ("with", None, b'{"x":1}'),
    ]


def test_a_fixed_list_is_repeated_on_a_further_page() -> None:
    """A page by Link has the same fixed parameters, whatever the provider wrote of them."""
    made = operation(method="GET", access="read", fixed={"query": {"e": ["a", "b"]}}, paging={"kind": "link"})
    item = made.operations["items.do"]
    request = with_page(item, rendered(made, {}), "page=2&e=z", frozenset())
    assert isinstance(request, Request)
    assert request.url == f"{BASE}/items?page=2&e=a&e=b"


@pytest.mark.parametrize("change", [{}, {"wrap": "item"}, {"input": {"a": {"in": "body"}}}])
def test_an_empty_fixed_body_is_an_empty_object(change: dict[str, Any]) -> None:
    """An API that wants `{}` gets it, with its content type."""
    request = rendered(operation(fixed={"body": {}}, **change), {})
    assert request.content == (b'{"item":{}}' if "wrap" in change else b"{}")
    assert dict(request.headers)["content-type"] == "application/json"
