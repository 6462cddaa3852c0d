"""What would be ignored, or sent twice, when an operation is called is told when it is loaded, with the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.catalogue.test_load import mistake

ID = {"in": "path", "type": "string"}
BODY: dict[str, Any] = {"in": "body"}
BYTES: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}
CONTENT = {"in": "content"}
LIST = {"type": "array", "items": {"type": "string"}}
TEST = {"path": "a.*.b", "equals": None}
CURSOR = {"kind": "cursor", "path": "next", "name": "after"}
PAGES = {"kind": "page", "name": "p"}
OFFSETS = {"kind": "offset", "name": "o"}
IN_BODY = {"paging": CURSOR | {"place": "body"}}


def told(folder: Path, operation: dict[str, Any]) -> list[str]:
    """What the loader says of an operation."""
    text = mistake(folder, operations={"items.do": operation})
    return [line.removeprefix("operations/all.yaml: items.do: ") for line in text.splitlines()]


def paged(paging: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"paging": paging | more}


def fields(**inputs: dict[str, Any]) -> dict[str, Any]:
    return {"input": inputs, "required": []}


@pytest.mark.parametrize(
    ("place", "name", "spelt"),
    [("query", "x", "x"), ("header", "X-A", "x-a")],
)
def test_two_inputs_have_two_names(tmp_path: Path, place: str, name: str, spelt: str) -> None:
    """In the query and in the headers; the second would be sent beside the first, or in its place."""
    one = {"in": place, "name": name}
    inputs = {"id": ID, "a": one, "b": one | {"name": spelt}}
    assert told(tmp_path, GET_ITEM | {"input": inputs}) == [f"input.b: {place} {spelt} is written by input.a too"]


def test_two_inputs_have_two_placeholders(tmp_path: Path) -> None:
    """Only one of them would be in the path."""
    change = {"input": {"id": ID, "a": ID | {"name": "id"}}, "required": ["id", "a"]}
    assert told(tmp_path, GET_ITEM | change) == ["input.a: path id is written by input.id too"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            {"input": {"id": ID, "x": {"in": "query"}}, "fixed": {"query": {"x": 1}}},
            "query x is written by fixed.query.x",
        ),
        (
            {"input": {"id": ID, "x": {"in": "header", "name": "x-a"}}, "fixed": {"header": {"X-A": "1"}}},
            "header x-a is written by fixed.header.X-A",
        ),
        (
            {"input": {"id": ID, "x": {"in": "query", "style": "brackets"}}, "fixed": {"query": {"x[]": 1}}},
            "query x[] is written by fixed.query.x[]",
        ),
    ],
)  # fmt: skip
def test_an_input_is_no_fixed_value(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    """What is always sent is not a caller's to say."""
    assert told(tmp_path, GET_ITEM | change) == [f"input.x: {rule} too"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (fields(a=BODY | {"name": "x"}, b=BODY | {"name": "x"}), "input.b: form x is written by input.a too"),
        (fields(b=BODY) | {"fixed": {"body": {"b": 1}}}, "input.b: form b is written by fixed.body.b too"),
        (fields(b=BODY | {"name": "x.y"}) | {"fixed": {"body": {"x.y": 1}}}, "input.b: form x.y is written by fixed"),
    ],
)  # fmt: skip
def test_a_form_has_each_field_once(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    """By the name that is sent."""
    (line,) = told(tmp_path, CREATE_ITEM | {"encoding": "form"} | change)
    assert line.startswith(rule)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (fields(a=BODY | LIST | {"style": "comma"}), "input.a.style: comma is for a query or a form"),
        (fields(a={"in": "header", "style": "json"}), "input.a.style: json is for a query or a form"),
        (fields(a=CONTENT | {"style": "repeat"}), "input.a.style: repeat is for a query or a form"),
        (fields(a={"in": "query", **BYTES}), "input.a.contentEncoding: would be ignored here"),
        (fields(a={"in": "header", **BYTES}), "input.a.contentEncoding: would be ignored here"),
        (fields(a=BODY | BYTES) | {"encoding": "form"}, "input.a.contentEncoding: would be ignored here"),
        (fields(a=BODY | BYTES | {"fileName": "b"}, b=BODY), "input.a.fileName: is of a part of a multipart body"),
        (fields(a=BODY | {"fileName": "b"}, b=BODY) | {"encoding": "multipart"}, "input.a.fileName: is of a part of"),
        (fields(a=BODY | {"name": ""}), "input.a.name: '' is empty, or has an empty part"),
        (fields(a=BODY | {"name": "x..y"}), "input.a.name: 'x..y' is empty, or has an empty part"),
        (fields(a={"in": "query", "name": ""}), "input.a.name: '' is empty, or has an empty part"),
        (fields(a=CONTENT) | {"wrap": "item"}, "wrap: there are no fields of a body to wrap"),
        (fields() | {"wrap": "item"}, "wrap: there are no fields of a body to wrap"),
        (fields(a=BODY) | {"wrap": ""}, "wrap: is empty; leave it out"),
        (fields(a=BODY) | {"encoding": "multipart", "content_type": "a/b"}, "content_type: that of a multipart body"),
        (fields() | {"content_type": "a/b"}, "content_type: there is no body"),
        (fields(a=BODY) | {"fixed": {"header": {"Content-Type": "a/b"}}}, "fixed.header.Content-Type: would be"),
        (fields(a=BODY, b={"in": "header", "name": "content-type"}), "input.b: would be ignored"),
        (fields(a=CONTENT) | {"encoding": "multipart"}, "encoding: multipart is made of fields"),
        (fields(a=CONTENT) | {"encoding": "form"}, "encoding: form is made of fields"),
        (fields() | {"encoding": "raw", "fixed": {"body": {"a": 1}}}, "encoding: raw takes its body from one"),
        (fields() | {"method": "GET", "access": "read"} | IN_BODY, "paging.place: GET carries no body for the cursor"),
        (fields(a=CONTENT) | IN_BODY, "paging.place: a body that is one `in: content` has no place for the cursor"),
        (fields() | {"output": ""}, "output: '' is no path: a name in it is empty"),
        (fields() | {"output": "a..b"}, "output: 'a..b' is no path: a name in it is empty"),
        (fields() | {"returns": "location", "output": "a"}, "output: an operation that returns location has none"),
        (fields() | {"success": {"path": "", "equals": None}}, "success.path: '' is no path"),
        (fields() | {"success": {"path": "a.*", "equals": True}}, "success.equals: at a path with * stands a list"),
        (fields() | {"success": [TEST, TEST | {"code": ["a", "b."]}]}, "success.1.code.1: 'b.' is no path"),
        (fields() | {"success": [TEST | {"message": [".a"]}]}, "success.0.message.0: '.a' is no path"),
        (fields() | {"paging": {"kind": "link", "path": ""}}, "paging.path: '' is no path"),
        (fields() | {"paging": CURSOR | {"more": "."}}, "paging.more: '.' is no path"),
        (fields() | {"paging": CURSOR | {"name": ""}}, "paging.name: a parameter has a name"),
        (
            fields() | {"paging": {"kind": "offset", "name": "o", "offset": "o", "limit": "", "total": "t"}},
            "paging.limit: '' is no path",
        ),
        (
            fields() | {"paging": {"kind": "page", "name": "p", "page": "p", "pages": ".p"}},
            "paging.pages: '.p' is no path",
        ),
        (fields() | {"paging": PAGES}, "paging: nothing says where the end is: name one of pages, total, more, last"),
        (fields() | paged(PAGES, {"pages": "n", "more": "m"}), "paging: pages and more both say"),
        (fields() | paged(PAGES, {"total": "n"}), "paging: total and size belong together"),
        (fields() | paged(PAGES, {"more": "n", "size": "n"}), "paging: total and size belong together"),
        (fields() | paged(PAGES, {"items": "i", "told_in": "header"}), "paging.told_in: there is nothing that"),
        (fields() | paged(PAGES, {"items": ""}), "paging.items: '' is no path"),
        (fields() | paged(PAGES, {"items": "i", "first": -1}), "paging.first: must be 0 or more"),
        (fields() | paged(PAGES, {"pages": "x y", "told_in": "header"}), "paging.pages: 'x y' is not a header's"),
        (fields() | paged(OFFSETS, {"total": "n"}), "paging: nothing says how many items a page has: name limit"),
        (fields() | paged(OFFSETS, {"limit": "n"}), "paging: nothing says where the end is: name one of"),
        (fields() | {"paging": CURSOR | {"more": "m", "last": "l"}}, "paging: more and last both say"),
        (fields() | {"paging": CURSOR | {"path": "a b", "told_in": "header"}}, "paging.path: 'a b' is not a header's"),
        (fields() | {"paging": {"kind": "link", "told_in": "header"}}, "paging.told_in: there is nothing"),
        (
            fields(a=BODY) | {"encoding": "form", "paging": PAGES | {"items": "i", "place": "body"}},
            "paging: a cursor goes into the body of a JSON request only",
        ),
        (fields() | {"paging": CURSOR | {"name": "a..b", "place": "body"}}, "paging.name: 'a..b' is no path"),
        (fields() | {"paging": CURSOR | {"name": "a.0.b", "place": "body"}}, "paging.name: 'a.0.b' would make an"),
        (fields() | {"encoding": "form", "fixed": {"body": {}}}, "fixed.body: is empty, and a form body has fields"),
        (fields() | {"encoding": "multipart", "fixed": {"body": {}}}, "fixed.body: is empty, and a multipart body"),
        (fields() | {"encoding": "form", "fixed": {"body": {"a": []}}}, "fixed.body.a: is an empty list, and would"),
        (fields() | {"fixed": {"query": {"a": []}}}, "fixed.query.a: is an empty list, and would not be sent"),
        (fields(a=CONTENT) | {"fixed": {"body": {}}}, "input: one `in: content` is the whole body"),
        (fields() | {"encoding": "raw", "fixed": {"body": {}}}, "encoding: raw takes its body from one"),
        (fields() | {"access": "read", "method": "GET", "fixed": {"body": {}}}, "method: GET carries no body"),
    ],
)  # fmt: skip
def test_what_would_be_ignored_is_told(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    """One finding, with the key and the reason."""
    (line,) = told(tmp_path, CREATE_ITEM | change)
    assert line.startswith(rule)


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        (LIST, "style: a list in a {} is written with `style: comma` (a,b)"),
        ({"type": ["array", "null"], "items": {}}, "style: a list in a {} is written with `style: comma` (a,b)"),
        ({"anyOf": [LIST, {"type": "string"}]}, "style: a list in a {} is written with `style: comma` (a,b)"),
        (LIST | {"style": "repeat"}, "style: a list in a {} is written with `style: comma` (a,b)"),
        (LIST | {"style": "segments"}, "style: a list in a {} is written with `style: comma` (a,b)"),
        ({"type": "object"}, "type: an object has no form in a {}; take a text, which the input hook can write"),
        ({"type": "object", "style": "comma"}, "type: an object has no form in a {}; take a text"),
        ({"type": "string", "style": "comma"}, "style: comma is for a list, and would be ignored here"),
        ({"type": "array", "items": {"type": "object"}, "style": "comma"}, "items: in a {} a list holds texts and num"),
    ],
)
@pytest.mark.parametrize("place", ["path", "header"])
def test_what_has_no_form_in_its_place_is_told(tmp_path: Path, place: str, field: dict[str, Any], rule: str) -> None:
    """A path and a header hold one text: a list in them has commas, an object cannot be there."""
    inputs = {"id": {"in": place, **field}} if place == "path" else {"id": ID, "a": {"in": place, **field}}
    (line,) = told(tmp_path, GET_ITEM | {"input": inputs})
    assert line.startswith(f"input.{'id' if place == 'path' else 'a'}.{rule.format(place)}")


