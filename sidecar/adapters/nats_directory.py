"""The data directory of the embedded nats-server: for one process at a time, its login in a file only we can read."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

ANY_PORT = -1
LOGIN_FILE = "nats.json"
LOCK_FILE = "sidecar.lock"


class ServerError(Exception):
    """The embedded nats-server cannot be had; the text says why and what to do."""


class Login(msgspec.Struct):
    """What `nats.json` holds. The same login and, where it is free, the same port serve the next start too."""

    user: str
    password: str
    port: int = ANY_PORT
    url: str = ""


def read_login(data_dir: Path) -> Login | None:
    """The login of the last start; None when there was none or the file makes no sense."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode((data_dir / LOGIN_FILE).read_bytes(), type=Login)
    return None


def read_url(data_dir: Path) -> str | None:
    """The URL, with its login, of the server that runs (or last ran) on this data directory; None if none ever did."""
    login = read_login(data_dir.expanduser())
    return login.url if login and login.url else None


def write_login(data_dir: Path, login: Login) -> None:
    write_private(data_dir / LOGIN_FILE, msgspec.json.encode(login))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only we may read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def in_use(data_dir: Path) -> bool:
    """Whether the process that last took this directory still runs. A question only: nothing is locked for it."""
    try:
        owner = int((data_dir.expanduser() / LOCK_FILE).read_text())
        os.kill(owner, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True  # it runs, as somebody else
    return True


@contextmanager
def held(data_dir: Path) -> Iterator[tuple[Path, int]]:
    """The directory, made if need be, for us alone until the block ends, and the lock that the server is to hold.

    That lock (`server.lock`) outlives us with the server, where `sidecar.lock` does not: so the next start can tell a
    directory in use from one whose server was left behind. Raises ServerError when another process holds it.
    """
    data_dir = data_dir.expanduser().absolute()
    with contextlib.ExitStack() as files:
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            ours, servers = (files.enter_context(_opened(data_dir / name)) for name in (LOCK_FILE, "server.lock"))
        except OSError as error:
            raise ServerError(f"the data directory {data_dir} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(ours, 20, 0).decode() or "unknown"
            raise ServerError(
                f"the data directory {data_dir} is in use by process {owner}; stop it or choose another (--data-dir)"
            ) from None
        os.ftruncate(ours, 0)
        os.pwrite(ours, str(os.getpid()).encode(), 0)
        yield data_dir, servers


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
