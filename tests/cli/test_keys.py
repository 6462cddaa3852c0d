"""`sidecar keys`: keys are made and ordered in files; records move under the newest while a real sidecar serves."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.key_file import add_key, read_key_file
from sidecar.cli.key_batches import Total, Unopened
from sidecar.cli.key_text import listed_text, rotated_text
from tests.cli.conftest import Command, Served, said

MILK = '{"list": "home", "title": "Milk"}'
SERVER = "https://server.example"


def total(**changed: Any) -> Total:
    facts: dict[str, Any] = {
        "keys": ("k2",),
        "held": ("k1", "k2"),
        "records": {"k2": 1200},
        "rewrapped": 1200,
        "left": 0,
        "failed": (),
        "removable": ("k1",),
        "complete": True,
    }
    return Total(**(facts | changed))


def import_for(beside: Command, tenant: str, *connections: str) -> None:
    for connection in connections:
        words = ["import", "acme", "--tenant", tenant, "-c", connection, "--base-url", SERVER, "--from-file", "-"]
        assert beside("connection", *words, input="test-token").exit_code == 0


def test_a_rotation_from_one_key_to_the_next(beside: Command, served: Served) -> None:
    """A new key is taken up, every record moves under it, and the old one is named as not needed any more."""
    import_for(beside, "rotating", "a", "b", "c")
    first = said(beside("keys", "list", "--tenant", "rotating", "--json"))
    [old] = first["held"]
    assert first["records"] == {old: 3}
    once = ("call", "acme.items.create", MILK, "--tenant", "rotating", "-c", "a", "--idempotency-key", "milk", "--json")
    created = beside(*once)
    assert created.exit_code == 0, created.stderr
    made = beside("keys", "new", "--tenant", "rotating")
    assert made.exit_code == 0
    assert "next      sidecar keys rotate" in made.stdout
    rotated = said(beside("keys", "rotate", "--tenant", "rotating", "--json"))
    [newest] = rotated["keys"]
    assert newest != old
    assert (rotated["rewrapped"], rotated["left"], rotated["failed"]) == (4, 0, [])
    assert (rotated["records"], rotated["removable"], rotated["complete"]) == ({newest: 4}, [old], True)
    file = Path(served.data_dir) / "keys" / "rotating"
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith(old)))
    called = beside("call", "acme.account.get", "--tenant", "rotating", "-c", "a")
    assert called.exit_code == 0, called.stderr
    assert beside(*once).stdout == created.stdout
    again = beside("keys", "rotate", "--tenant", "rotating")
    assert "0 records of tenant rotating re-wrapped in" in again.stdout
    assert f"all 4 are under {newest}" in again.stdout


def test_a_key_beside_a_sandbox(sidecar: Command, tmp_path: Path) -> None:
    """Without FILE a new key goes where the sidecar that runs looks, which is the sandbox's where only that runs."""
    sandbox = tmp_path / "data" / "sandbox"
    sandbox.mkdir(parents=True)
    (sandbox / "sidecar.lock").write_text(str(os.getpid()))
    made = said(sidecar("keys", "new", "--json", env={"SIDECAR_DATA_DIR": str(tmp_path / "data")}))
    assert made["file"] == str(sandbox / "keys" / "default")


def test_to_look_at_keys_makes_none(beside: Command, served: Served) -> None:
    """Of a tenant that is misspelt nothing is listed, and no key of it is there afterwards."""
    for verb in ("list", "rotate"):
        refused = beside("keys", verb, "--tenant", "typo1")
        assert refused.exit_code != 0
        assert "KEY_UNAVAILABLE" in refused.stderr
        assert "tenant 'typo1' has no key here" in refused.stderr
    assert not (Path(served.data_dir) / "keys" / "typo1").exists()


def test_a_key_that_is_only_printed(sidecar: Command) -> None:
    """For machines as JSON: its id, and the line of the file."""
    made = said(sidecar("keys", "new", "-", "--json"))
    assert made["line"].startswith(f"{made['key']} ")


def test_a_record_that_no_key_opens(beside: Command, served: Served) -> None:
    """It is named, the exit code says that something is left, and the others moved."""
    import_for(beside, "losing", "a")
    file = Path(served.data_dir) / "keys" / "losing"
    lost = next(iter(read_key_file(file)))
    file.unlink()
    add_key(file)
    assert lost not in said(beside("keys", "list", "--tenant", "losing", "--json"))["held"]
    import_for(beside, "losing", "b")
    rotated = beside("keys", "rotate", "--tenant", "losing")
    assert rotated.exit_code == 1
    assert f"SIDECAR_CREDENTIALS|losing.a.acme  KEY_UNAVAILABLE: key '{lost}' is not in the key file" in rotated.stdout
    assert "1 record not under" in rotated.stdout
    assert "not in the key file: put it back" in beside("keys", "list", "--tenant", "losing").stdout
    assert "losing" not in beside("connection", "list").stdout
    assert "KEY_UNAVAILABLE" in beside("connection", "list", "--tenant", "losing").stdout


