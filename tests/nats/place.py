"""A nats-server that a test may hurt, a bus that reaches it through a proxy, and the proof that both ways work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.adapters.nats_binary import find_server
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_events import ConnectionLog
from sidecar.adapters.nats_supervision import Pace
from sidecar.adapters.nats_url import parse_url
from sidecar.ports import BusError, Message, NoResponders
from tests.fixtures_nats import until
from tests.nats.proxy import Proxy, proxy_before

QUICK = Pace(tick=0.02, check=0.2, doubt=0.3, silent=1.0, attempt=6.0, retry=0.1, heal=120.0)
LOGIN = {"authorization": {"user": "u", "password": "p"}}
MOST_SECONDS = 40.0
IN_A_ROW = 12
QUEUE = "q"


class OwnServer:
    """A nats-server on one port of loopback, whatever becomes of its process."""

    def __init__(self, folder: Path, program: Path, config: dict[str, Any], ping: float) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._pings = {"ping_interval": f"{ping}s", "ping_max": 2}
        self.write(config)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def write(self, config: dict[str, Any]) -> None:
        # A server finds a client that is gone only by pings of its own: every 2 minutes, unless told otherwise.
        # https://docs.nats.io/running-a-nats-service/configuration#connectivity
        place = {"port": self.port, "host": "127.0.0.1", "ports_file_dir": str(self._folder), **self._pings}
        (self._folder / "nats.conf").write_text(json.dumps({**config, **place}))

    def reload(self, config: dict[str, Any]) -> None:
        self.write(config)
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    async def start(self) -> None:
        for stale in self._folder.glob("*.ports"):
            stale.unlink()
        command = [str(self._program), "-c", str(self._folder / "nats.conf")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - takes a moment
        await until(lambda: list(self._folder.glob("*.ports")))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def own_server(folder: Path, config: dict[str, Any], ping: float = 120) -> AsyncIterator[OwnServer]:
    server = OwnServer(folder, await find_server(logging.getLogger("tests.nats")), config, ping)
    await server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass
class Place:
    """What a death may hurt: `bus` reaches the server through `proxy`, `agent` does not."""

    server: OwnServer
    proxy: Proxy
    bus: NatsBus
    agent: NatsBus
    pace: Pace
    folder: Path
    name: str = field(default_factory=lambda: f"t{secrets.token_hex(6)}")
    served: int = 0
    told: int = 0

    async def settle(self) -> None:
        """Both serve: the bus twice in one queue group, and once for everybody."""
        for _ in range(2):
            await self.bus.subscribe(f"{self.name}.bus", self._answer(self.bus), queue=QUEUE)
        await self.bus.subscribe(f"{self.name}.all", self._count)
        await self.agent.subscribe(f"{self.name}.agent", self._answer(self.agent))
        await self.bus.round_trip(10)
        await self.agent.round_trip(10)
        await self.works(10)

    async def works(self, seconds: float = 2.0) -> None:
        """A request of the bus is answered on another connection, and one of the agent by the bus. Raises BusError or
        NoResponders.
        """
        await self.bus.request(f"{self.name}.agent", b"", timeout=seconds)
        await self.agent.request(f"{self.name}.bus", b"", timeout=seconds)

    async def healed(self) -> float:
        """The moment from which it works every time, after which every subscription is there once, in its queue group.

        Every time: a server that has not noticed the end of a half-open connection gives it its share of the messages.
        """
        give_up = time.monotonic() + MOST_SECONDS
        moment, row = time.monotonic(), 0
        while row < IN_A_ROW:
            try:
                await self.works(0.5)
                row += 1
            except (BusError, NoResponders):
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.02)
                moment, row = time.monotonic(), 0
        await self.bus.round_trip(10)
        served, told = self.served, self.told
        self.agent.publish(f"{self.name}.all", b"")
        await self.works(10)
        await self.bus.round_trip(10)
        assert (self.served, self.told) == (served + 1, told + 1)
        return moment

    def _answer(self, bus: NatsBus) -> Callable[[Message], None]:
        def answer(message: Message) -> None:
            self.served += bus is self.bus
            bus.publish(message.reply, b"pong")

        return answer

    def _count(self, _message: Message) -> None:
        self.told += 1


@asynccontextmanager
async def place(
    folder: Path,
    pace: Pace = QUICK,
    *,
    config: dict[str, Any] | None = None,
    login: str = "u:p",
    agent_login: str | None = None,
    credentials: Path | None = None,
    connection: ConnectionLog | None = None,
) -> AsyncIterator[Place]:
    """Everything up and proved; closed with the block."""
    async with (
        own_server(folder, LOGIN if config is None else config, 4 * pace.check) as server,
        proxy_before(server.port) as proxy,
    ):
        url = f"nats://{login}{'@' if login else ''}127.0.0.1:{proxy.port}"
        if connection is None:
            bus = await connect(url, credentials=credentials, pace=pace)
        else:
            target = parse_url(url)
            bus = NatsBus("_INBOX", connection, pace)
            await bus.open(target, "test", dict(target.login), refused=lambda: None)
        agent_url = (
            f"nats://{login if agent_login is None else agent_login}{'@' if login else ''}127.0.0.1:{server.port}"
        )
        agent = await connect(agent_url, credentials=credentials, pace=QUICK)
        here = Place(server, proxy, bus, agent, pace, folder)
        try:
            await here.settle()
            yield here
        finally:
            with contextlib.suppress(BusError):
                await bus.close()
                await agent.close()
