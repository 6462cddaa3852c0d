"""One run of a nats-server that cannot outlive us, however we end: kill -9 included, on Linux and macOS.

A watchdog, a few lines of sh, reads a pipe of which only we hold the other end. As soon as there is a process for the
server we write its pid into that pipe, so the watchdog knows whom to stop, and only then let it become the server; at
the end of the pipe the watchdog stops it. The server is never given that end, not even for a moment: uvloop leaves a
copy of what it hands over open. Should the watchdog be killed, another takes over (`watch`); should it be killed
together with us, the server still holds a lock that the next start finds (`stop_orphan`). All run in sessions of their
own: Ctrl-C in a terminal reaches us alone, and we stop the server after the sidecar drained.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import Process

from sidecar.adapters.nats_directory import ServerError

WATCHDOG = """
read -r server || exit 0
while read -r _; do :; done
kill -TERM "$server" 2>/dev/null
for _ in 1 2 3 4 5; do sleep 1; kill -0 "$server" 2>/dev/null || exit 0; done
kill -KILL "$server" 2>/dev/null
"""
LAUNCH = 'read -r _ || exit 0; umask 077; log=$1; shift; exec "$@" </dev/null >>"$log" 2>&1'
STOP_SECONDS = 5.0


class ServerProcess:
    """A nats-server started by `start`."""

    def __init__(self, process: Process, watchdog: Process, pipe: int) -> None:
        self._process = process
        self._watchdog = watchdog
        self._pipe = pipe

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def watchdog_pid(self) -> int:
        return self._watchdog.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """The exit status, once it ended."""
        return await self._process.wait()

    async def watch(self) -> bool:
        """Return when the watchdog ended; True when another was put in its place, False when the server ended too."""
        await self._watchdog.wait()
        if not self.running:
            return False
        reader, writer = os.pipe()
        os.write(writer, f"{self.pid}\n".encode())
        with anyio.CancelScope(shield=True):
            fresh = await _watchdog(reader)
        if self._process.returncode is not None:
            fresh.kill()
            os.close(writer)
            return False
        os.close(self._pipe)
        self._watchdog, self._pipe = fresh, writer
        return True

    async def stop(self) -> None:
        """Ask it to end, then make it."""
        with anyio.CancelScope(shield=True):
            if self.running:
                self._process.terminate()
                with anyio.move_on_after(STOP_SECONDS):
                    await self._process.wait()
            if self.running:
                self._process.kill()
            await self._process.wait()
            # Before the pipe ends: at its end the watchdog would signal a pid that is no longer the server's.
            if self._watchdog.returncode is None:
                self._watchdog.kill()
            await self._watchdog.wait()
            os.close(self._pipe)


async def start(program: Path, config: Path, log_file: Path, lock: int) -> ServerProcess:
    """Start the server. It inherits `lock`, a descriptor with a flock, and so holds that lock while it lives."""
    command = ["/bin/sh", "-c", LAUNCH, "sh", str(log_file), str(program), "-c", str(config)]
    reader, writer = os.pipe()
    with anyio.CancelScope(shield=True):
        try:
            watchdog = await _watchdog(reader)
            waiting, begin = os.pipe()
            try:
                process = await _child(command, waiting, pass_fds=(lock,))
                # The watchdog may have been killed already: `watch` puts another there.
                with contextlib.suppress(BrokenPipeError):
                    os.write(writer, f"{process.pid}\n".encode())
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(process.pid).encode(), 0)
                os.write(begin, b"\n")
            finally:
                os.close(begin)  # without a word in it no server begins
        except BaseException:
            os.close(writer)  # which ends the watchdog
            raise
    return ServerProcess(process, watchdog, writer)


async def stop_orphan(lock: int) -> int | None:
    """Stop the server that holds `lock` although its parent is gone; its pid, if there was one.

    On return we hold the lock. Raises ServerError when the server does not end.
    """
    if _locked(lock):
        return None
    pid = int(os.pread(lock, 20, 0) or b"0")
    for number in (signal.SIGTERM, signal.SIGKILL):
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with anyio.move_on_after(STOP_SECONDS):
            while not _locked(lock):  # noqa: ASYNC110 - another process lets it go
                await anyio.sleep(0.02)
            return pid
    raise ServerError(f"the nats-server of an earlier run (process {pid}) holds the data directory and does not end")


async def _watchdog(reader: int) -> Process:
    return await _child(["/bin/sh", "-c", WATCHDOG], reader)


async def _child(command: Sequence[str], reader: int, pass_fds: Sequence[int] = ()) -> Process:
    """A process that reads what is ours to write. Its end of the pipe is its own from now on."""
    try:
        return await anyio.open_process(
            command,
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    finally:
        os.close(reader)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
