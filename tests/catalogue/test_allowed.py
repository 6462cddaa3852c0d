"""A value or key that a manifest may not have is refused with what it may have there, or what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.catalogue.allowed import INSTEAD, UNCHECKED, allowed
from sidecar.manifest import Field, Operation
from tests.build import GET_ITEM
from tests.catalogue.test_load import mistake


def operation_told(folder: Path, change: dict[str, Any]) -> str:
    return mistake(folder, operations={"items.do": GET_ITEM | change}).removeprefix("operations/all.yaml: items.do")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": "HEAD"}, ".method: Invalid enum value 'HEAD'; it is one of DELETE, GET, PATCH, POST, PUT"),
        ({"access": "both"}, ".access: Invalid enum value 'both'; it is one of read, write"),
        ({"returns": "xml"}, ".returns: Invalid enum value 'xml'; it is one of bytes, json, location, nothing"),
        (
            {"input": {"id": {"in": "cookie"}}},
            ".input.id.in: Invalid enum value 'cookie'; it is one of body, content, header, none, path, query",
        ),
        ({"paging": {"kind": "guess"}}, ".paging.kind: Invalid value 'guess'; it is one of link, cursor, offset, page"),
        (
            {"paging": {"kind": "cursor", "path": "a", "name": "b", "place": "header"}},
            ".paging.place: Invalid enum value 'header'; it is one of body, query",
        ),
        ({"acess": "read"}, ": Object contains unknown field `acess`; did you mean access?"),
        ({"success": {"path": "a", "equal": 1}}, ".success: Object contains unknown field `equal`; did you mean"),
        ({"success": [{"path": "a", "equals": 1, "x": 1}]}, ".success[0]: Object contains unknown field `x`"),
        (
            {"paging": {"kind": "link", "totl": "a"}},
            ".paging: Object contains unknown field `totl`",
        ),
    ],
)
def test_what_may_stand_in_an_operation_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """Of few values all, of keys the nearest; of a kind that is named its own alone."""
    text = operation_told(tmp_path, change)
    assert text.startswith(told)
    if "did you mean" not in told:
        assert "did you mean" not in text


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"format": 2}, "format: Invalid enum value 2; it is one of 1"),
        (
            {"auth": [{"kind": "api_key", "place": "body", "name": "x"}]},
            "auth[0].place: Invalid enum value 'body'; it is one of header, path, query",
        ),
        (
            {"errors": {"rules": [{"reason": "PROVIDER_NOTFOUND"}]}},
            "errors.rules[0].reason: Invalid enum value 'PROVIDER_NOTFOUND'; did you mean PROVIDER_NOT_FOUND?",
        ),
        ({"errors": {"rules": [{"reason": "X"}]}}, "errors.rules[0].reason: Invalid enum value 'X'"),
        ({"verify_as": {"bearer": {"op": 1}}}, "verify_as.bearer: Object contains unknown field `op`"),
        ({"colour": "red"}, "Object contains unknown field `colour`"),
        ({"quota": []}, "Object contains unknown field `quota`; did you mean quotas?"),
    ],
)
def test_what_may_stand_in_a_manifest_is_told(tmp_path: Path, facts: dict[str, Any], told: str) -> None:
    """Of many values the nearest; nothing where nobody knows what was meant."""
    text = mistake(tmp_path, **facts)
    assert text.startswith(f"provider.yaml: {told}")
    if "did you mean" not in told:
        assert "did you mean" not in text


@pytest.mark.parametrize("keyword", [*INSTEAD, *sorted(UNCHECKED)])
@pytest.mark.parametrize("deep", [False, True])
def test_a_keyword_of_other_schemas_says_what_to_write(tmp_path: Path, keyword: str, *, deep: bool) -> None:
    """At every depth: what says it here, or that nobody would check it."""
    schema: dict[str, Any] = {keyword: True}
    field = {"in": "query"} | ({"anyOf": [{"items": {"properties": {"a": schema}}}]} if deep else schema)
    text = operation_told(tmp_path, {"input": {"q": field}})
    below = ".anyOf[0].items.properties.a" if deep else ""
    what = INSTEAD.get(keyword, "it is not among the keywords")
    assert text.startswith(f".input.q{below}: Object contains unknown field `{keyword}`: {what}")


def test_a_misspelt_keyword_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    """A keyword of this schema, or a key that an input has beside it."""
    assert operation_told(tmp_path, {"input": {"q": {"in": "query", "minLenght": 1}}}).endswith("mean minLength?")
    assert operation_told(tmp_path / "b", {"input": {"q": {"in": "query", "file_name": 1}}}).endswith("mean fileName?")


@pytest.mark.parametrize("steps", [["input", "b"], ["input", 0], ["method", "x"], ["nothing"]])
def test_steps_that_lead_nowhere_say_nothing(steps: list[str | int]) -> None:
    """The mistake is told all the same, without more."""
    assert allowed("Invalid enum value 'x'", {"input": {"a": {}}, "method": 5}, Operation, steps) == ""


def test_no_keyword_that_there_is_is_said_to_be_missing() -> None:
    """What a schema gains is taken out of these tables."""
    known = {field.encode_name for field in msgspec.structs.fields(Field)}
    assert not known & (INSTEAD.keys() | UNCHECKED)
