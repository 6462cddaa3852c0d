"""Inputs: everything wrong at once, where it stands, what would be right, and the word that was probably meant."""

from __future__ import annotations

import tracemalloc
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalogue.validate import nearest, validate
from sidecar.model import Failure, Problem, Reason, SideEffect
from sidecar.ports import SchemaError
from sidecar.provider import Operation
from sidecar.wire.reply import Asked, encode_reply
from tests.build import CREATE_ITEM, provider

ADDRESS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "zip code": {"type": "string"}},
    "required": ["city"],
}
WAIT = {
    "type": "object",
    "properties": {"kind": {"enum": ["wait"]}, "seconds": {"type": "integer"}},
    "required": ["kind", "seconds"],
}
SEND = {"type": "object", "properties": {"kind": {"enum": ["send"]}, "text": {"type": "string"}}, "required": ["kind"]}
ITEM = provider(
    operations={
        "items.create": CREATE_ITEM
        | {
            "input": {
                "title": {"in": "body", "type": "string", "minLength": 1, "maxLength": 10},
                "state": {"in": "body", "enum": ["open", "closed", None, 3, True]},
                "labels": {"in": "body", "type": "array", "items": {"type": "string"}, "maxItems": 3},
                "count": {"in": "body", "type": "integer", "minimum": 1, "maximum": 100},
                "due": {"in": "body", "type": "string", "format": "date"},
                "mail": {"in": "body", "type": "string", "pattern": "^[a-z]+@x$"},
                "address": {"in": "body", **ADDRESS},
                "many": {"in": "body", "type": "array", "items": ADDRESS},
                "either": {"in": "body", "anyOf": [{"type": "string"}, {"type": "integer"}]},
                "open": {"in": "body", "type": "object"},
                "maybe": {"in": "body", "type": ["string", "null"]},
                "share": {"in": "body", "anyOf": [{"type": "string", "enum": ["auto", ""]}, {"type": "integer"}]},
                "by_name": {"in": "body", "type": "object", "additionalProperties": ADDRESS},
                "place": {"in": "body", "anyOf": [{"type": "string"}, ADDRESS]},
                "step": {"in": "body", "anyOf": [WAIT, SEND]},
            },
            "required": ["title", "count"],
        },
        "items.ping": CREATE_ITEM | {"input": {}, "required": []},
    }
).operations
CREATE, PING = ITEM["items.create"], ITEM["items.ping"]
RIGHT: dict[str, Any] = {"title": "a", "count": 1}


def refused(values: dict[str, Any], operation: Operation = CREATE) -> Failure:
    failure = validate(operation, values)
    assert failure is not None
    assert failure.reason is Reason.VALIDATION
    assert failure.side_effect is SideEffect.NONE
    return failure


def only(values: dict[str, Any]) -> Problem:
    (problem,) = refused(RIGHT | values).problems
    return problem


@pytest.mark.parametrize(
    "values",
    [
        RIGHT,
        RIGHT | {"state": "open", "labels": [], "due": "2026-11-21", "mail": "a@x", "maybe": None, "either": 3},
        RIGHT | {"address": {"city": "Bern", "zip code": "3000"}, "many": [{"city": "a"}], "open": {"any": [1]}},
        RIGHT | {"state": None},
        RIGHT | {"count": 1.0},  # JSON Schema: a number without a fraction is an integer
    ],
)
def test_a_right_input_is_right(values: dict[str, Any]) -> None:
    """Nothing is said of it."""
    assert validate(CREATE, values) is None