@pytest.mark.parametrize(
    ("name", "there"),
    [("a.0", "0"), ("personalizations.0.to.0.email", "0"), ("0.a", "0"), ("a.-1.b", "-1"), ("a.007", "007")],
)
def test_a_place_in_a_list_is_told(tmp_path: Path, name: str, there: str) -> None:
    """Inputs make objects: the number would be a name in one, where a path into an answer counts with it."""
    rule = f"would make an object with the name {there!r} in it, not a list"
    assert told(tmp_path, CREATE_ITEM | fields(a=BODY | {"name": name})) == [
        f"input.a.name: {name!r} {rule}; take the list whole as one `in: body`, or make it in the input hook"
    ]


FILE = BODY | BYTES
FILES = BODY | {"type": "array", "items": BYTES}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            fields(a=FILES | {"fileName": "b"}, b={"in": "none", "type": "string"}),
            "a.fileName: 'b' must be a list, with one name for each file",
        ),
        (
            fields(a=FILE | {"fileName": "b"}, b={"in": "none", **LIST}),
            "a.fileName: 'b' is a list of names, and this is one file",
        ),
        (fields(a=FILES | {"style": "comma"}), "a.style: comma is not for files: each is a part of the body"),
        (fields(a=FILES | {"style": "json"}), "a.style: json is not for files: each is a part of the body"),
        (fields(a=BODY | {"anyOf": [BYTES, LIST]}), "a.anyOf: contentEncoding would be ignored here"),
        (fields(a=FILES) | {"encoding": "form"}, "a.items.contentEncoding: would be ignored here"),
        (fields(a=FILES | {"in": "query"}), "a.items.contentEncoding: would be ignored here"),
    ],
)
def test_what_files_cannot_be_is_told(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    """Bytes that would go as text, and names that fit no files."""
    (line,) = told(tmp_path, CREATE_ITEM | {"encoding": "multipart"} | change)
    assert line.startswith(f"input.{rule}")


@pytest.mark.parametrize(
    "text", ["a/é", "a/b\r\nX: 1", "a", "a/b;", "a/b; c", "a/b; c=é", 'a/b; c="x', "a /b", "", "a/b; c=d\n"]
)
def test_a_content_type_is_one(tmp_path: Path, text: str) -> None:
    """It goes into a header as it stands."""
    (line,) = told(tmp_path, CREATE_ITEM | {"content_type": text})
    assert line.startswith(f"content_type: {text!r} is not one: type/subtype")


@pytest.mark.parametrize(
    "text", ["application/vnd.acme.v3+json", "text/plain; charset=utf-8", 'a/b;c="x y";d=e', "application/octet-stream"]
)
def test_a_content_type_may_have_parameters(text: str) -> None:
    """As RFC 9110 writes them."""
    assert provider(operations={"items.do": CREATE_ITEM | {"content_type": text}}).operations


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            fields(a=BODY | {"name": "fields.summary"}) | {"fixed": {"body": {"fields.type": 1}}},
            "fixed.body: 'fields.type' is a name with a dot, not a place in 'fields'; nest it as YAML does",
        ),
        (
            fields() | {"fixed": {"body": {r"m\.type": 1}}},
            r"fixed.body: 'm\\.type' would be sent with its backslash; names are literal here, a dot is a dot",
        ),
    ],
)
def test_a_fixed_name_is_literal(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    """Where its author takes it for a path, as the name of an input is one, that is told."""
    assert told(tmp_path, CREATE_ITEM | change) == [rule]


@pytest.mark.parametrize(
    "change",
    [
        fields(a=BODY | {"name": r"m\.relates_to.key"}) | {"fixed": {"body": {"m.type": "m.text", "b": {"c.d": 1}}}},
        fields(a=BODY | {"name": "x.y"}) | {"encoding": "form", "fixed": {"body": {"x.z": 1}}},
        fields(a=BODY | BYTES),
        fields(a=CONTENT | BYTES),
        fields(a=CONTENT | BYTES) | {"encoding": "raw", "content_type": "application/pdf"},
        fields(a=BODY | BYTES | {"fileName": "b"}, b={"in": "none"}) | {"encoding": "multipart"},
        fields(a=BODY | BYTES | {"name": "f"}, b=BODY | BYTES | {"name": "f"}) | {"encoding": "multipart"},
        fields(a=BODY | LIST | {"style": "comma"}) | {"encoding": "form"},
        fields(a=BODY | LIST | {"style": "brackets"}) | {"encoding": "multipart"},
        fields(a={"in": "query", "name": "x", "style": "brackets"}, b={"in": "query", "name": "x"}),
        fields(a=BODY | {"name": "x"}, b={"in": "query", "name": "x"}, c={"in": "header", "name": "x"}),
        fields(a=FILES | {"fileName": "b", "style": "brackets"}, b={"in": "none", **LIST}) | {"encoding": "multipart"},
        fields(a=FILES | {"fileName": "b"}, b={"in": "none"}) | {"encoding": "multipart"},
        fields(a=FILES),
        fields(a=BODY | {"name": "0"}, b=BODY | {"name": r"x.a\.0"}, c=BODY | {"name": "y.z1"}),
        fields(a=BODY | {"name": "a.0"}) | {"encoding": "form"},
        fields(a={"in": "header", "style": "comma", **LIST}, b={"in": "header", "style": "comma"}),
        fields(a=BODY) | {"encoding": "form", "fixed": {"body": {}, "query": {"x": [1, "a"]}}},
        fields() | {"fixed": {"body": {}}},
        fields() | {"fixed": {"header": {"content-type": "a/b"}}},
        fields() | IN_BODY,
    ],
)
def test_what_has_an_effect_is_loaded(change: dict[str, Any]) -> None:
    """Names with a dot, bytes in base64 as JSON has them, files of one name, one word in two places."""
    assert "items.do" in provider(operations={"items.do": CREATE_ITEM | change}).operations


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"success": {"path": "", "equals": True}}, "success.path: '' is no path"),
        ({"errors": {"code": ["a", ""]}}, "errors.code.1: '' is no path"),
        ({"errors": {"message": ["a."]}}, "errors.message.0: 'a.' is no path"),
        ({"errors": {"request_id": [""]}}, "errors.request_id.0: '' is not a header's name"),
        (
            {"errors": {"rules": [{"reason": "PROVIDER_CONFLICT", "header": {"a b": "c"}}]}},
            "errors.rules.0.header: 'a b' is not a header's",
        ),
        ({"retry_after": [{"unit": "seconds", "path": ""}]}, "retry_after.0.path: '' is no path"),
        ({"retry_after": [{"unit": "seconds", "header": ""}]}, "retry_after.0.header: '' is not a header's name"),
        ({"verify": {"operation": "items.list", "account": ""}}, "verify.account: '' is no path"),
        (
            {
                "quotas": [{"name": "a", "scope": "app", "concurrency": 1}],
                "limits_told": [{"quota": "a", "place": "body", "limit": "", "remaining": "b"}],
            },
            "limits_told.0.limit: '' is no path",
        ),
        (
            {
                "quotas": [{"name": "a", "scope": "app", "concurrency": 1}],
                "limits_told": [{"quota": "a", "remaining": "b c"}],
            },
            "limits_told.0.remaining: 'b c' is not a header's name",
        ),
    ],
)
def test_a_place_in_an_answer_is_one(tmp_path: Path, facts: dict[str, Any], rule: str) -> None:
    """A path without a name in it, and a header that no answer can have, would never be found."""
    operations = {"items.list": GET_ITEM | {"path": "/items", "input": {}, "required": []}}
    (line,) = mistake(tmp_path, operations=operations, **facts).splitlines()
    assert line.startswith(f"provider.yaml: {rule}")
