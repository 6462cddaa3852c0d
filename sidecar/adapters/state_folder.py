"""Files that outlive the process: written whole or not at all, for its user alone."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

import anyio.to_thread

SUFFIX = ".tokens"

log = logging.getLogger("sidecar.auth")


def folder_problem(folder: Path) -> str | None:
    """Why nothing could be written there, or None; the folder is made if need be."""
    probe = folder / f".{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


class StateFolder:
    """`ports.StateFiles` in one folder, made when it is first needed. A power cut takes nothing that was written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, name: str, content: bytes) -> None:
        await anyio.to_thread.run_sync(partial(self._write, name, content))

    async def remove(self, name: str) -> None:
        await anyio.to_thread.run_sync(partial((self._folder / name).unlink, missing_ok=True))

    async def all(self) -> list[bytes]:
        return await anyio.to_thread.run_sync(self._all)

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._folder / f"{name}.{os.getpid()}"
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _all(self) -> list[bytes]:
        if not self._folder.is_dir():
            return []
        return [
            content
            for path in sorted(self._folder.iterdir())
            if path.suffix == SUFFIX and (content := _content(path)) is not None
        ]


def _content(path: Path) -> bytes | None:
    """None where it cannot be read, which keeps nobody from the others."""
    try:
        return path.read_bytes()
    except OSError as error:
        log.error("%s cannot be read: %s", path, error.strerror)  # noqa: TRY400  # its text says it all
        return None
