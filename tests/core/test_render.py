"""Render: every value stays in its place, whatever it holds."""

from __future__ import annotations

import base64
import email
import email.policy
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.multipart import multipart
from sidecar.core.render import Template
from sidecar.core.values import as_text
from sidecar.model import Failure, Reason, Request
from sidecar.provider import Provider
from tests.build import BASE, CREATE_ITEM, GET_ITEM, provider

CALL_ID = "0190a8b0-1234-7abc-8def-0123456789ab"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def operation(**facts: Any) -> Provider:
    """A provider with one operation `items.do`."""
    return provider(operations={"items.do": CREATE_ITEM | {"input": {}, "required": []} | facts})


def rendered(made: Provider, values: dict[str, Any]) -> Request:
    request = Template(made, made.operations["items.do"]).filled(BASE, values, CALL_ID)
    assert isinstance(request, Request), request
    return request


def refused(made: Provider, values: dict[str, Any]) -> Failure:
    failure = Template(made, made.operations["items.do"]).filled(BASE, values, CALL_ID)
    assert isinstance(failure, Failure), failure
    assert failure.reason is Reason.VALIDATION
    return failure


# --- path ------------------------------------------------------------------------------------------------------------

IN_PATH = operation(
    method="GET",
    path="/users/{user}/files/{file}/raw",
    input={"user": {"in": "path"}, "file": {"in": "path", "style": "segments"}},
    required=["user", "file"],
)


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("alice", "alice"),
        ("../admin", "..%2Fadmin"),
        ("%2e%2e%2f", "%252e%252e%252f"),
        ("%2E%2E", "%252E%252E"),
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        ("...", "..."),
        ("a?b=c", "a%3Fb%3Dc"),
        ("a#b", "a%23b"),
        ("a;b", "a%3Bb"),
        ("a:b@c", "a%3Ab%40c"),
        ("a b+c", "a%20b%2Bc"),
        ("zoë/☃", "zo%C3%AB%2F%E2%98%83"),
        ("\x85\u2028", "%C2%85%E2%80%A8"),
        ("\u2025", "%E2%80%A5"),  # a two-dot leader, which some servers fold into dots
        (42, "42"),
        (42.0, "42"),
        (True, "true"),
        (2**70, str(2**70)),
    ],
)
def test_a_value_is_one_segment(value: object, segment: str) -> None:
    """Whatever the value, it is one percent-encoded segment: it cannot climb, split or end the path."""
    assert rendered(IN_PATH, {"user": value, "file": "x"}).url == f"{BASE}/users/{segment}/files/x/raw"


@pytest.mark.parametrize("value", ["", ".", "..", "a\x00b", "\r\n", "a\nb", "\x1b[2J", "\x7f"])
def test_what_cannot_be_a_segment_is_refused(value: str) -> None:
    """Empty and dot segments would be resolved away, controls belong in no path."""
    failure = refused(IN_PATH, {"user": value, "file": "x"})
    assert failure.problems[0].pointer == "/user"


@pytest.mark.parametrize(
    ("value", "path"), [("a/b/c.txt", "a/b/c.txt"), ("a b/ü", "a%20b/%C3%BC"), ("a?/#", "a%3F/%23")]
)
def test_segments_keep_their_slashes(value: str, path: str) -> None:
    """`style: segments` is for values that are paths themselves: each part is a segment."""
    assert rendered(IN_PATH, {"user": "u", "file": value}).url == f"{BASE}/users/u/files/{path}/raw"


@pytest.mark.parametrize("value", ["../x", "a/../b", "a/./b", "/a", "a/", "a//b", "", ".", "a/\x00"])
def test_segments_cannot_climb(value: str) -> None:
    """No part of such a value is empty, `.` or `..`."""
    assert refused(IN_PATH, {"user": "u", "file": value}).problems[0].pointer == "/file"


