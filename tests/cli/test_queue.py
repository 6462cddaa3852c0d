"""`sidecar call --submit` and `sidecar queue`, against a real sidecar and a real queue."""

from __future__ import annotations

import time

import click.testing
import pytest

from tests.cli.conftest import Command, said

MILK = '{"list": "home work", "title": "Milk"}'
NOWHERE = "0190a8b0-1234-7abc-8def-0123456789ab"


def ended(beside: Command, call_id: str, connection: str) -> click.testing.Result:
    """The result, when there is one: another process decides."""
    until = time.monotonic() + 40
    while True:
        result = beside("queue", "result", call_id, "-c", connection)
        if result.exit_code != 75 or time.monotonic() > until:
            return result


def test_a_durable_call_from_its_submission_to_its_result(beside: Command) -> None:
    """The id alone is on stdout; the result is the output that a call would have had."""
    taken = beside("call", "acme.account.get", "--submit", "-c", "alice")
    assert taken.exit_code == 0, taken.stderr
    call_id = taken.stdout.strip()
    assert "taken, waits its turn" in taken.stderr
    assert f"sidecar queue result {call_id} -c alice" in taken.stderr
    assert ended(beside, call_id, "alice").stdout == '{"ok":true,"login":"anna"}\n'
    shown = beside("queue", "show", call_id)
    assert "acme.account.get, as alice" in shown.stdout
    listed = said(beside("queue", "list", "--stage", "done", "--json"))
    assert call_id in {call["call_id"] for call in listed["calls"]}


def test_one_that_waits_for_its_time(beside: Command) -> None:
    """It is listed with the moment, and asking for its result says to ask again."""
    taken = beside("call", "acme.account.get", "--submit", "--not-before", "2099-01-01T00:00:00Z")
    assert taken.exit_code == 64
    assert "more than 90 days ahead" in taken.stderr
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    call_id = said(beside("call", "acme.account.get", "--submit", "--not-before", soon, "--json"))["call_id"]
    assert f"until {soon[:-1]}" in beside("queue", "list", "--stage", "waiting").stdout
    waiting = beside("queue", "result", call_id)
    assert waiting.exit_code == 75
    assert "its time has not come" in waiting.stderr


def test_one_that_waits_is_cancelled(beside: Command) -> None:
    """With nothing changed, which is its result; a second time there is nothing to cancel."""
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    call_id = said(beside("call", "acme.account.get", "--submit", "--not-before", soon, "--json"))["call_id"]
    cancelled = beside("queue", "cancel", call_id)
    assert (cancelled.exit_code, cancelled.stdout) == (0, "cancelled: nothing was changed\n")
    ended = beside("queue", "result", call_id)
    assert "CANCELLED_BY_CALLER" in ended.stderr
    assert "nothing was sent" in ended.stderr
    again = beside("queue", "cancel", call_id)
    assert again.exit_code == 66
    assert f"sidecar queue show {call_id}" in again.stderr


def test_one_that_failed_for_good_is_driven_again(beside: Command) -> None:
    """Its failure is its result; driven again it runs anew."""
    call_id = beside("call", "acme.account.get", "--submit", "-c", "nobody").stdout.strip()
    failed = ended(beside, call_id, "nobody")
    assert failed.exit_code == 77
    assert "NO_CREDENTIAL" in failed.stderr
    assert f"sidecar queue redrive {call_id}" in beside("queue", "show", call_id).stdout
    assert said(beside("queue", "redrive", call_id, "--json")) == {"redriven": [call_id], "refused": {}}
    assert ended(beside, call_id, "nobody").exit_code == 77
    every = beside("queue", "redrive", "--all", "-c", "nobody")
    assert (every.exit_code, every.stdout) == (0, "1 durable call waiting again\n")


@pytest.mark.parametrize("words", [("show", NOWHERE), ("result", NOWHERE), ("redrive", NOWHERE)])
def test_a_call_that_nobody_knows(beside: Command, words: tuple[str, str]) -> None:
    """It is not found, and that is told."""
    result = beside("queue", *words)
    assert result.exit_code == 66
    assert "UNKNOWN_CALL" in result.stderr


def test_what_cannot_run_is_refused_at_once(beside: Command) -> None:
    """Nothing waits that could never be done."""
    refused = beside("call", "acme.items.create", "{}", "--submit")
    assert refused.exit_code == 64
    assert "is required" in refused.stderr
