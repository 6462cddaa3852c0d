"""A command whose NATS login lacks a right is told at once which, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click.testing
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from sidecar.cli import main
from sidecar.nats_config import OWN, SHARED
from tests.permissions.matrix import one_sidecar
from tests.permissions.place import Form, Place, place


class Commands:
    """The command line as the users of the single-account configuration run it."""

    def __init__(self, there: Place, patch: pytest.MonkeyPatch) -> None:
        self._there = there
        self._patch = patch

    def __call__(self, user: str, *words: str, **settings: str) -> click.testing.Result:
        url, _ = self._there.address(user)
        inbox = self._there.users[user][0].holder.inbox
        with self._patch.context() as patch:
            for name, value in {"nats_url": url, "inbox_prefix": inbox, "tenant": SHARED, **settings}.items():
                patch.setenv(f"SIDECAR_{name.upper()}", value)
            return click.testing.CliRunner().invoke(main, words, prog_name="sidecar")


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio", {"use_uvloop": True}) as it:
        yield it


@pytest.fixture(scope="module")
def single(portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = partial(place, Form.SINGLE, tmp_path_factory.mktemp("single"))
    with portal.wrap_async_context_manager(portal.call(made)) as there:
        yield there


@pytest.fixture
def commands(single: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    monkeypatch.chdir(tmp_path)
    return Commands(single, monkeypatch)


def test_a_call_without_the_right(commands: Commands) -> None:
    """Another tenant's call: not allowed (77), nothing sent, the subject, and where rights are printed."""
    result = commands(f"{SHARED}-agent", "call", "github.issues.list", "{}", "-c", "alice", "--tenant", OWN)
    assert result.exit_code == 77
    assert "PERMISSION_DENIED / NATS_DENIED" in result.stderr
    assert "nothing was sent" in result.stderr
    assert f"sidecar.catalog.{OWN}.describe.github.issues.list" in result.stderr
    assert "sidecar setup --permissions" in result.stderr


def test_an_operator_s_verb_without_the_right(commands: Commands) -> None:
    """An agent that would change a connection: nothing happened, and that is known."""
    result = commands(f"{SHARED}-agent", "connection", "revoke", "github", "-c", "alice")
    assert result.exit_code == 77
    assert "OUTCOME_UNKNOWN" not in result.stderr


def test_the_inbox_of_somebody_else(commands: Commands) -> None:
    """A login without the right to its inbox is told which setting is meant, not that the server is down."""
    result = commands(f"{SHARED}-agent", "call", "github.issues.list", "{}", "-c", "alice", inbox_prefix="_INBOX")
    assert result.exit_code == 77
    assert "SIDECAR_INBOX_PREFIX" in result.stderr


def test_the_doctor_of_an_operator(commands: Commands) -> None:
    """What this login may not look at is no fault of the installation."""
    result = commands(f"{SHARED}-operator", "doctor")
    (line,) = (text for text in result.stdout.splitlines() if "JetStream" in text)
    assert line.startswith("warn")
    assert "may not" in line
    assert "switch JetStream on" not in result.stdout


def test_a_sidecar_with_the_inbox_of_somebody_else(commands: Commands) -> None:
    """`run` ends with the setting that is meant."""
    result = commands(f"{SHARED}-sidecar", "run", inbox_prefix="_INBOX")
    assert result.exit_code == 77
    assert "SIDECAR_INBOX_PREFIX" in result.stderr


@pytest.mark.parametrize("words", [("setup",), ("setup", "--check"), ("trace", "show", "8f468d4b")])
def test_streams_that_a_login_may_not_touch(commands: Commands, words: tuple[str, ...]) -> None:
    """An agent that would make, look at or read streams: not allowed, and where rights are printed."""
    result = commands(f"{SHARED}-agent", *words)
    assert result.exit_code == 77
    assert "sidecar setup --permissions" in result.stderr


def test_a_tenant_that_a_login_may_not_delete(
    commands: Commands, portal: BlockingPortal, single: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not allowed, and told before anything is revoked: not even by who may revoke."""
    monkeypatch.setenv("A_KEY", "ghp_0123456789abcdef")
    operator, words = f"{SHARED}-operator", ("github", "-c", "kept")
    with portal.wrap_async_context_manager(one_sidecar(single, "sidecar", None)):
        imported = commands(operator, "connection", "import", *words, "--from-env", "A_KEY", "--no-verify")
        assert imported.exit_code == 0, imported.stderr
        result = commands(operator, "tenant", "delete", SHARED, "--confirm", SHARED)
        assert result.exit_code == 77
        assert "STREAM.PURGE.KV_SIDECAR_CREDENTIALS" in result.stderr
        assert "sidecar setup --permissions" in result.stderr
        assert "active" in commands(operator, "connection", "status", *words).stdout


def test_a_tenant_deleted_by_who_may_not_revoke(commands: Commands, single: Place) -> None:
    """The admin's login deletes; that no connection was revoked is said, and the exit code says that it is not all."""
    (admin,) = single.admins()
    result = commands(admin, "tenant", "delete", "gone", "--confirm", "gone")
    assert result.exit_code == 1, result.stderr
    assert "not revoked" in result.stdout
    assert "0 records deleted" in result.stdout
