"""The key file: kept private, never guessed at, never lost; a key is added, none taken away."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.key_file import KeyFileError, add_key, create_key_file, open_to_others, read_key_file, use_key
from sidecar.ports import KeyUnavailable

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLAIN = b'{"token":"hunter2"}'


def key_line(key_id: str, key: bytes) -> str:
    return f"{key_id} {base64.b64encode(key).decode()}\n"


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
    sealed = FileKeys(read_key_file(tmp_path / "a")).seal("acme", "B|k", PLAIN)
    with pytest.raises(KeyUnavailable):
        FileKeys(read_key_file(tmp_path / "b")).open("acme", "B|k", sealed)


def test_a_key_is_added_as_the_last(tmp_path: Path) -> None:
    """What stood in the file stays as it was, also a last line without an end; its rights too."""
    path = tmp_path / "new" / "kek"
    first = add_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"# ours\n" + path.read_bytes()[:-1])
    path.chmod(0o400)
    second = add_key(path)
    assert list(read_key_file(path)) == [first, second]
    assert path.read_text().startswith("# ours\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert [file.name for file in path.parent.iterdir()] == ["kek"]


def test_a_key_on_standby_opens_and_seals_later(tmp_path: Path) -> None:
    """It stands above the last line until it is told to seal; comments stay."""
    path = tmp_path / "kek"
    first = add_key(path)
    path.write_text(f"{path.read_text()}# the end\n")
    path.chmod(0o600)
    second = add_key(path, standby=True)
    assert list(read_key_file(path)) == [second, first]
    use_key(path, second)
    assert list(read_key_file(path)) == [first, second]
    assert "# the end\n" in path.read_text()


def test_a_key_that_is_not_there_cannot_be_used(tmp_path: Path) -> None:
    """Those that are there are named, and the file stays."""
    path = tmp_path / "kek"
    first = add_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match=f"has no key 'nothing'; it has {first}"):
        use_key(path, "nothing")
    assert path.read_bytes() == before


def test_nothing_is_added_to_a_file_that_is_wrong(tmp_path: Path) -> None:
    """It is told, and stays as it is."""
    path = tmp_path / "kek"
    path.write_text("k1 short\n")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="line 1"):
        add_key(path)
    assert path.read_text() == "k1 short\n"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """With the file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match=f"key file {tmp_path}/file/kek cannot be written: "):
        add_key(tmp_path / "file" / "kek")


def test_reads_keys_with_comments(tmp_path: Path) -> None:
    """Comments and empty lines are skipped; the last line's key seals."""
    path = tmp_path / "kek"
    path.write_text(f"# ours\n\n{key_line('old', OLD)}{key_line('new', NEW)[:-1]}  # since May\n")
    path.chmod(0o600)
    assert list(read_key_file(path).items()) == [("old", OLD), ("new", NEW)]


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
        (f"{base64.b64encode(NEW).decode()}\n", "line 1"),
        (key_line("k1", NEW).replace("\n", " more\n"), "line 1"),
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
    with pytest.raises(KeyFileError, match="is not there; make one: sidecar keys new "):
        read_key_file(tmp_path / "kek")
