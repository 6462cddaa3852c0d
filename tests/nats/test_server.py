"""The embedded nats-server: found, ready, private, restarted, and never left behind."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.adapters.nats_bus import connect
from sidecar.adapters.nats_process import start
from sidecar.adapters.nats_server import ServerError, embedded_server, read_url
from tests.fixtures_nats import state_of, until

pytestmark = pytest.mark.anyio

log = logging.getLogger("tests.nats")

CHILD = """
import anyio, logging, subprocess, sys
from pathlib import Path
from sidecar.adapters.nats_server import embedded_server
async def main():
    async with embedded_server(Path(sys.argv[1]), logging.getLogger()) as server:
        sibling = subprocess.Popen(["sleep", "60"], close_fds=False, start_new_session=True, stdout=subprocess.DEVNULL)
        print(server.process.pid, server.process.watchdog_pid, sibling.pid, flush=True)
        await anyio.sleep_forever()
anyio.run(main, backend_options={"use_uvloop": True})  # as in production: it leaves more open in its children
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A process of its own that runs an embedded server on `tmp_path/data`; its pid, the server's, the watchdog's."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        server, watchdog, sibling = map(int, process.stdout.readline().split())
        yield process, server, watchdog
        process.kill()
        for left in (sibling, server):
            if _alive(left):
                os.kill(left, signal.SIGKILL)


async def ended(pid: int) -> None:
    """Return when the process is gone (or a zombie that nobody reaps)."""
    await until(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    return state_of(pid)[:1] not in ("", "Z")


async def test_is_ready_when_the_block_begins(tmp_path: Path) -> None:
    """The URL works at once, JetStream included, and only on loopback."""
    async with embedded_server(tmp_path / "data", log) as server:
        assert server.url.startswith("nats://sidecar:")
        assert "@127.0.0.1:" in server.url
        bus = await connect(server.url)
        info = json.loads((await bus.request("$JS.API.INFO", b"", timeout=2)).data)
        assert "error" not in info
        await bus.close()


async def test_ends_with_the_block(tmp_path: Path) -> None:
    """After the block neither the server nor its watchdog is left."""
    async with embedded_server(tmp_path / "data", log) as server:
        assert server.process is not None
        pids = server.process.pid, server.process.watchdog_pid
    assert not any(map(_alive, pids))


async def test_an_error_of_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    """What the block raises is not wrapped, and the server is stopped all the same."""
    pids: list[int] = []

    async def block() -> None:
        async with embedded_server(tmp_path / "data", log) as server:
            assert server.process is not None
            pids.append(server.process.pid)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await block()
    assert not _alive(pids[0])


async def test_the_next_start_keeps_login_port_and_data(tmp_path: Path) -> None:
    """A client's URL serves the next run too, when its port is free."""
    async with embedded_server(tmp_path / "data", log) as first:
        url = first.url
    async with embedded_server(tmp_path / "data", log) as second:
        assert second.url == url


async def test_takes_another_port_when_the_last_one_is_taken(tmp_path: Path) -> None:
    """A port taken meanwhile does not keep the server from starting."""
    async with embedded_server(tmp_path / "data", log) as first:
        url = first.url
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        taken.listen()
        async with embedded_server(tmp_path / "data", log) as second:
            assert second.url != url
            assert read_url(tmp_path / "data") == second.url
            await (await connect(second.url)).close()


async def test_commands_find_the_url(tmp_path: Path) -> None:
    """`read_url` gives the URL of the directory's server, and None where there never was one."""
    assert read_url(tmp_path / "data") is None
    async with embedded_server(tmp_path / "data", log) as server:
        assert read_url(tmp_path / "data") == server.url


async def test_what_holds_the_password_is_private(tmp_path: Path) -> None:
    """Nobody else may read the login, the configuration or the stored messages, whatever the umask."""
    before = os.umask(0)
    try:
        async with embedded_server(tmp_path / "data", log):
            found = [path for path in (tmp_path / "data").rglob("*") if not path.name.endswith(".lock")]
            assert {"nats.json", "nats.conf", "jetstream"} <= {path.name for path in found}
            assert [path for path in (tmp_path / "data", *found) if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)


async def test_writes_reach_the_disk_before_they_are_acknowledged(tmp_path: Path) -> None:
    """JetStream runs with `sync_interval: always`."""
    async with embedded_server(tmp_path / "data", log):
        assert json.loads((tmp_path / "data/nats.conf").read_bytes())["jetstream"]["sync_interval"] == "always"


async def test_a_path_with_quotes_blanks_and_umlauts(tmp_path: Path) -> None:
    """Any directory name can hold the data."""
    data_dir = tmp_path / 'my "sidecar" $HOME größe'
    async with embedded_server(data_dir, log):
        assert (data_dir / "jetstream").is_dir()


async def test_max_payload_is_set(tmp_path: Path) -> None:
    """The server announces the max_payload asked for."""
    async with embedded_server(tmp_path / "data", log, max_payload=65536) as server:
        bus = await connect(server.url)
        assert bus.max_payload == 65536
        await bus.close()


async def test_refuses_a_directory_in_use(tmp_path: Path) -> None:
    """A second server on the same directory is refused, naming the process that has it."""
    async with embedded_server(tmp_path / "data", log):
        with pytest.raises(ServerError, match=f"in use by process {os.getpid()}"):
            async with embedded_server(tmp_path / "data", log):
                pass


async def test_refuses_what_is_not_a_directory(tmp_path: Path) -> None:
    """A file in the place of the data directory is told in words."""
    (tmp_path / "data").write_text("")
    with pytest.raises(ServerError, match="cannot be used"):
        async with embedded_server(tmp_path / "data", log):
            pass


async def test_an_old_server_on_the_path_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An old nats-server on the PATH is named in the log, and the package's own is taken."""
    old = _program(tmp_path / "bin", "echo 'nats-server: v2.10.29'")
    async with embedded_server(tmp_path / "data", log, search_path=str(old.parent)) as server:
        assert server.url
    assert f"passed over {old}: it says 2.10.29, needed is >= 2.15" in caplog.text


async def test_a_new_server_on_the_path_comes_first(tmp_path: Path) -> None:
    """A nats-server >= 2.15 on the PATH is taken before the package's."""
    new = _program(tmp_path / "bin", "[ $1 = --version ] && echo 'nats-server: v2.16.0' || { echo 'I am it'; exit 3; }")
    with pytest.raises(ServerError, match=r"(?s)bin/nats-server ended at once.*I am it"):
        async with embedded_server(tmp_path / "data", log, search_path=str(new.parent)):
            pass


async def test_a_server_that_dies_is_started_again_on_its_port(tmp_path: Path) -> None:
    """After kill -9 of the server a client that was connected is served again, at the same URL."""
    async with embedded_server(tmp_path / "data", log) as server:
        url = server.url
        bus = await connect(url)
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGKILL)
        await until(lambda: bus.counts.reconnects)
        await bus.round_trip(10)
        assert server.url == url
        assert server.restarts == 1
        await bus.close()