@given(TEXTS, TEXTS)
@example("..", "a")
@example("%2e%2e", "%2e%2e/x")
@example("\\..\\", "a")
@example("//evil.example/", "a")
@example("@evil.example", "a")
def test_no_value_changes_where_a_request_goes(user: str, file: str) -> None:
    """As HTTPX and as aiohttp's URL library read it: the same host, and as many segments as the template has."""
    request = Template(IN_PATH, IN_PATH.operations["items.do"]).filled(BASE, {"user": user, "file": file}, CALL_ID)
    if isinstance(request, Failure):
        return
    segments = len(["", "v1", "users", "{user}", "files", "raw"]) + len(file.split("/"))
    seen_by_httpx, seen_by_yarl = httpx.URL(request.url), yarl.URL(request.url)
    assert (seen_by_httpx.scheme, seen_by_httpx.host, seen_by_httpx.port) == ("https", "api.acme.example", None)
    assert seen_by_httpx.userinfo == b""
    assert seen_by_httpx.query == b""
    assert seen_by_httpx.fragment == ""
    assert len(seen_by_httpx.raw_path.decode().split("/")) == segments
    assert (seen_by_yarl.scheme, seen_by_yarl.host, seen_by_yarl.port) == ("https", "api.acme.example", 443)
    assert seen_by_yarl.user is None
    assert not seen_by_yarl.query
    assert len(seen_by_yarl.raw_path.split("/")) == segments
    assert seen_by_httpx.path.startswith("/v1/users/")
    assert request.url.isascii()


def test_the_call_id_can_be_part_of_a_path() -> None:
    """A provider that takes a transaction id gets the call's: the same on every attempt."""
    made = operation(method="PUT", path="/send/{call_id}")
    assert rendered(made, {}).url == f"{BASE}/send/{CALL_ID}"


# --- query -----------------------------------------------------------------------------------------------------------

IN_QUERY = operation(
    method="GET",
    input={
        "q": {"in": "query"},
        "labels": {"in": "query", "style": "comma"},
        "ids": {"in": "query", "style": "brackets"},
        "tags": {"in": "query", "style": "repeat"},
        "filter": {"in": "query", "style": "json"},
        "other": {"in": "query", "name": "other[name]"},
    },
    fixed={"query": {"v": 2, "full": True}},
)


@pytest.mark.parametrize(
    ("values", "query"),
    [
        ({}, "v=2&full=true"),
        ({"q": "a b&c=d#e?f/g+h%20"}, "v=2&full=true&q=a%20b%26c%3Dd%23e%3Ff%2Fg%2Bh%2520"),
        ({"q": None}, "v=2&full=true"),
        ({"q": ""}, "v=2&full=true&q="),
        ({"q": 1.5}, "v=2&full=true&q=1.5"),
        ({"q": {"a": [1]}}, "v=2&full=true&q=%7B%22a%22%3A%5B1%5D%7D"),
        ({"labels": ["a", "b,c"]}, "v=2&full=true&labels=a%2Cb%2Cc"),
        ({"labels": []}, "v=2&full=true&labels="),
        ({"ids": [1, 2]}, "v=2&full=true&ids%5B%5D=1&ids%5B%5D=2"),
        ({"ids": {"k": "v", "n": None}}, "v=2&full=true&ids%5Bk%5D=v"),
        ({"ids": {"a": {"b": [1]}}}, "v=2&full=true&ids%5Ba%5D%5Bb%5D%5B%5D=1"),
        ({"ids": [{"p": "x"}, {"p": True}]}, "v=2&full=true&ids%5B0%5D%5Bp%5D=x&ids%5B1%5D%5Bp%5D=true"),
        ({"tags": ["a", True]}, "v=2&full=true&tags=a&tags=true"),
        ({"filter": ["a", 1]}, "v=2&full=true&filter=%5B%22a%22%2C1%5D"),
        ({"other": "x"}, "v=2&full=true&other%5Bname%5D=x"),
    ],
)
def test_a_query_is_written_as_its_style_says(values: dict[str, Any], query: str) -> None:
    """Fixed values first, then the inputs in the manifest's order; spaces are %20, a null is left out."""
    assert rendered(IN_QUERY, values).url == f"{BASE}/items?{query}"


@given(st.dictionaries(st.sampled_from(["q", "other"]), TEXTS, min_size=1))
def test_a_query_gives_back_what_went_in(values: dict[str, str]) -> None:
    """Whatever the text, the provider reads exactly this parameter with exactly this value, and no other one."""
    url = rendered(IN_QUERY, values).url
    pairs = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    expected = {{"q": "q", "other": "other[name]"}[name]: value for name, value in values.items()}
    assert pairs == {"v": "2", "full": "true", **expected}
    assert httpx.URL(url).host == "api.acme.example"


