"""One real nats-server for the whole run; a test keeps to names of its own (`fresh_name`)."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.nats_binary import find_server
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_server import embedded_server


def pytest_configure(config: pytest.Config) -> None:
    """A test that fails may leave a connection open. uvloop warns of it while it closes the loop; a warning that is an
    error there makes it close for ever, and the run hangs instead of telling the failure.
    """
    config.addinivalue_line("filterwarnings", "default:unclosed resource <:ResourceWarning")


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL, with login, of a nats-server with JetStream."""
    data_dir: Path = tmp_path_factory.mktemp("nats")
    log = logging.getLogger("tests.nats")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedded_server(data_dir, log)) as server:
        yield server.url


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[NatsBus]:
    """A connection of this test's own."""
    connection = await connect(nats_url)
    yield connection
    await connection.close()


@pytest.fixture
async def empty_bus(tmp_path: Path) -> AsyncIterator[NatsBus]:
    """A connection to a nats-server of this test's own, which has no stream yet."""
    async with embedded_server(tmp_path / "nats", logging.getLogger("tests.nats")) as server:
        connection = await connect(server.url)
        yield connection
        await connection.close()


@pytest.fixture
def fresh_name() -> str:
    """A name (tenant, prefix, bucket) that no other test uses."""
    return f"t{secrets.token_hex(6)}"


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return when something outside of our loop made the condition true."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - another process decides
            await anyio.sleep(0.01)


@asynccontextmanager
async def frozen(pid: int) -> AsyncIterator[None]:
    """The process stands still during the block, as a machine that is paused."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: state_of(pid).startswith("T"))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def state_of(pid: int) -> str:
    """`T` stopped, `Z` zombie, other letters alive, empty when it is gone."""
    listing = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.strip()


class Configured:
    """A nats-server with a configuration of the test's own."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int) -> None:
        self.folder = folder
        self.process = process
        self.port = port

    def url(self, login: str) -> str:
        return f"nats://{login}@127.0.0.1:{self.port}"

    def reload(self, config: dict[str, object]) -> None:
        (self.folder / "nats.conf").write_text(
            json.dumps({**config, "port": self.port, "host": "127.0.0.1"}, ensure_ascii=False)
        )
        self.process.send_signal(signal.SIGHUP)


@asynccontextmanager
async def configured(folder: Path, config: dict[str, object]) -> AsyncIterator[Configured]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    conf = folder / "nats.conf"
    text = json.dumps({**config, "port": port, "host": "127.0.0.1", "ports_file_dir": str(folder)}, ensure_ascii=False)
    conf.write_text(text)
    program = await find_server(logging.getLogger("tests.nats"))
    with subprocess.Popen([program, "-c", conf], stderr=subprocess.DEVNULL) as process:  # noqa: ASYNC220 - takes a moment
        try:
            await until(lambda: list(folder.glob("*.ports")))
            yield Configured(folder, process, port)
        finally:
            process.kill()
