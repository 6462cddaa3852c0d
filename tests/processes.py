"""The product as its users run it: processes of their own, started and ended by a test or a benchmark."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats

from sidecar.adapters.key_file import create_key_file
from sidecar.adapters.nats_streams import provision
from sidecar.app import connected
from sidecar.settings import Settings
from sidecar.streams import streams_of

# What the tests need is not installed beside a sidecar; HTTPX and nats-py import these wherever they find them.
AS_INSTALLED = (
    "import sys; sys.modules.update(dict.fromkeys(('aiohttp', 'pygments', 'rich')));"
    "from sidecar.cli import main; main(prog_name='sidecar')"
)


@dataclass(frozen=True, slots=True)
class Running:
    """A `sidecar run`: its pid, and the seconds from its start until it answered."""

    pid: int
    ready_seconds: float
    child: Process


@asynccontextmanager
async def process(*command: str, env: dict[str, str] | None = None, read: bool = True) -> AsyncIterator[Process]:
    """A child process; ended with the block."""
    child = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE if read else asyncio.subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def line(child: Process) -> bytes:
    """The next line that the child prints."""
    assert child.stdout is not None
    return await child.stdout.readline()


@asynccontextmanager
async def running_sidecar(environment: dict[str, str], nats_url: str) -> AsyncIterator[Running]:
    """A `sidecar run`; until the block ends; it has answered over NATS."""
    client = await nats.connect(nats_url)
    began = time.perf_counter()
    async with process(sys.executable, "-c", AS_INSTALLED, "run", env=environment, read=False) as child:
        while True:
            try:
                await client.request("$SRV.PING.connector-sidecar", b"", timeout=5)
                break
            except nats.errors.NoRespondersError:
                await asyncio.sleep(0.005)
        ready = time.perf_counter() - began
        await client.close()
        yield Running(child.pid, ready, child)


async def prepare(url: str, key_file: Path) -> None:
    """Streams, buckets and a key, as `sidecar dev` makes them."""
    create_key_file(key_file)
    async with connected(Settings(), url) as bus:
        await provision(bus, streams_of(Settings()))