@pytest.mark.parametrize("key", ["a]", "[a", "a][b", ""])
def test_no_key_leads_to_another_place_in_brackets(key: str) -> None:
    """`a[b][c]` would be read as c of b of a, which nobody was asked about."""
    assert "brackets" in refused(IN_QUERY, {"ids": {"ok": {key: 1}}}).detail


# --- headers ---------------------------------------------------------------------------------------------------------

IN_HEADER = operation(
    input={"match": {"in": "header", "name": "If-Match"}, "mode": {"in": "header", "name": "X-Mode"}},
    fixed={"header": {"X-Fixed": "1"}},
)


def test_headers_have_lower_case_names_and_the_accept_of_json() -> None:
    """Manifest, operation and inputs each give their own."""
    made = provider(
        headers={"X-Version": "3"},
        operations={"items.do": GET_ITEM | {"input": {"id": {"in": "path"}, "m": {"in": "header", "name": "X-M"}}}},
    )
    request = rendered(made, {"id": 1, "m": " v "})
    assert dict(request.headers) == {"accept": "application/json", "x-version": "3", "x-m": "v"}


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "\x1b[0m", "é", "☃", "\x7f", "\u2028", "a\tb"]
)
def test_a_header_cannot_start_another(value: str) -> None:
    """A header's value is one line of printable ASCII; anything else is the caller's mistake, told by its field."""
    assert refused(IN_HEADER, {"match": value}).problems[0].pointer == "/match"


@given(TEXTS)
def test_a_header_that_is_taken_is_one_line(value: str) -> None:
    """Whatever the text: printable ASCII or a refusal."""
    request = Template(IN_HEADER, IN_HEADER.operations["items.do"]).filled(BASE, {"match": value}, CALL_ID)
    if isinstance(request, Request):
        text = dict(request.headers)["if-match"]
        assert text.isascii()
        assert text.isprintable()
        assert [name for name, _ in request.headers] == ["accept", "x-fixed", "if-match"]
        httpx.Request(request.method, request.url, headers=list(request.headers))


@pytest.mark.parametrize("encoding", ["json", "form"])
def test_no_input_is_left_for_the_next_call(encoding: str) -> None:
    """One template serves every call of its operation: what one was given is in no other's request."""
    made = operation(
        input={
            "page": {"in": "query"},
            "match": {"in": "header", "name": "If-Match"},
            "title": {"in": "body"},
            "deep": {"in": "body", "name": "outer.deep" if encoding == "json" else "deep"},
        },
        encoding=encoding,
        fixed={"query": {"v": "1"}, "body": {"fixed": "1"}},
    )
    template = Template(made, made.operations["items.do"])
    before = template.filled(BASE, {}, CALL_ID)
    other = template.filled(BASE, {"page": 2, "match": "e", "title": "t", "deep": 1}, CALL_ID)
    assert other != before
    assert template.filled(BASE, {}, CALL_ID) == before


# --- bodies ----------------------------------------------------------------------------------------------------------


def body(made: Provider, values: dict[str, Any]) -> tuple[Any, str | None]:
    request = rendered(made, values)
    return msgspec.json.decode(request.content), dict(request.headers).get("content-type")


def test_a_json_body_has_inputs_at_their_paths() -> None:
    r"""Dots make a path, `\.` keeps a dot; what was not given is left out, a null that was given is sent."""
    made = operation(
        input={
            "a": {"in": "body", "name": "outer.inner"},
            "b": {"in": "body", "name": "outer.other"},
            "c": {"in": "body", "name": r"m\.relates_to.key"},
            "d": {"in": "body"},
        },
        fixed={"body": {"outer": {"kind": "x"}}},
    )
    sent, content_type = body(made, {"a": 1, "c": [2], "d": None})
    assert sent == {"outer": {"kind": "x", "inner": 1}, "m.relates_to": {"key": [2]}, "d": None}
    assert content_type == "application/json"
    assert body(made, {"b": 2})[0] == {"outer": {"kind": "x", "other": 2}}  # nothing is left of the call before


def test_a_json_body_can_be_wrapped() -> None:
    """`wrap` puts it under one key, as Rails does."""
    made = operation(input={"a": {"in": "body"}}, wrap="issue")
    assert body(made, {"a": 1})[0] == {"issue": {"a": 1}}


