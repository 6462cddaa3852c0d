"""The files of OAuth apps in a folder, read again when they change. They hold secrets: only their owner reads them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from sidecar.adapters.key_file import open_to_others
from sidecar.ports import AppFileError

LOOK_SECONDS = 1.0  # how often a file is looked at while it is in use
MAX_BYTES = 64 * 1024  # a description of an app is never so long; a device is

State = tuple[int, ...] | None


class AppFolder:
    """Gives the files of a folder by name.

    A file that is replaced, or is behind a symbolic link that is (as in a mounted Kubernetes Secret), is noticed within
    `LOOK_SECONDS`.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self.folder = folder
        self._now = now
        self._known: dict[str, tuple[float, State, bytes | None]] = {}

    def content(self, name: str) -> bytes | None:
        """The file's content, None where there is no such file; the same object for as long as it does not change.

        Raises AppFileError.
        """
        now = self._now()
        known = self._known.get(name)
        if known is not None and now - known[0] < LOOK_SECONDS:
            return known[2]
        path = self.folder / name
        state = _state(path)
        content = known[2] if known is not None and known[1] == state else _read(path)
        self._known[name] = (now, state, content)
        return content


def _state(path: Path) -> State:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AppFileError(f"app file {path} cannot be read: {error.strerror or error}") from None
    if open_to_others(status.st_mode, status.st_uid, os.geteuid()):
        mode = stat.S_IMODE(status.st_mode)
        raise AppFileError(f"app file {path} is open to others (mode {mode:o}); run: chmod 600 {path}")
    if len(content) > MAX_BYTES:
        raise AppFileError(f"app file {path} is longer than {MAX_BYTES} bytes; it is not the description of an app")
    return content
