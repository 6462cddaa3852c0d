"""`sidecar connection status`: whether a connection can be used, and what to do where it cannot."""

from __future__ import annotations

import pytest

from sidecar.cli.connection_status import Status, status_lines
from tests.cli.conftest import Command, said


def test_one_that_serves_and_one_that_is_not(beside: Command) -> None:
    """Exit code 0 and the account; exit code 1 and how to connect it."""
    assert said(beside("connection", "status", "acme", "-c", "alice", "--json"))["status"] == "active"
    assert beside("connection", "status", "acme", "-c", "alice").exit_code == 0
    missing = beside("connection", "status", "acme", "-c", "nobody")
    assert missing.exit_code == 1
    assert "sidecar connect acme -c nobody" in missing.stdout


@pytest.mark.parametrize(
    ("status", "todo"),
    [
        ("reauth_required", "sidecar connect acme -c a"),
        ("revoked", "sidecar connect acme -c a"),
        ("disabled", "sidecar connection enable acme -c a"),
        ("unreadable", "sidecar connection list acme -c a"),
    ],
)
def test_what_to_do(status: str, todo: str) -> None:
    """Every status that is no good names the next command."""
    assert todo in "\n".join(status_lines(Status("default", "a", "acme", status)))