def test_without_body_fields_there_is_no_body() -> None:
    """No body, no content type."""
    request = rendered(operation(input={"q": {"in": "query"}}), {"q": 1})
    assert request.content == b""
    assert "content-type" not in dict(request.headers)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
    )
)
def test_json_gives_back_what_went_in(value: Any) -> None:
    """Any JSON value arrives as it was: it cannot close its string or add a field."""
    assert body(IN_BODY, {"a": value})[0] == {"a": value, "fixed": True}


IN_BODY = operation(input={"a": {"in": "body"}}, fixed={"body": {"fixed": True}})
FORM = operation(
    encoding="form",
    input={"a": {"in": "body"}, "l": {"in": "body", "style": "brackets"}, "o": {"in": "body"}},
    fixed={"body": {"kind": 1}},
)


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_a_form_gives_back_what_went_in(text: str, many: list[str]) -> None:
    """No value adds a field to a form."""
    request = rendered(FORM, {"a": text, "l": many})
    pairs = parse_qsl(request.content.decode(), keep_blank_values=True)
    assert pairs == [("kind", "1"), ("a", text), *(("l[]", item) for item in many)]
    assert dict(request.headers)["content-type"] == "application/x-www-form-urlencoded"


def test_an_object_in_a_form_is_json() -> None:
    """What a form cannot hold is written as JSON (Slack's blocks)."""
    assert rendered(FORM, {"o": {"x": 1}}).content == b"kind=1&o=%7B%22x%22%3A1%7D"


def test_one_input_can_be_the_whole_body() -> None:
    """`in: content`: JSON as it is, text and bytes raw."""
    assert body(operation(input={"a": {"in": "content"}}), {"a": [1, {"b": None}]})[0] == [1, {"b": None}]
    raw = operation(input={"a": {"in": "content"}}, encoding="raw", content_type="text/plain")
    request = rendered(raw, {"a": "zoë\n"})
    assert request.content == "zoë\n".encode()
    assert dict(request.headers)["content-type"] == "text/plain"
    binary = operation(input={"a": {"in": "content", "contentEncoding": "base64"}}, encoding="raw")
    assert rendered(binary, {"a": "AAH/"}).content == b"\x00\x01\xff"
    assert rendered(binary, {}).content == b""
    assert refused(binary, {"a": "not base64!"}).problems[0].pointer == "/a"


# --- multipart -------------------------------------------------------------------------------------------------------

MULTIPART = operation(
    encoding="multipart",
    input={
        "note": {"in": "body"},
        "content": {"in": "body", "name": "file", "contentEncoding": "base64", "fileName": "name"},
        "name": {"in": "none"},
        "field": {"in": "none"},
        "value": {"in": "body", "nameFrom": "field"},
    },
    required=["field"],
    fixed={"body": {"kind": "a"}},
)


def parts(request: Request) -> list[tuple[str, str | None, bytes]]:
    """(field, file name, content) of each part, as Python's own MIME parser reads them."""
    content_type = dict(request.headers)["content-type"]
    parsed = email.message_from_bytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + request.content, policy=email.policy.HTTP
    )
    assert parsed.is_multipart(), request.content
    found = []
    for part in parsed.iter_parts():
        assert part.keys().count("Content-Disposition") == 1
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = part.get_param("name", header="content-disposition")
        file_name = part.get_param("filename", header="content-disposition")
        found.append((str(name), None if file_name is None else str(file_name), content))
    return found


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_multipart_body_has_texts_and_files() -> None:
    """RFC 7578: fixed values and texts, then files with their names."""
    request = rendered(MULTIPART, {"note": "hi", "content": encoded(b"\x00\xff"), "name": "a.bin", "field": "f"})
    assert parts(request) == [("kind", None, b"a"), ("note", None, b"hi"), ("file", "a.bin", b"\x00\xff")]


def test_a_multipart_body_has_so_many_parts_at_most() -> None:
    """Each costs time; a crowd of empty ones in one message would stop all that runs here."""
    assert len(parts(rendered(MULTIPART, {"note": ["x"] * 998, "field": "f"}))) == 999
    refused(MULTIPART, {"note": ["x"] * 1_001, "field": "f"})


