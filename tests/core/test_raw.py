"""The raw request: anything below the base URL, and nothing beside it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.raw import render_raw
from sidecar.model import Failure, Reason, Request
from tests.build import BASE, provider

ACME = provider(
    headers={"X-Version": "3"},
    raw={"headers": ["accept", "if-match"], "closed": ["/tokens/*", "/Me/key", "/login"]},
)
PLAIN = provider(raw={})


def rendered(values: dict[str, Any], method: str = "GET") -> Request:
    request = render_raw(ACME, method, BASE, values)
    assert isinstance(request, Request), request
    return request


def refused(values: dict[str, Any]) -> Failure:
    failure = render_raw(ACME, "POST", BASE, values)
    assert isinstance(failure, Failure), failure
    assert failure.reason is Reason.VALIDATION
    return failure


@pytest.mark.parametrize(
    "path", ["/", "/users/42", "/a/b/", "/a//b", "/a%20b", "/a:b/@c", "/x;v=1", "/%E2%98%83", "/a.b/..c", "/a/..."]
)
def test_a_path_is_sent_as_it_is(path: str) -> None:
    """A percent-encoded path below the base URL arrives unchanged, also at HTTPX and aiohttp."""
    url = rendered({"path": path}).url
    assert url == f"{BASE}{path}"
    assert httpx.URL(url).raw_path.decode().count("/") == url.count("/") - 2
    assert yarl.URL(url).host == "api.acme.example"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "users",
        "//evil.example/x",
        "/../admin",
        "/a/..",
        "/a/../../b",
        "/./a",
        "/%2e%2e/admin",
        "/%2E%2e/admin",
        "/.%2e/admin",
        "/%2e",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a%0d%0aX-Evil:1",
        "/a%0A",
        "/a%7f",
        "/a\x00",
        "/a\r\nb",
        "/a b",
        "/a?b=c",
        "/a#b",
        "/a%",
        "/a%4",
        "/a%zz",
        "/zoë",
        "https://evil.example/",
        "@evil.example/",
        "/\u2025/",
    ],
)
def test_a_path_cannot_climb(path: str) -> None:
    """Dot segments, encoded slashes, controls, queries, hosts: refused, nothing is guessed or repaired."""
    assert refused({"path": path}).problems[0].pointer == "/path"


@given(st.text(alphabet="/.%2eEfF5cC0aA?#@:\\ab ", max_size=16).map(lambda text: f"/{text}"))
@example("/..;/x")
def test_no_path_leaves_the_base_url(path: str) -> None:
    """Whatever the path, as HTTPX and as aiohttp's URL library read it, the host stays and the base path stays."""
    request = render_raw(ACME, "GET", BASE, {"path": path})
    if isinstance(request, Failure):
        return
    for host, seen in (
        (httpx.URL(request.url).host, httpx.URL(request.url).raw_path.decode()),
        (yarl.URL(request.url).host, yarl.URL(request.url).raw_path),
    ):
        assert host == "api.acme.example"
        assert seen.startswith("/v1/")
        assert not {"..", "."} & set(seen.split("/"))


@pytest.mark.parametrize(
    "path",
    [
        "/tokens/1",
        "/tokens//1",
        "//tokens/1",
        "/%74okens/1",
        "/TOKENS/1",
        "/me/key",
        "/me/key/",
        "/login",
        "/login//",
        "/Login",
    ],
)
def test_a_closed_path_is_closed_however_it_is_written(path: str) -> None:
    """What answers with credentials is never asked: not by case, by encoding, by more slashes."""
    assert refused({"path": path}).problems[0].pointer == "/path"


