"""The file that holds the key-encryption keys (KEKs) of a tenant: read, made, given one more key.

One key a line, `<id> <32 bytes in base64>`; `#` starts a comment. The last key seals, all open: a new key becomes the
last line, and an older one stays until nothing is sealed with it.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEY_BYTES = 32
MAX_BYTES = 1 << 20  # a file of keys is never so long; a device is
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
GROUP_READS = stat.S_IRGRP
PRIVATE = 0o600


class KeyFileError(Exception):
    """The key file cannot be used; the message names the file and what to do."""


def read_key_file(path: Path) -> dict[str, bytes]:
    """The keys by id, in the order of a file that only its owner may read. Raises KeyFileError."""
    try:
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(MAX_BYTES)
        text = content.decode("ascii")
    except FileNotFoundError:
        raise KeyFileError(f"key file {path} is not there; make one: sidecar keys new {path}") from None
    except OSError as error:
        raise KeyFileError(f"key file {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise KeyFileError(f"key file {path} cannot be read: it is not ASCII") from error
    if open_to_others(status.st_mode, status.st_uid, os.geteuid()):
        raise KeyFileError(
            f"key file {path} is open to others (mode {status.st_mode & 0o777:o}); run: chmod 600 {path}"
        )
    return _keys(path, text)


def new_key_line() -> tuple[str, str]:
    """A new key: its id, and its line. The id is random, so that a record of another file's key is told as one whose
    key is missing, not as damaged.
    """
    key_id = f"k{secrets.token_hex(4)}"
    return key_id, f"{key_id} {base64.b64encode(os.urandom(KEY_BYTES)).decode()}\n"


def create_key_file(path: Path) -> None:
    """Make a file with one new key, readable by its owner alone; leave a file that is there as it is.

    Whole and on the disk before it has its name: what was sealed with a lost key is lost.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = _written(path, new_key_line()[1], PRIVATE)
    try:
        path.hardlink_to(fresh)  # fails where a file is, however it came there
    except FileExistsError:
        return
    finally:
        fresh.unlink()
    _sync(path.parent)


def add_key(path: Path, *, standby: bool = False) -> str:
    """Give the file one more key, as its last line, or make the file; returns the key's id. Raises KeyFileError.

    On `standby` it stands above the last line: it opens what others seal with it, and seals nothing itself yet.
    """
    key_id, line = new_key_line()

    def added(lines: list[str]) -> list[str]:
        last = max((number for number, text in enumerate(lines) if _words(text)), default=len(lines))
        return [*lines[:last], line, *lines[last:]] if standby else [*lines, line]

    _rewrite(path, added)
    return key_id


def use_key(path: Path, key_id: str) -> None:
    """Make a key of the file its last one. Raises KeyFileError."""

    def moved(lines: list[str]) -> list[str]:
        own = next((text for text in lines if _words(text)[:1] == [key_id]), None)
        if own is None:
            raise KeyFileError(f"key file {path} has no key {key_id[:64]!r}; it has {', '.join(read_key_file(path))}")
        return [*(text for text in lines if text is not own), own]

    _rewrite(path, moved)


def _rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Replace the file as a whole, so that nobody reads half of it; one that is wrong stays as it is."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(path.parent):
            there = path.exists()
            if there:
                read_key_file(path)
            lines = path.read_text(encoding="ascii").splitlines() if there else []
            mode = stat.S_IMODE(path.stat().st_mode) if there else PRIVATE
            text = "".join(f"{line.rstrip()}\n" for line in change(lines))
            _written(path, text, mode).replace(path)
            _sync(path.parent)
    except OSError as error:
        raise KeyFileError(f"key file {path} cannot be written: {error.strerror or error}") from error


def open_to_others(mode: int, owner: int, us: int) -> bool:
    """Whether others may use a file of this mode, or its group; root's file may be read by our group.

    So a Kubernetes Secret reaches a process that is not root.
    https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod
    """
    allowed = GROUP_READS if owner == 0 and us != 0 else 0
    return bool(mode & OPEN_TO_OTHERS & ~allowed)


def _keys(path: Path, text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = _words(line)
        if words:
            key_id, key = _key(path, number, words)
            if key_id in keys:
                raise KeyFileError(
                    f"key file {path}, line {number}: id {key_id!r} stands there twice; name each key once"
                )
            keys[key_id] = key
    if not keys:
        raise KeyFileError(f"key file {path} holds no key; a line is `<id> <32 bytes in base64>`")
    return keys


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _key(path: Path, number: int, words: list[str]) -> tuple[str, bytes]:
    """One line's key. A message never repeats the line: it may hold the key."""
    try:
        key_id, encoded = words
        key = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        key_id, key = "", b""
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"key file {path}, line {number}: a line is `<id> <32 bytes in base64>`")
    return key_id, key


def _written(path: Path, text: str, mode: int) -> Path:
    """A file beside this one with this text, on the disk."""
    fresh = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    return fresh


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time: of two keys added at once, neither is lost."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
