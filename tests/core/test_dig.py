"""Values by path out of anything that JSON can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.dig import dig, dig_text

BODY = {
    "error": {"code": "x", "n": 0},
    "errors": [{"message": "a"}, {"message": "b"}, {}],
    "flag": False,
    "list": ["a", "b", "c"],
    "m": {"k": {"v": 1}},
    "@odata.next": "u",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab01"), inner),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("error.code", "x"),
        ("error.n", 0),
        ("flag", False),
        ("errors.0.message", "a"),
        ("errors.2.message", None),
        ("errors.9.message", None),
        ("errors.-1.message", None),
        ("list.-1", "c"),
        ("list.-2", None),
        ("m.-1", None),
        ("errors.x", None),
        ("errors.*.message", ["a", "b"]),
        ("m.*.v", [1]),
        ("error.*", ["x", 0]),
        ("error.code.deeper", None),
        ("nothing", None),
        ("nothing.*", []),
        (r"@odata\.next", "u"),
        ("@odata.next", None),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(path: str, value: object) -> None:
    """Names, indices, and `*` for every element; what is not there is None, and never an error."""
    assert dig(BODY, path) == value


@pytest.mark.parametrize("body", [None, "text", 1, [], {}, [[]], True])
def test_a_strange_body_has_nothing(body: object) -> None:
    """A provider may answer with anything."""
    assert dig(body, "error.code") is None
    assert dig_text(body, ("error.code", "errors.*.message")) is None


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        (("error.code",), "x"),
        (("error.n",), "0"),
        (("flag",), None),
        (("nothing", "error.code"), "x"),
        (("errors.*.message",), "a; b"),
        (("error",), None),
        ((), None),
    ],
)
def test_text_is_the_first_that_says_something(paths: tuple[str, ...], text: str | None) -> None:
    """Scalars as text, a list joined; objects and booleans say nothing."""
    assert dig_text(BODY, paths) == text


@given(JSON, st.lists(st.sampled_from(["a", "b", "0", "1", "*", "", "²"]), min_size=1, max_size=4).map(".".join))
def test_no_body_breaks_a_path(body: object, path: str) -> None:
    """Whatever the body and the path."""
    dig(body, path)
    assert isinstance(dig_text(body, (path,)), str | None)
