"""Sidecars as processes beside one NATS server, a provider that takes its time, and agents that never stop calling."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.nats.place import LOGIN, OwnServer, own_server
from tests.processes import AS_INSTALLED, prepare

SUBJECT = "sidecar.write.default.shop.bench.items.create"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
FAILED = "Nats-Service-Error"
PATIENCE = 40.0


class Upstream:
    """An API that creates whatever it is asked to, `delay` seconds later; the titles, in the order they came."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.seen: list[str] = []

    async def answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                self.seen.append(json.loads(await reader.readexactly(length))["title"])
                await asyncio.sleep(self.delay)
                writer.write(CREATED)
        writer.close()


class Member:
    """One `sidecar run`. `facts` is what it printed when it served."""

    def __init__(self, child: Process, facts: dict[str, Any]) -> None:
        self.child = child
        self.facts = facts

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.child.send_signal(number)

    async def ended(self) -> tuple[int, float, str]:
        """Its exit code, the seconds it took from now, and what it printed and logged."""
        began = time.monotonic()
        printed, errors = await asyncio.wait_for(self.child.communicate(), PATIENCE)
        assert self.child.returncode is not None
        return self.child.returncode, time.monotonic() - began, (printed + errors).decode()


@dataclass
class Fleet:
    """What is there."""

    server: OwnServer
    upstream: Upstream
    agent: Client
    environment: dict[str, str]
    _parts: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def member(self, **variables: str) -> Member:
        """One more sidecar; it serves."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", AS_INSTALLED, "run", "--json"),
            env=self.environment | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._parts.push_async_callback(_killed, child)
        assert child.stdout is not None
        assert child.stderr is not None
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE)
        assert line, (await child.stderr.read()).decode()
        return Member(child, json.loads(line))

    async def connection(self, port: int) -> None:
        """Import the account of the upstream. A member must serve."""
        body = {"fields": {"token": "t"}, "base_url": f"http://127.0.0.1:{port}", "verify": False}
        answer = await self.agent.request(
            "sidecar.admin.default.shop.bench.import", msgspec.json.encode(body), timeout=PATIENCE
        )
        assert FAILED not in (answer.headers or {}), answer.data

    async def create(self, title: str, timeout: float = PATIENCE) -> Msg:
        return await self.agent.request(SUBJECT, json.dumps({"title": title}).encode(), timeout=timeout)


@asynccontextmanager
async def fleet(folder: Path, *, delay: float) -> AsyncIterator[tuple[Fleet, int]]:
    """A NATS server, the upstream and an agent; and the upstream's port."""
    upstream = Upstream(delay)
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    (folder / "nats").mkdir()
    config = {**LOGIN, "jetstream": {"store_dir": str(folder / "nats")}}
    async with server, own_server(folder / "nats", config) as nats_server:
        url = f"nats://u:p@127.0.0.1:{nats_server.port}"
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
        environment = mine | {
            "SIDECAR_NATS_URL": url,
            "SIDECAR_KEK_FILE": str(folder / "kek"),
            "SIDECAR_CONNECTORS": str(Path(__file__).parent.parent / "bench" / "connectors"),
            "SIDECAR_EGRESS_ALLOW": f"127.0.0.1:{port}",
            "SIDECAR_LOG_FORMAT": "text",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        await prepare(url, folder / "kek")
        agent = await nats.connect(url, error_cb=_quiet, max_reconnect_attempts=-1)
        here = Fleet(nats_server, upstream, agent, environment)
        try:
            async with here._parts:
                yield here, port
        finally:
            await agent.close()


class Load:
    """Agents that call one after the other, until told to stop. `outcomes` counts `ok` and the failures' words."""

    def __init__(self, here: Fleet, agents: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._here = here
        self._stopped = asyncio.Event()
        self._agents = [asyncio.create_task(self._call(number)) for number in range(agents)]

    async def stop(self) -> None:
        self._stopped.set()
        await asyncio.gather(*self._agents)

    async def _call(self, agent: int) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            try:
                answer = await self._here.create(f"{agent}-{number}")
            except nats.errors.Error as error:
                self.outcomes[type(error).__name__] += 1
                continue
            self.outcomes[(answer.headers or {}).get(FAILED, "ok")] += 1


async def _killed(child: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.communicate()


async def _quiet(_error: Exception) -> None:
    pass
