"""The embedded nats-server of `sidecar dev`: the real one, on loopback, with its data in one directory.

The directory holds `nats.json` (URL with a random login, 0600), `nats.conf`, `nats.log` and `jetstream/`.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from sidecar.adapters.nats_binary import find_server
from sidecar.adapters.nats_directory import (
    ANY_PORT,
    Login,
    ServerError,
    held,
    read_login,
    read_url,
    write_login,
    write_private,
)
from sidecar.adapters.nats_process import ServerProcess, start, stop_orphan

__all__ = ["EmbeddedServer", "ServerError", "embedded_server", "read_url"]

READY_SECONDS = 30.0
MAX_PAYLOAD = 1024 * 1024
LOG_BYTES = 16 * 1024 * 1024
FIRST_PAUSE = 0.1
MAX_PAUSE = 5.0
TAIL_LINES = 15
HOST = "127.0.0.1"


@asynccontextmanager
async def embedded_server(
    data_dir: Path, log: logging.Logger, *, max_payload: int = MAX_PAYLOAD, search_path: str | None = None
) -> AsyncIterator[EmbeddedServer]:
    """A nats-server, ready, until the block ends; should it die it is started again, on the same port.

    Raises ServerError: no program is new enough, the directory is in use or not ours to write, or it does not start.
    """
    failed: BaseException | None = None
    with held(data_dir) as (home, lock):
        server = EmbeddedServer(home, log, await find_server(log, search_path), max_payload, lock)
        await server.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.keep_running)
                try:
                    yield server
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # noqa: BLE001 - raised below as it is, not wrapped by the task group
                    failed = error
                tasks.cancel_scope.cancel()
        finally:
            await server.stop()
    if failed is not None:
        raise failed


class EmbeddedServer:
    """A server that runs: `url` holds the login, `restarts` counts how often it had to be started again."""

    def __init__(self, data_dir: Path, log: logging.Logger, program: Path, max_payload: int, lock: int) -> None:
        self.restarts = 0
        self.process: ServerProcess | None = None
        self._dir = data_dir
        self._log = log
        self._program = program
        self._max_payload = max_payload
        self._lock = lock
        self._login = read_login(data_dir) or Login("sidecar", secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        return self._login.url

    async def start(self) -> None:
        """The first start: on the port of the last run if it is free, else on any. Raises ServerError."""
        orphan = await stop_orphan(self._lock)
        if orphan is not None:
            self._log.warning("stopped the nats-server of an earlier run that had lost its parent (process %d)", orphan)
        try:
            await self._launch()
        except ServerError:
            if self._login.port == ANY_PORT:
                raise
            self._login.port = ANY_PORT
            await self._launch()

    async def keep_running(self) -> None:
        """Start the server again whenever it ends, and its watchdog too."""
        while True:
            process = self.process
            if process is not None:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._keep_watched, process)
                    status = await process.wait()
                    tasks.cancel_scope.cancel()
                self._log.error("the embedded nats-server ended (status %d); starting it again", status)
                await self.stop()
            await self._relaunch()

    async def stop(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            await process.stop()

    async def _keep_watched(self, process: ServerProcess) -> None:
        while await process.watch():
            self._log.warning("the watchdog of the embedded nats-server was gone; started another")

    async def _relaunch(self) -> None:
        """On the same port, so that clients find it again; as often as it takes."""
        pause = FIRST_PAUSE
        while True:
            self.restarts += 1
            try:
                return await self._launch()
            except ServerError as error:
                self._log.error("the embedded nats-server did not start again: %s", error)
            await anyio.sleep(pause)
            pause = min(MAX_PAUSE, pause * 2)

    async def _launch(self) -> None:
        """One start: config, process, ready; then the URL is written down. Raises ServerError."""
        try:
            for stale in self._dir.glob("*.ports"):
                stale.unlink(missing_ok=True)
            write_private(self._dir / "nats.conf", self._config())
            process = await start(self._program, self._dir / "nats.conf", self._dir / "nats.log", self._lock)
            try:
                self._login.port = await self._ready(process)
                self._login.url = f"nats://{self._login.user}:{self._login.password}@{HOST}:{self._login.port}"
                write_login(self._dir, self._login)
            except BaseException:
                await process.stop()
                raise
        except OSError as error:
            raise ServerError(f"the nats-server could not be started in {self._dir}: {error}") from error
        self.process = process

    async def _ready(self, process: ServerProcess) -> int:
        """The port it listens on, which it writes into a file once it accepts clients."""
        with anyio.move_on_after(READY_SECONDS):
            while process.running:
                for file in self._dir.glob(f"*_{process.pid}.ports"):
                    with contextlib.suppress(msgspec.DecodeError):  # half written
                        urls = msgspec.json.decode(file.read_bytes(), type=dict[str, list[str]])["nats"]
                        return int(urls[0].rpartition(":")[2])
                await anyio.sleep(0.005)
        what = f"was not ready within {READY_SECONDS:g} s" if process.running else "ended at once"
        log_file = self._dir / "nats.log"
        raise ServerError(f"{self._program} {what}; the end of {log_file}:\n{_tail(log_file)}")

    def _config(self) -> bytes:
        """JSON, which is a legal configuration. https://docs.nats.io/running-a-nats-service/configuration"""
        return msgspec.json.encode(
            {
                "server_name": "sidecar-dev",
                "host": HOST,
                "port": self._login.port,
                "ports_file_dir": str(self._dir),
                "log_file": str(self._dir / "nats.log"),
                "logfile_size_limit": LOG_BYTES,
                "logfile_max_num": 1,
                "max_payload": self._max_payload,
                "authorization": {"user": self._login.user, "password": self._login.password},
                # The default writes to disk every two minutes: a power cut would take acknowledged writes with it.
                # https://docs.nats.io/running-a-nats-service/configuration#jetstream
                "jetstream": {"store_dir": str(self._dir), "sync_interval": "always"},
            }
        )


def _tail(log_file: Path) -> str:
    try:
        lines = log_file.read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-TAIL_LINES:])