def test_the_same_call_gives_the_same_bytes() -> None:
    """A retry sends exactly what was sent before."""
    values = {"note": "hi", "content": encoded(b"x"), "field": "f"}
    assert rendered(MULTIPART, values) == rendered(MULTIPART, values)


@pytest.mark.parametrize("field", ["note", "content"])
def test_no_content_adds_a_part(field: str) -> None:
    """The caller chooses the call id and the content: even knowing both, it cannot write the boundary into a part."""
    boundary = dict(rendered(MULTIPART, {"note": "x", "field": "f"}).headers)["content-type"].partition("boundary=")[2]
    evil = f'a\r\n--{boundary}\r\nContent-Disposition: form-data; name="kind"\r\n\r\nevil\r\n--{boundary}--\r\n'
    values = {"field": "f", field: evil if field == "note" else encoded(evil.encode())}
    for _ in range(3):  # and not by learning the boundary of the time before either
        request = rendered(MULTIPART, values)
        found = parts(request)
        assert [name for name, _, _ in found] == ["kind", {"note": "note", "content": "file"}[field]]
        boundary = dict(request.headers)["content-type"].partition("boundary=")[2]
        evil += f"\r\n--{boundary}\r\n"
        values[field] = evil if field == "note" else encoded(evil.encode())


class Searched(bytes):
    """Content that counts how often it is searched."""

    times = 0

    def __contains__(self, key: Any) -> bool:
        self.times += 1
        return super().__contains__(key)


def test_a_boundary_is_found_at_once() -> None:
    """Content that holds every boundary one could think of is not searched for one after the other."""
    content = Searched(b"".join(b"sidecar-call-1-%d\r\n" % number for number in range(1_000)))
    body, content_type = multipart([], [("file", "a", content)], call_id="call-1")
    assert content.times <= 1
    boundary = content_type.partition("boundary=")[2]
    assert body.count(boundary.encode()) == 2
    assert len(boundary) <= 70  # RFC 2046 section 5.1.1


def test_a_call_has_a_boundary_of_its_own() -> None:
    """Nobody knows it before the call and its content are known."""
    made = {multipart([(name, value)], [], call_id=call_id)[1] for name in "ab" for value in "cd" for call_id in "ef"}
    assert len(made) == 8


@pytest.mark.parametrize("name", ['a"; filename="b', "a\\", "a;b", "zoë.txt", "a/../b", "%22"])
def test_no_name_leaves_its_quotes(name: str) -> None:
    """A file's or a field's name is one quoted string: it cannot add a parameter."""
    request = rendered(MULTIPART, {"field": name, "value": "v", "content": encoded(b"x"), "name": name})
    lines = [line for line in request.content.split(b"\r\n") if line.startswith(b"Content-Disposition")]
    escaped = name.replace('"', "%22").encode()
    assert b'Content-Disposition: form-data; name="' + escaped + b'"' in lines
    assert b'Content-Disposition: form-data; name="file"; filename="' + escaped + b'"' in lines


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\nb", "\x00", "\x1b", "\x7f"])
@pytest.mark.parametrize("field", ["field", "name"])
def test_no_name_breaks_its_line(field: str, name: str) -> None:
    """A control character in a name is refused, by the name of the input that holds it."""
    values = {"field": "f", "value": "v", "content": encoded(b"x"), "name": "n"} | {field: name}
    assert refused(MULTIPART, values).problems[0].pointer == f"/{field}"


@given(TEXTS, st.binary(max_size=60))
def test_multipart_gives_back_what_went_in(text: str, content: bytes) -> None:
    """Whatever text and bytes, they stand in the body between the same two delimiters."""
    request = rendered(MULTIPART, {"note": text, "content": encoded(content), "field": "f"})
    boundary = dict(request.headers)["content-type"].partition("boundary=")[2].encode()
    chunks = request.content.split(b"--" + boundary)
    assert len(chunks) == 5
    assert chunks[2].partition(b"\r\n\r\n")[2] == text.encode() + b"\r\n"
    assert chunks[3].partition(b"\r\n\r\n")[2] == content + b"\r\n"


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (1e300, str(int(1e300))),
        ("x", "x"),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_scalars_are_written_as_json_writes_them(value: object, text: str) -> None:
    """Never Python's own spelling: a provider reads `true`, not `True`."""
    assert as_text(value) == text