@pytest.mark.parametrize("path", ["/tokens", "/me/keys", "/logins", "/a/login"])
def test_what_is_not_closed_is_open(path: str) -> None:
    """A pattern closes what it matches as a whole."""
    assert rendered({"path": path}).url == f"{BASE}{path}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"q": "a b&c=d#e"}, [("q", "a b&c=d#e")]),
        ({"ids": [1, 2], "x": True}, [("ids", "1"), ("ids", "2"), ("x", "true")]),
        ({"a[b]": 1.0}, [("a[b]", "1")]),
    ],
)
def test_a_query_keeps_its_values(query: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Values are encoded; a list is the parameter repeated."""
    assert parse_qsl(rendered({"path": "/x", "query": query}).url.partition("?")[2]) == expected


def test_headers_are_the_manifests_and_those_it_allows() -> None:
    """Names are compared without case."""
    request = rendered({"path": "/x", "headers": {"If-Match": "abc", "ACCEPT": "text/plain"}})
    assert dict(request.headers) == {"x-version": "3", "if-match": "abc", "accept": "text/plain"}


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Transfer-Encoding",
        "Authorization",
        "Content-Length",
        "Connection",
        "Cookie",
        "X-Other",
        "accept\r\nhost",
        "",
    ],
)
def test_no_other_header_can_be_set(name: str) -> None:
    """Host, framing and credential are ours; the refusal names the header and those allowed."""
    failure = refused({"path": "/x", "headers": {name: "v"}})
    assert failure.problems[0].pointer == "/headers"
    assert "accept, if-match" in failure.detail
    assert failure.detail.isprintable()


def test_a_provider_that_allows_none_says_so() -> None:
    """The refusal does not list nothing."""
    failure = render_raw(PLAIN, "GET", BASE, {"path": "/x", "headers": {"accept": "v"}})
    assert isinstance(failure, Failure)
    assert "allowed: none" in failure.detail


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\x00", "é"])
def test_a_header_value_is_one_line(value: str) -> None:
    """Also of an allowed header."""
    assert refused({"path": "/x", "headers": {"Accept": value}}).problems[0].pointer == "/headers/Accept"


@pytest.mark.parametrize(
    ("values", "content", "content_type"),
    [
        ({}, b"", None),
        ({"json": {"a": [None]}}, b'{"a":[null]}', "application/json"),
        ({"json": None}, b"null", "application/json"),
        ({"form": {"a": "b c", "d": [1, 2]}}, b"a=b%20c&d=1&d=2", "application/x-www-form-urlencoded"),
        ({"base64": "AAH/"}, b"\x00\x01\xff", "application/octet-stream"),
        ({"base64": "eA==", "content_type": "text/plain"}, b"x", "text/plain"),
        ({"json": [], "content_type": "application/json-patch+json"}, b"[]", "application/json-patch+json"),
        ({"json": {}, "content_type": "application/json; charset=utf-8"}, b"{}", "application/json; charset=utf-8"),
    ],
)
def test_a_body_is_one_of_three(values: dict[str, Any], content: bytes, content_type: str | None) -> None:
    """JSON, a form, or bytes with their type."""
    request = rendered({"path": "/x", "method": "POST"} | values)
    assert request.method == "POST"
    assert request.content == content
    assert dict(request.headers).get("content-type") == content_type


@pytest.mark.parametrize(
    "values",
    [
        {"json": 1, "form": {}},
        {"json": 1, "base64": ""},
        {"base64": "not base64"},
        {"base64": "eA==", "content_type": "text/plain\r\nX-Evil: 1"},
        {"json": 1, "content_type": "application/json\r\nX-Evil: 1"},
        {"json": 1, "content_type": "text/plain"},
        {"form": {}, "content_type": "application/json"},
        {"content_type": "application/json"},
    ],
)
def test_a_body_that_is_not_one_is_refused(values: dict[str, Any]) -> None:
    """Two bodies, broken base64, a type with a line break, or one that would be ignored."""
    refused({"path": "/x", "method": "POST"} | values)


def test_no_other_credential_comes_in_by_the_query() -> None:
    """Of a parameter that is there twice a server may take the first: the call would be somebody else's."""
    made = provider(raw={}, auth=[{"kind": "api_key", "place": "query", "name": "key"}])
    failure = render_raw(made, "GET", BASE, {"path": "/items", "query": {"key": "mine", "page": 2}})
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.problems[0].pointer) == (Reason.VALIDATION, "/query")
    assert "credential" in failure.detail
    assert isinstance(render_raw(made, "GET", BASE, {"path": "/items", "query": {"page": 2}}), Request)
