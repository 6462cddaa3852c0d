"""Hints: a sentence that helps, and a command that can be pasted as it is."""

from __future__ import annotations

import shlex

import msgspec
import pytest

from sidecar.core.hint import with_hint
from sidecar.model import Access, Call, Failure, Reason, SideEffect, TraceContext
from tests.build import CREATE_ITEM, GET_ITEM, provider

ACME = provider(
    operations={
        "items.get": GET_ITEM,
        "items.create": CREATE_ITEM | {"look_up": "items.get"},
        "items.other": CREATE_ITEM,
    }
)
CALL = Call(
    call_id="0190a8b0-1234-7abc-8def-0123456789ab",
    access=Access.WRITE,
    tenant="default",
    connection="alice",
    provider="acme",
    operation="items.create",
    payload=b"",
    accepted=0.0,
    deadline=30.0,
    trace=TraceContext("1" * 32, "1" * 16),
)


def hint(
    reason: Reason, call: Call = CALL, side_effect: SideEffect = SideEffect.NONE, *, known: bool = True
) -> str | None:
    operation = ACME.operations.get(call.operation) if known else None
    return with_hint(Failure(reason=reason, detail="d", side_effect=side_effect), call, operation).hint


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        (Reason.NO_CREDENTIAL, "sidecar connect acme -c alice"),
        (Reason.CONNECTION_REVOKED, "sidecar connect acme -c alice"),
        (Reason.CREDENTIAL_REJECTED, "sidecar connection import acme -c alice"),
        (Reason.CONNECTION_DISABLED, "sidecar connection enable acme -c alice"),
        (Reason.UNKNOWN_OPERATION, "sidecar provider show acme"),
    ],
)
def test_a_failure_that_a_command_mends_names_it(reason: Reason, command: str) -> None:
    """For the connection that was asked for."""
    assert (hint(reason) or "").endswith(f": {command}")


def test_a_hint_names_the_tenant_where_there_is_more_than_one() -> None:
    """A command without it would change another tenant's connection."""
    call = msgspec.structs.replace(CALL, tenant="acme-corp")
    assert (hint(Reason.NO_CREDENTIAL, call) or "").endswith("acme -c alice --tenant acme-corp")


@pytest.mark.parametrize(
    "name", ["a; rm -rf ~", "$(reboot)", "`x`", "a b", "a'b", "*", "-x", "a\nb", "alice@example.com"]
)
@pytest.mark.parametrize("side_effect", [SideEffect.NONE, SideEffect.UNKNOWN])
def test_a_command_can_be_pasted_whatever_the_names(name: str, side_effect: SideEffect) -> None:
    """Who names a connection cannot put a command into the shell of whoever follows the hint."""
    call = msgspec.structs.replace(CALL, connection=name, tenant=name)
    text = hint(Reason.NO_CREDENTIAL, call, side_effect) or ""
    assert shlex.split(text.rpartition("sidecar ")[2])[-4:] == ["-c", name, "--tenant", name]


def test_an_uncertain_write_says_how_to_look() -> None:
    """By the operation that the manifest names, or at the provider."""
    look = hint(Reason.OUTCOME_UNKNOWN, side_effect=SideEffect.UNKNOWN)
    assert look == "look whether it happened before sending it again: sidecar call acme.items.get -c alice"
    other = msgspec.structs.replace(CALL, operation="items.other")
    assert hint(Reason.OUTCOME_UNKNOWN, other, SideEffect.UNKNOWN) == (
        "look at the provider whether it happened before sending it again"
    )


KEYED = CREATE_ITEM | {"input": CREATE_ITEM["input"] | {"id": {"in": "query"}}, "look_up": "items.get"}
FILLED = provider(operations={"items.get": GET_ITEM, "items.create": KEYED}).operations["items.create"]


@pytest.mark.parametrize(
    ("payload", "filled"),
    [
        pytest.param(b'{"title": "x", "id": "7"}', """ '{"id":"7"}'""", id="what it needs"),
        pytest.param(b'{"id": 7}', """ '{"id":7}'""", id="a number"),
        pytest.param(b'{"id": "a\'; rm -rf ~"}', """ '{"id":"a'"'"'; rm -rf ~"}'""", id="quoted for a shell"),
        pytest.param(b'{"title": "x"}', "", id="not given"),
        pytest.param(b'{"id": ["7"]}', "", id="no word"),
        pytest.param(b'{"id": "%s"}' % (b"7" * 201), "", id="too long to repeat"),
        pytest.param(b"{", "", id="no JSON"),
    ],
)
def test_a_look_up_is_filled_in(payload: bytes, filled: str) -> None:
    """With what the write was given, where the look-up needs no more: the command can be pasted."""
    call = msgspec.structs.replace(CALL, payload=payload)
    failure = Failure(reason=Reason.OUTCOME_UNKNOWN, detail="d", side_effect=SideEffect.UNKNOWN)
    told = with_hint(failure, call, FILLED).hint or ""
    assert told == f"look whether it happened before sending it again: sidecar call acme.items.get{filled} -c alice"


def test_a_look_up_that_needs_more_is_named_alone() -> None:
    """Half an input would be refused."""
    assert ACME.operations["items.create"].looked_up_by is None


def test_a_failures_own_hint_is_kept() -> None:
    """The one who failed knows best."""
    failure = Failure(reason=Reason.NO_CREDENTIAL, detail="d", hint="mine")
    assert with_hint(failure, CALL, None) == failure


@pytest.mark.parametrize(
    ("reason", "cause", "told"),
    [
        (Reason.OUTCOME_UNKNOWN, TimeoutError(), "Timeout-Ms"),
        (Reason.RESPONSE_TRUNCATED, TimeoutError(), "Timeout-Ms"),
        (Reason.OUTCOME_UNKNOWN, ConnectionResetError(), None),
        (Reason.RESPONSE_TOO_LARGE, None, "SIDECAR_MAX_RESPONSE_BYTES"),
    ],
)
def test_a_read_that_a_setting_ended_names_it(reason: Reason, cause: Exception | None, told: str | None) -> None:
    """Its time, or the most that is read of an answer."""
    failure = Failure(reason=reason, detail="d", side_effect=SideEffect.NONE, cause=cause)
    found = with_hint(failure, CALL, None).hint
    assert (told in (found or "")) if told else found is None


@pytest.mark.parametrize("reason", [Reason.PROVIDER_NOT_FOUND, Reason.MALFORMED, Reason.BUG])
def test_where_nothing_helps_nothing_is_said(reason: Reason) -> None:
    """A hint that says nothing is noise."""
    assert hint(reason) is None
    assert hint(reason, known=False) is None
