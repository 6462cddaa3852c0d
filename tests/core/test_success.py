"""Tests of success beyond the status: the provider's and the operation's own must hold; the failed one says why."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.model import Failure, Reason, SideEffect, Success
from sidecar.provider import Provider
from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.core.test_outcome import came, failed, succeeded

ERRORS = "data.create.userErrors"
OWN = {
    "path": ERRORS,
    "equals": None,
    "code": [f"{ERRORS}.0.code"],
    "message": [f"{ERRORS}.*.message"],
}
DONE = {"path": "data.create.success", "equals": True}
TAKEN = [{"code": "TAKEN", "message": "Title is taken"}, {"message": "and too long"}]


def shop(success: object = OWN, **facts: Any) -> Provider:
    """GraphQL, where the whole provider says `errors`, and each mutation lists its own."""
    errors = {"message": ["errors.0.message"], "rules": [{"reason": "PROVIDER_CONFLICT", "code": ["TAKEN"]}]}
    operations = {
        "items.get": GET_ITEM,
        "items.create": CREATE_ITEM | {"success": success, "output": "data"},
        "items.file": GET_ITEM | {"success": success, "returns": "bytes"},
        "items.delete": CREATE_ITEM | {"success": success, "returns": "nothing"},
    }
    return provider(operations=operations, success={"path": "errors", "equals": None}, errors=errors, **facts)


SHOP = shop()


def created(errors: object = (), **more: object) -> dict[str, Any]:
    return {"data": {"create": {"userErrors": errors} | more}}


@pytest.mark.parametrize("operation", ["items.create", "items.delete", "items.file"])
def test_an_operation_has_tests_of_its_own(operation: str) -> None:
    """An answer that passes the provider's test and names errors where this operation does is a failure, of any form
    of answer; another operation's is none.
    """
    failure = failed(200, created(TAKEN), operation=operation, of=SHOP)
    assert failure.reason is Reason.PROVIDER_CONFLICT
    succeeded(200, created([]), operation=operation, of=SHOP)
    succeeded(200, created(TAKEN), operation="items.get", of=SHOP)


def test_the_test_that_failed_says_why() -> None:
    """Its code and message come before the paths of `errors`, and the rules apply to them."""
    failure = failed(200, created(TAKEN), operation="items.create", of=SHOP)
    assert (failure.provider_code, failure.side_effect) == ("TAKEN", SideEffect.NONE)
    assert failure.detail == "Acme answered 200: TAKEN: Title is taken; and too long"


def test_what_the_test_does_not_say_the_errors_say() -> None:
    """Where its paths lead nowhere, or it has none, it is as with the provider's test."""
    failure = failed(200, {"errors": [{"message": "no such field"}]}, operation="items.create", of=SHOP)
    assert (failure.reason, failure.detail) == (Reason.PROVIDER_REJECTED, "Acme answered 200: no such field")


@pytest.mark.parametrize(("operation", "side_effect"), [("items.create", "unknown"), ("items.file", "none")])
def test_a_write_that_fails_its_own_test_may_have_been_done(operation: str, side_effect: str) -> None:
    """A status of success proves no refusal; a rule can say that it was one."""
    failure = failed(200, created([{"code": "ODD"}]), operation=operation, of=SHOP)
    assert (failure.reason, failure.side_effect) == (Reason.PROVIDER_REJECTED, side_effect)


@pytest.mark.parametrize(
    ("body", "succeeds"),
    [
        (created([], success=True), True),
        (created([], success=False), False),
        (created([], success=1), False),
        (created([]), False),
        (created(TAKEN, success=True), False),
        ({"errors": [{}], **created([], success=True)}, False),
        ({}, False),
    ],
)
def test_every_test_must_hold(body: object, *, succeeds: bool) -> None:
    """The provider's, and each of the list."""
    result = came(200, body, operation="items.create", of=shop([OWN, DONE]))
    assert isinstance(result, Success) is succeeds


def test_a_hook_gives_way_to_the_paths_of_the_test_alone() -> None:
    """What they do not lead to the explain hook says, and all else that it found."""
    code = (
        "from sidecar.model import Problem\nfrom sidecar.provider import Explained\n\n"
        "def explain(status, headers, body):\n    return Explained('hook', 'the hook', (Problem('/title', 'x'),))\n"
    )
    made = shop(OWN | {"message": []}, code=code, hooks={"explain": "explain"})
    failure = failed(200, created(TAKEN), operation="items.create", of=made)
    assert failure.detail == "Acme answered 200: TAKEN: the hook"
    assert [problem.pointer for problem in failure.problems] == ["/title"]


@pytest.mark.parametrize("operation", ["items.create", "items.delete"])
@pytest.mark.parametrize("content", [b"", b"<html>"])
def test_what_cannot_be_tested_is_no_success(operation: str, content: bytes) -> None:
    """An answer that lost its body has passed no test."""
    assert failed(200, content, operation=operation, of=SHOP).reason is Reason.BAD_PROVIDER_RESPONSE


def test_a_file_passes_what_only_json_can_fail() -> None:
    """Bytes that are no JSON name no errors."""
    assert succeeded(200, b"\x89PNG", operation="items.file", of=SHOP).body == b"\x89PNG"


@pytest.mark.parametrize(
    ("value", "succeeds"),
    [
        ([], True),
        ([{"e": []}], True),
        ([{"e": None}, {"e": ""}, {"e": {}}, {}], True),
        ({"a": {"e": []}, "b": {"e": None}}, True),
        ("", True),
        ("text", False),
        (True, False),
        ([{"e": []}, {"e": ["x"]}], False),
        ([{"e": 0}], False),
        ([{"e": False}], False),
        ([{"e": [[]]}], False),
    ],
)
def test_of_several_places_none_is_none_but_empty_ones(value: object, *, succeeds: bool) -> None:
    """A path with `*` leads to a list of what stands at each place; where all of it is empty there is no error."""
    made = shop({"path": "results.*.e", "equals": None})
    result = came(200, {"results": value, "data": 1}, operation="items.create", of=made)
    assert isinstance(result, Success) is succeeds


def test_a_list_of_one_empty_list_is_something_where_no_star_is() -> None:
    """Only what `*` gathered counts as several places."""
    made = shop({"path": "results", "equals": None})
    assert isinstance(came(200, {"results": [[]], "data": 1}, operation="items.create", of=made), Failure)


@pytest.mark.parametrize("status", [200, 400])
def test_half_a_character_hides_neither_a_success_nor_a_code(status: int) -> None:
    """Where a test reads the answer it is mended as anywhere else; a refusal is told with its code."""
    content = b'{"data": {"create": {"userErrors": [], "title": "\\ud83d"}}, "error": {"code": "gone"}}'
    if status == 200:
        assert succeeded(200, content, operation="items.create", of=SHOP).body == (
            '{"create":{"userErrors":[],"title":"\ufffd"}}'.encode()
        )
    else:
        assert failed(400, content).provider_code == "gone"