async def test_ends_with_a_parent_that_was_killed(child: tuple[subprocess.Popen[str], int, int]) -> None:
    """After kill -9 of the parent neither server nor watchdog is left, though another child of the parent lives on."""
    process, server, watchdog = child
    process.kill()
    await ended(server)
    await ended(watchdog)


async def test_a_server_that_never_gets_ready_ends_with_its_parent(tmp_path: Path) -> None:
    """SIGTERM while it is waited for ends it too."""
    pid = tmp_path / "pid"
    slow = _program(tmp_path / "bin", f"[ $1 = --version ] && echo v2.99.0 || {{ echo $$ >{pid}; exec sleep 60; }}")
    with _dev(tmp_path / "data", slow.parent) as process:
        await until(lambda: pid.is_file() and pid.read_text().endswith("\n"))
        process.terminate()
    await ended(int(pid.read_text()))


async def test_no_server_runs_before_its_watchdog_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the parent while it starts one: what nobody would stop never begins."""
    ran = tmp_path / "ran"
    program = _program(tmp_path / "bin", f"touch {ran}; exec sleep 60")

    def dies(descriptor: int, words: bytes) -> int:
        raise MemoryError

    with (tmp_path / "lock").open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with monkeypatch.context() as patched:
            patched.setattr("sidecar.adapters.nats_process.os.write", dies)
            with pytest.raises(MemoryError):
                await start(program, tmp_path / "conf", tmp_path / "log", lock.fileno())
    await until(lambda: _free(tmp_path / "lock"))
    assert not ran.exists()


async def test_ends_with_its_parent_after_the_watchdog_was_killed(
    child: tuple[subprocess.Popen[str], int, int], tmp_path: Path
) -> None:
    """A watchdog that was killed is replaced: the parent's end still ends the server."""
    process, server, watchdog = child
    os.kill(watchdog, signal.SIGKILL)
    await until(lambda: _children(process.pid, "read -r server") - {watchdog})
    process.kill()
    await ended(server)


async def test_a_server_left_behind_is_stopped_by_the_next_start(
    child: tuple[subprocess.Popen[str], int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When watchdog and parent are killed together, the next start ends the server before it uses the directory."""
    process, server, watchdog = child
    os.kill(process.pid, signal.SIGSTOP)  # so that it cannot replace the watchdog
    await until(lambda: state_of(process.pid).startswith("T"))
    os.kill(watchdog, signal.SIGKILL)
    process.kill()
    process.wait()
    assert _alive(server)
    async with embedded_server(tmp_path / "data", log):
        assert not _alive(server)
    assert f"lost its parent (process {server})" in caplog.text


async def test_ctrl_c_reaches_the_parent_alone(child: tuple[subprocess.Popen[str], int, int]) -> None:
    """Server and watchdog are in process groups of their own, so a terminal's signals pass them by."""
    process, server, watchdog = child
    assert len({os.getpgid(process.pid), os.getpgid(server), os.getpgid(watchdog)}) == 3


def _dev(data_dir: Path, first: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "sidecar", "dev", "--data-dir", str(data_dir)]
    return subprocess.Popen(words, env={**os.environ, "PATH": f"{first}:{os.environ['PATH']}"})


def _free(lock: Path) -> bool:
    """Whether nobody holds the lock."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _program(folder: Path, script: str) -> Path:
    folder.mkdir()
    program = folder / "nats-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(stat.S_IRWXU)
    return program


def _children(parent: int, words: str) -> set[int]:
    listing = subprocess.run(["ps", "-eo", "ppid=,pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=3) for line in listing.splitlines() if len(line.split(maxsplit=3)) == 4)
    return {int(pid) for above, pid, state, line in rows if above == str(parent) and state[0] != "Z" and words in line}