@pytest.mark.parametrize(
    ("values", "pointer", "detail", "allowed"),
    [
        ({"title": ""}, "/title", None, ()),
        ({"title": "x" * 11}, "/title", None, ()),
        ({"title": 3}, "/title", "must be a string", ("string",)),
        ({"count": "1"}, "/count", "must be an integer", ("integer",)),
        ({"count": 1.5}, "/count", "must be an integer", ("integer",)),
        ({"count": 0}, "/count", None, ()),
        ({"count": 2**70}, "/count", None, ()),
        ({"labels": ["a", 1]}, "/labels/1", "must be a string", ("string",)),
        ({"labels": ["a"] * 4}, "/labels", None, ()),
        ({"due": "tomorrow"}, "/due", None, ()),
        ({"mail": "A"}, "/mail", None, ()),
        ({"maybe": 1}, "/maybe", "must be a string or null", ("string", "null")),
        (
            {"state": "x"},
            "/state",
            "must be one of: open, closed, null, 3, true",
            ("open", "closed", "null", "3", "true"),
        ),
        ({"address": {}}, "/address/city", "is required", ()),
        ({"many": [{"city": "a"}, {}]}, "/many/1/city", "is required", ()),
        ({"either": []}, "/either", "must be a string or an integer", ("string", "integer")),
        ({"share": None}, "/share", 'must be `auto` or `""` or an integer', ("auto", "", "integer")),
        ({"share": "x"}, "/share", 'must be one of: auto, ""', ("auto", "")),
        ({"by_name": {"": 4}}, "/by_name/", "must be an object", ("object",)),
        ({"by_name": {"": {"city": 1}}}, "/by_name//city", "must be a string", ("string",)),
        ({"step": {"kind": "stop"}}, "/step/kind", "must be one of: wait, send", ("wait", "send")),
        ({"step": {"kind": "wait"}}, "/step/seconds", "is required", ()),
        ({"step": {"x": 1, "kind": "send"}}, "/step/x", "is not a field; fields are: kind, text", ("kind", "text")),
        ({"step": {"kind": "send", "text": 1}}, "/step/text", "must be a string", ("string",)),
    ],
)
def test_a_problem_stands_where_it_is(
    values: dict[str, Any], pointer: str, detail: str | None, allowed: tuple[str, ...]
) -> None:
    """By JSON pointer (RFC 6901), with what would be accepted."""
    problem = only(values)
    assert (problem.pointer, problem.allowed) == (pointer, allowed)
    assert detail is None or problem.detail == detail


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("titel", "title"),
        ("Title", "title"),
        ("label", "labels"),
        ("cuont", "count"),
        ("addres", "address"),
        ("zzz", None),
    ],
)
def test_a_misspelt_field_has_a_nearest_name(name: str, near: str | None) -> None:
    """The word that was probably meant, or the words there are."""
    problem = only({name: "x"})
    assert problem.pointer == f"/{name}"
    assert problem.nearest == near
    assert set(problem.allowed) == set(CREATE.input_schema["properties"])  # type: ignore[call-overload]  # an object in a schema
    said = f"did you mean `{near}`?" if near else "fields are: title, state"
    assert said in problem.detail


def test_a_misspelt_field_inside_is_compared_with_those_inside() -> None:
    """Of the object that it stands in, also in a list."""
    assert only({"address": {"city": "a", "cty": "b"}}).nearest == "city"
    problem = only({"many": [{"city": "a", "zipcode": "b"}]})
    assert (problem.pointer, problem.nearest) == ("/many/0/zipcode", "zip code")


@pytest.mark.parametrize(
    ("values", "pointer", "near", "allowed"),
    [
        ({"place": {"city": "a", "cty": "b"}}, "/place/cty", "city", {"city", "zip code"}),
        ({"by_name": {"x": {"city": "a", "zipcode": "b"}}}, "/by_name/x/zipcode", "zip code", {"city", "zip code"}),
        ({"step": {"kind": "send", "txt": "b"}}, "/step/txt", "text", {"kind", "text"}),
        ({"step": {"kind": "wait", "seconds": 1, "secnds": 2}}, "/step/secnds", "seconds", {"kind", "seconds"}),
    ],
)
def test_a_misspelt_field_has_a_nearest_name_wherever_it_stands(
    values: dict[str, Any], pointer: str, near: str, allowed: set[str]
) -> None:
    """Of the form that was meant, and of objects whose own names are free."""
    problem = only(values)
    assert (problem.pointer, problem.nearest, set(problem.allowed)) == (pointer, near, allowed)


def test_a_misspelt_value_has_a_nearest_one() -> None:
    """Of those that are allowed."""
    assert only({"state": "closd"}).nearest == "closed"


def test_an_operation_without_input_says_so() -> None:
    """No list of fields where there are none."""
    (problem,) = refused({"x": 1}, PING).problems
    assert problem.detail == "is not a field: acme.items.ping takes none here"


@pytest.mark.parametrize(
    ("name", "pointer"),
    [("a/b", "/a~1b"), ("a~b", "/a~0b"), ("~1", "/~01"), ("", "/"), ("a b", "/a b"), ("é", "/é"), ("\n", "/\n")],
)
def test_a_pointer_is_escaped(name: str, pointer: str) -> None:
    """RFC 6901: a slash or tilde in a name does not look like another place."""
    assert only({name: 1}).pointer == pointer


def test_everything_is_told_at_once() -> None:
    """Misspelt fields first (they explain the missing ones), then the rest; the summary has them all."""
    failure = refused({"titel": "a", "count": "x", "labels": [1], "state": "opn"})
    assert failure.problems[0].pointer == "/titel"
    assert {problem.pointer for problem in failure.problems} == {"/titel", "/title", "/count", "/labels/0", "/state"}
    assert failure.problems[-1] == Problem("/title", "is required")
    assert all(problem.pointer in failure.detail for problem in failure.problems)
    assert "sidecar provider show acme.items.create" in (failure.hint or "")


