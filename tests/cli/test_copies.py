"""`sidecar connection export`, the restore drill, and the restore, over a real nats-server."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Command, said

SERVER = "https://server.example"


def import_for(beside: Command, tenant: str, *connections: str) -> None:
    for connection in connections:
        words = ["import", "acme", "--tenant", tenant, "-c", connection, "--base-url", SERVER, "--from-file", "-"]
        assert beside("connection", *words, input="test-token").exit_code == 0


@pytest.fixture
def backup(beside: Command, tmp_path: Path) -> Path:
    """An export of tenant `saved` with two connections."""
    import_for(beside, "saved", "a", "b")
    file = tmp_path / "backup.jsonl"
    assert beside("connection", "export", str(file), "--tenant", "saved").exit_code == 0
    return file


def restore(beside: Command, file: Path, *words: str, tenant: str = "saved") -> dict[str, list[str]]:
    result = beside("connection", "import", "--from", "export", str(file), "--tenant", tenant, "--json", *words)
    facts: dict[str, list[str]] = said(result)
    return facts


def test_lost_and_put_back(beside: Command, backup: Path) -> None:
    """All records of a tenant are lost; the drill says what would come back, the restore brings it, calls go out."""
    assert beside("tenant", "delete", "saved", "--confirm", "saved").exit_code == 0
    both = ["saved.a.acme", "saved.b.acme"]
    drill = restore(beside, backup, "--dry-run")
    assert (drill["restored"], drill["kept"], drill["failed"]) == (both, [], [])
    assert beside("call", "acme.account.get", "--tenant", "saved", "-c", "a").exit_code == 77
    assert restore(beside, backup)["restored"] == both
    called = beside("call", "acme.account.get", "--tenant", "saved", "-c", "a")
    assert called.exit_code == 0, called.stderr
    assert restore(beside, backup)["kept"] == both


def test_the_file_is_its_owner_s_and_holds_no_secret(backup: Path) -> None:
    """Sealed records, each with its place; nobody else of this machine reads it."""
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    text = backup.read_text()
    assert "test-token" not in text
    head, *_, end = [msgspec.json.decode(line) for line in text.splitlines()]
    assert (head["tenant"], end) == ("saved", {"records": 2})


def test_what_an_export_says(beside: Command, tmp_path: Path) -> None:
    """How many, under which keys, what to keep, how to drill; and never over a file that is there."""
    import_for(beside, "said", "a")
    file = tmp_path / "said.jsonl"
    done = beside("connection", "export", str(file), "--tenant", "said", "-c", "a")
    assert "1 connection of tenant said" in done.stdout
    assert "keep" in done.stdout
    assert f"sidecar connection import --from export {file} --dry-run" in done.stdout
    again = beside("connection", "export", str(file), "--tenant", "said")
    assert again.exit_code == 64
    assert "not written over" in again.stderr


def test_a_file_that_is_not_whole(beside: Command, backup: Path) -> None:
    """A copy that was cut off is refused before anything is put back."""
    lines = backup.read_text().splitlines()
    for cut, told in ((lines[:-1], "not whole"), ([lines[0], lines[-1]], "0 of 2 records"), ([], "is empty")):
        backup.write_text("\n".join(cut))
        refused = beside("connection", "import", "--from", "export", str(backup), "--tenant", "saved")
        assert refused.exit_code == 64
        assert told in refused.stderr


def test_another_tenant_s_file(beside: Command, backup: Path) -> None:
    """A record goes back to its own tenant; the message says which that is."""
    refused = beside("connection", "import", "--from", "export", str(backup), "--tenant", "other")
    assert refused.exit_code == 64
    assert "--tenant saved" in refused.stderr


def test_a_record_that_was_changed(beside: Command, backup: Path) -> None:
    """It is named, with why; the others go back; exit code 1."""
    assert beside("tenant", "delete", "saved", "--confirm", "saved").exit_code == 0
    head, first, *rest = backup.read_text().splitlines()
    copy = msgspec.json.decode(first)
    copy["sealed"] = copy["sealed"][:-12] + "AAAAAAAAAAA="
    backup.write_text("\n".join([head, msgspec.json.encode(copy).decode(), *rest]))
    done = beside("connection", "import", "--from", "export", str(backup), "--tenant", "saved")
    assert done.exit_code == 1
    assert "1 put back" in done.stdout
    assert "saved.a.acme  CREDENTIAL_CORRUPT" in done.stdout
