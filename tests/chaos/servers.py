"""One nats-server, or three in a cluster, with the settings that we ship, that come and go as a scene wants."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.adapters.nats_binary import find_server
from sidecar.adapters.nats_streams import StreamRefused, provision
from sidecar.app import connected
from sidecar.nats_server_config import Config, cluster_settings, config_text, server_settings
from sidecar.ports import BusError, StoreUnavailable
from sidecar.settings import Settings
from sidecar.streams import streams_of
from tests.cluster.node import Node, Place, kill_all

LOGIN = ("u", "p")
ROUTE = ("route", "r")
READY_SECONDS = 60.0
PAUSE = 0.1


class Servers:
    """They run. `url` names all of them."""

    def __init__(self, program: Path, places: list[Place], folder: Path) -> None:
        self._places = places
        self._folder = folder
        self.nodes = [Node(program, place, self._config(place, jetstream=True), folder, {}) for place in places]
        login = ":".join(LOGIN)
        self.url = ",".join(f"nats://{login}@{place.client[0]}:{place.client[1]}" for place in places)

    def jetstream(self, *, on: bool) -> None:
        """Switch it off or on again for everybody. Core NATS goes on: as when no leader is to be had."""
        for node, place in zip(self.nodes, self._places, strict=True):
            (self._folder / f"{place.name}.conf").write_text(config_text(self._config(place, jetstream=on)))
            node.send(signal.SIGHUP)

    async def provision(self) -> None:
        """Streams and buckets, on every node."""
        settings = Settings(replicas=len(self.nodes))
        async with asyncio.timeout(READY_SECONDS):
            while True:
                try:
                    async with connected(settings, self.url) as bus:
                        await provision(bus, streams_of(settings))
                        return
                except (BusError, StreamRefused, StoreUnavailable):
                    await asyncio.sleep(PAUSE)

    def _config(self, place: Place, *, jetstream: bool) -> Config:
        user, password = LOGIN
        account = {"jetstream": "enabled" if jetstream else "disabled", "users": [{"user": user, "password": password}]}
        config = {
            "server_name": place.name,
            "listen": f"{place.client[0]}:{place.client[1]}",
            **server_settings(store_dir=str(place.store)),
            "accounts": {"A": account},
        }
        if len(self._places) == 1:
            return config
        host, port = place.route
        routes = [f"nats-route://{':'.join(ROUTE)}@{peer.route[0]}:{peer.route[1]}" for peer in self._places]
        return {**config, "cluster": cluster_settings(host=host, port=port, routes=routes, login=ROUTE)}


@asynccontextmanager
async def servers(folder: Path, number: int) -> AsyncIterator[Servers]:
    """So many, provisioned; killed with the end of the block."""
    ports = _free_ports(2 * number)
    names = [f"n{index}" for index in range(1, number + 1)]
    places = [Place(name, ("127.0.0.1", ports.pop()), ("127.0.0.1", ports.pop()), folder / name) for name in names]
    running = Servers(await find_server(logging.getLogger(__name__)), places, folder)
    try:
        for node in running.nodes:
            node.start()
        await running.provision()
        yield running
    finally:
        kill_all(running.nodes)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