def test_one_connection_alone(beside: Command) -> None:
    """`-c` and `--provider` name a part; one that nobody serves is told so."""
    import_for(beside, "parted", "a", "b")
    for words in (["-c", "a"], ["-c", "b", "--provider", "acme"]):
        listed = said(beside("keys", "list", "--tenant", "parted", *words, "--json"))
        assert sum(listed["records"].values()) == 1
    assert beside("keys", "list", "--tenant", "parted", "--provider", "other").exit_code == 69


def test_a_key_file_is_made_where_it_is_named(sidecar: Command, tmp_path: Path) -> None:
    """The first key, one on standby, and its turn: each says what comes next."""
    file = tmp_path / "deep" / "kek"
    first = said(sidecar("keys", "new", str(file), "--json"))
    assert first == {"file": str(file), "key": first["key"], "keys": [first["key"]]}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    standby = sidecar("keys", "new", str(file), "--standby")
    second = standby.stdout.split()[0]
    assert f"it opens, {first['key']} seals" in standby.stdout
    assert f"then sidecar keys use {second}" in standby.stdout
    assert list(read_key_file(file)) == [second, first["key"]]
    assert said(sidecar("keys", "use", second, str(file), "--json"))["keys"] == [first["key"], second]


@pytest.mark.parametrize(
    ("variables", "words", "made"),
    [
        ({"SIDECAR_KEK_FILE": "kek"}, (), "kek"),
        ({"SIDECAR_KEK_FILE": "kek", "SIDECAR_TENANT": "acme"}, (), "kek"),
        ({"SIDECAR_KEK_DIR": "keks"}, (), "keks/default"),
        ({"SIDECAR_KEK_DIR": "keks"}, ("--tenant", "acme corp"), "keks/acme.20corp"),
        ({"SIDECAR_KEK_DIR": "keks", "SIDECAR_TENANT": "acme"}, (), "keks/acme"),
        ({}, (), "nothing/keys/default"),
    ],
)
def test_the_file_of_the_settings(
    sidecar: Command, tmp_path: Path, variables: dict[str, str], words: tuple[str, ...], made: str
) -> None:
    """The one where a sidecar with these settings looks for the tenant's key."""
    assert sidecar("keys", "new", *words, env=variables).exit_code == 0
    assert (tmp_path / made).is_file()


def test_no_place_for_a_key(sidecar: Command) -> None:
    """Another tenant than the one whose file is set: refused, with what to do."""
    refused = sidecar("keys", "new", "--tenant", "acme", env={"SIDECAR_KEK_FILE": "kek"})
    assert refused.exit_code == 64
    assert "kek is that of tenant default; for several set SIDECAR_KEK_DIR" in refused.stderr


def test_a_line_for_a_pipe(sidecar: Command, tmp_path: Path) -> None:
    """`-` prints a line of a key file and writes nothing: for whoever keeps secrets elsewhere."""
    printed = sidecar("keys", "new", "-").stdout
    file = tmp_path / "kek"
    file.write_text(printed)
    file.chmod(0o600)
    assert list(read_key_file(file)) == [printed.split()[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["kek"]


def test_a_file_that_cannot_be_written(sidecar: Command, tmp_path: Path) -> None:
    """The reason is told; no traceback."""
    (tmp_path / "file").write_text("")
    refused = sidecar("keys", "new", str(tmp_path / "file" / "kek"))
    assert refused.exit_code == 64
    assert "cannot be written" in refused.stderr


def test_nobody_serves(sidecar: Command, nats_url: str) -> None:
    """Said as it is, with what to look at."""
    refused = sidecar("keys", "rotate", env={"SIDECAR_NATS_URL": nats_url})
    assert refused.exit_code == 69
    assert "no sidecar serves these records of tenant default" in refused.stderr


def test_the_end_of_a_rotation() -> None:
    """What moved, what may go, what to keep."""
    assert rotated_text("acme", total(), 2.5).splitlines() == [
        "1,200 records of tenant acme re-wrapped in 2.50 s; all 1,200 are under k2",
        "  remove    k1: no record needs it; take its line out of the key file",
        "  keep      it elsewhere as long as you keep backups of the records from before",
    ]
    left = total(
        left=1, complete=False, failed=(Unopened("B|acme.x\n.y", "CREDENTIAL_CORRUPT: changed"),), removable=()
    )
    assert rotated_text("acme", left, 0.5).splitlines() == [
        "1,200 records of tenant acme re-wrapped in 500 ms; 1 record not under k2",
        r"  B|acme.x\n.y  CREDENTIAL_CORRUPT: changed",
        "  again     sidecar keys rotate",
    ]


def test_the_list_of_keys() -> None:
    """Each key with its records and its part."""
    facts = total(held=("k0", "k1", "k2"), records={"k1": 3, "k2": 9, "kx": 1}, left=4, removable=("k0",))
    assert listed_text("acme", facts).splitlines() == [
        "tenant acme",
        "key  records",
        "k0   0        not needed any more",
        "k1   3        opens; sidecar keys rotate moves its records",
        "k2   9        newest: seals what is written",
        "kx   1        not in the key file: put it back",
    ]