def test_a_problem_is_told_once() -> None:
    """However many keywords find it."""
    pointers = [problem.pointer for problem in refused({"titel": "a", "count": 1}).problems]
    assert len(pointers) == len(set(pointers))


@pytest.mark.parametrize(
    "values",
    [
        {f"field_{number}": number for number in range(5_000)},
        {"x" * 500_000: 1},
        {"open": 1, "title": "x" * 500_000, "count": 1},
        {"labels": [0] * 5_000},
        {"many": [{"x" * 1_000: 1}] * 500},
        {"title": ["x" * 500_000]},
        {"mail": "\x1b[31m\n" * 10_000},
        {"either": {"x": "y" * 500_000}},
    ],
    ids=["fields", "long name", "long text", "long list", "long inner names", "long inner text", "escapes", "either"],
)
def test_no_input_makes_a_long_refusal(values: dict[str, Any]) -> None:
    """At most fifty problems, each short, whatever was sent; the reply stays below 64 KiB."""
    failure = refused(values)
    assert len(failure.problems) <= 50
    assert all(len(problem.detail) <= 1_000 and len(problem.pointer) <= 1_000 for problem in failure.problems)
    assert len(failure.detail) <= 2_000
    assert len(encode_reply(Asked(), failure, 1 << 30).payload) < 65_536


@pytest.mark.parametrize(
    "values",
    [
        {f"field_{number}": None for number in range(70_000)},
        {"many": [1] * 200_000},
        {"by_name": {f"name_{number}": None for number in range(70_000)}},
        {"place": {f"name_{number}": None for number in range(70_000)}},
        {"title": [1] * 200_000},
        {"state": [1] * 200_000},
    ],
    ids=["names", "list", "members", "form", "type", "enum"],
)
def test_no_more_is_found_than_is_told(values: dict[str, Any]) -> None:
    """What is wrong a hundred thousand times holds up no other call: its findings take the room of fifty."""
    tracemalloc.start()
    try:
        refused(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000


def test_no_finding_is_asked_for_that_is_not_told() -> None:
    """Nor is the nearest name of its field looked for."""
    asked = count()
    endless = (SchemaError((), "additionalProperties", "", (f"x{number}",), ("title",)) for number in asked)
    operation = msgspec.structs.replace(CREATE, problems=lambda _: endless)
    assert len(refused({}, operation).problems) == next(asked) == 50


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("levels", [200, 250, 300, 900])
@pytest.mark.parametrize("field", ["open", "unknown", "title", "either", "address", "many"])
def test_a_deep_input_is_valid_or_refused(field: str, levels: int) -> None:
    """What can be decoded can be checked, or is refused for its depth: never a defect."""
    failure = validate(CREATE, RIGHT | {field: deep(levels)})
    if failure is not None:
        assert failure.reason is Reason.VALIDATION
        assert field != "open"


@given(
    st.dictionaries(
        st.sampled_from(["title", "count", "labels", "address", "either", "open", "x"]) | st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=10,
        ),
        max_size=5,
    )
)
def test_no_input_raises(values: dict[str, Any]) -> None:
    """Any JSON object is right, or refused with at least one problem."""
    failure = validate(CREATE, values)
    assert failure is None or failure.problems


# --- nearest names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("isues.list", ["issues.list", "issues.create"], "issues.list"),
        ("Issues.List", ["issues.list"], "issues.list"),
        ("titl", ["TITLE"], "TITLE"),
        ("pageSize", ["page_size", "per_page"], "page_size"),
        ("iss", ["issues"], "issues"),
        ("i", ["issues"], None),
        ("", ["issues"], None),
        ("zzzzzz", ["issues"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_name(name: str, known: list[str], near: str | None) -> None:
    """Close in spelling without regard to case, or the start of one."""
    assert nearest(name, known) == near


def test_a_long_name_has_no_nearest_name() -> None:
    """Comparing takes time by the square of the name: what nobody would write is not compared."""
    assert nearest("t" * 64, ["t" * 63]) == "t" * 63
    assert nearest("t" * 65, ["t" * 64]) is None
    assert nearest("x" * 1_000_000, ["title"] * 100) is None


@pytest.mark.parametrize(
    ("count", "told"), [(101, "101 is greater than the maximum of 100"), (0, "0 is less than the minimum of 1")]
)
def test_a_limit_is_told_as_the_manifest_writes_it(count: int, told: str) -> None:
    """A whole number has no point."""
    assert only({"count": count}).detail == told
