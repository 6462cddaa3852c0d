"""Sealing: opens where it was sealed and nowhere else; the key file is kept private and is never guessed at."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import msgspec
import pytest

from sidecar.adapters.cryptography_keys import (
    FileKeys,
    KeyFileError,
    create_key_file,
    open_to_others,
    read_key_file,
)
from sidecar.ports import KeyUnavailable, SealBroken

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLAIN = b'{"token":"hunter2"}'


def key_line(key_id: str, key: bytes) -> str:
    return f"{key_id} {base64.b64encode(key).decode()}\n"


@pytest.fixture
def keys() -> FileKeys:
    return FileKeys({"new": NEW})


def test_opens_what_it_sealed(keys: FileKeys) -> None:
    """Sealed bytes open at their place, and hold nothing readable."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    assert keys.open("acme", "B|k", sealed) == PLAIN
    assert b"hunter2" not in sealed


def test_never_seals_the_same_way_twice(keys: FileKeys) -> None:
    """Data key and nonces are fresh each time."""
    first, second = (msgspec.msgpack.decode(keys.seal("acme", "B|k", PLAIN)) for _ in range(2))
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, True, False, False, False, False, True]


@pytest.mark.parametrize(("tenant", "place"), [("evil", "B|k"), ("acme", "B|other"), ("acme", "C|k"), ("k", "B|acme")])
def test_does_not_open_elsewhere(keys: FileKeys, tenant: str, place: str) -> None:
    """Bytes moved to another tenant, key or bucket do not open."""
    with pytest.raises(SealBroken):
        keys.open(tenant, place, keys.seal("acme", "B|k", PLAIN))


def test_every_flipped_bit_is_seen(keys: FileKeys) -> None:
    """Whatever bit of a record is flipped, it is damaged: never opened, never another error."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    for position in range(len(sealed)):
        for bit in range(8):
            damaged = bytearray(sealed)
            damaged[position] ^= 1 << bit
            with pytest.raises(SealBroken):
                keys.open("acme", "B|k", bytes(damaged))


@pytest.mark.parametrize("sealed", [b"", b"{}", b"\x90", b"\xc1", PLAIN])
def test_what_was_never_sealed_is_refused(keys: FileKeys, sealed: bytes) -> None:
    """Other bytes in the place of a record are damage."""
    with pytest.raises(SealBroken):
        keys.open("acme", "B|k", sealed)


def test_truncated_records_are_refused(keys: FileKeys) -> None:
    """A record cut anywhere is damage."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            keys.open("acme", "B|k", sealed[:length])


def test_the_last_key_seals_and_all_open() -> None:
    """A new key is added as the last; what an older one sealed still opens while that one is there."""
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    both = FileKeys({"old": OLD, "new": NEW})
    assert both.open("acme", "B|k", sealed) == PLAIN
    assert FileKeys({"new": NEW}).open("acme", "B|k", both.seal("acme", "B|k", PLAIN)) == PLAIN


def test_a_missing_key_is_named(keys: FileKeys) -> None:
    """A record whose key is not at hand is not called damaged: the key can be put back."""
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    with pytest.raises(KeyUnavailable, match="key 'old' is not in the key file; put it back"):
        keys.open("acme", "B|k", sealed)


def test_a_newer_format_is_told(keys: FileKeys) -> None:
    """A record that a later version wrote is told as such."""
    parts = msgspec.msgpack.decode(keys.seal("acme", "B|k", PLAIN))
    with pytest.raises(SealBroken, match="format 2; this version reads 1"):
        keys.open("acme", "B|k", msgspec.msgpack.encode([2, *parts[1:]]))


def test_a_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    """The first start makes a file that only its owner reads, whatever the umask; the next one leaves it."""
    path = tmp_path / "new" / "kek"
    before = os.umask(0)
    try:
        create_key_file(path)
    finally:
        os.umask(before)
    made = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    create_key_file(path)
    assert path.read_bytes() == made
    assert [file.name for file in path.parent.iterdir()] == ["kek"]


def test_two_key_files_have_keys_of_different_names(tmp_path: Path) -> None:
    """A record of a key file that was lost is told as one whose key is missing, not as damaged."""
    create_key_file(tmp_path / "a")
    create_key_file(tmp_path / "b")
    sealed = read_key_file(tmp_path / "a").seal("acme", "B|k", PLAIN)
    with pytest.raises(KeyUnavailable):
        read_key_file(tmp_path / "b").open("acme", "B|k", sealed)


def test_reads_keys_with_comments(tmp_path: Path) -> None:
    """Comments and empty lines are skipped; the last line's key seals."""
    path = tmp_path / "kek"
    path.write_text(f"# ours\n\n{key_line('old', OLD)}{key_line('new', NEW)[:-1]}  # since May\n")
    path.chmod(0o600)
    keys = read_key_file(path)
    assert keys.newest == "new"
    assert keys.open("acme", "B|k", FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)) == PLAIN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o644, 0o777])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others is a refusal that says how to mend it."""
    path = tmp_path / "kek"
    create_key_file(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=rf"open to others \(mode {mode:o}\); run: chmod 600 {path}"):
        read_key_file(path)


@pytest.mark.parametrize(
    ("mode", "owner", "us", "refused"),
    [
        (0o600, 1000, 1000, False),
        (0o400, 0, 1000, False),
        (0o440, 0, 1000, False),  # a Kubernetes Secret with fsGroup
        (0o460, 0, 1000, True),
        (0o444, 0, 1000, True),
        (0o440, 0, 0, True),
        (0o440, 1000, 1000, True),
    ],
)
def test_who_may_read_a_key_file(mode: int, owner: int, us: int, refused: bool) -> None:
    """A group may read root's file, so that a mounted Secret reaches a process that is not root; nothing more."""
    assert open_to_others(stat.S_IFREG | mode, owner, us) is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("only\n", "line 1"),
        ("k1 c2hvcnQ=\n", "line 1"),
        ("k1 not-base64!\n", "line 1"),
        (key_line("k1", OLD) + "k2 x y\n", "line 2"),
        (key_line("k1", OLD) + key_line("k1", NEW), "line 2: id 'k1' stands there twice"),
        ("schlüssel\n", "cannot be read"),
    ],
)
def test_a_malformed_key_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """What is not understood is refused with file and line, and no key is repeated in the message."""
    path = tmp_path / "kek"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=said) as refused:
        read_key_file(path)
    assert str(path) in str(refused.value)
    assert base64.b64encode(NEW).decode() not in str(refused.value)


def test_a_missing_key_file_is_told(tmp_path: Path) -> None:
    """A file that is not there is told with how to get one."""
    with pytest.raises(KeyFileError, match="is not there; `sidecar dev` makes one"):
        read_key_file(tmp_path / "kek")
