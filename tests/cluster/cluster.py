"""Three nats-servers with the settings and users that we ship, the buckets that we provision, and who leads them."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from sidecar.adapters.nats_binary import find_server
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_jetstream import Answer, ApiRefused, ask
from sidecar.adapters.nats_streams import CREDENTIALS, StreamRefused, provision, required
from sidecar.nats_accounts import User, admin_user, one_account, shared_user, user_config
from sidecar.nats_server_config import NOW, cluster_settings, server_settings
from sidecar.ports import BusError, StoreUnavailable
from tests.cluster.node import Node, Place, kill_all

NAMES = ("n1", "n2", "n3")
READY_SECONDS = 60.0
ASK_SECONDS = 2.0
PAUSE_SECONDS = 0.1
ROUTE_USER = "route"
SETUP, SIDECAR = admin_user(), shared_user()
USERS = one_account("acme")


class _Peer(msgspec.Struct, frozen=True):
    name: str = ""
    current: bool = False
    offline: bool = False
    lag: int = 0


class _Group(msgspec.Struct, frozen=True):
    leader: str = ""
    replicas: tuple[_Peer, ...] = ()


class _Info(Answer, frozen=True, kw_only=True):
    cluster: _Group = _Group()


class Cluster:
    """Three nodes that run."""

    def __init__(self, nodes: Sequence[Node], password: str) -> None:
        self.nodes = tuple(nodes)
        self._password = password

    async def connect(self, only: Node | None = None, *, user: User = SIDECAR) -> NatsBus:
        """A connection of a sidecar, or another user, to any node or to this one alone; waits until there is one."""
        urls = [node.url(f"{user.login}:{self._password}@") for node in ([only] if only else self.nodes)]
        with anyio.fail_after(READY_SECONDS):
            while True:
                try:
                    return await connect(",".join(urls), inbox_prefix=user.holder.inbox)
                except BusError:
                    await anyio.sleep(PAUSE_SECONDS)

    async def provision(self) -> None:
        """Our streams and buckets on three replicas; waits until the nodes know each other."""
        bus = await self.connect(user=SETUP)
        with anyio.fail_after(READY_SECONDS):
            while True:
                try:
                    await provision(bus, required("sidecar", replicas=len(self.nodes)))
                    return await bus.close()
                except (StreamRefused, StoreUnavailable):
                    await anyio.sleep(PAUSE_SECONDS)

    async def leader(self, bus: NatsBus) -> Node:
        """The node that leads the bucket of credentials; waits until there is one that runs."""
        with anyio.fail_after(READY_SECONDS):
            while True:
                group = await _group(bus)
                for node in self.nodes:
                    if node.name == group.leader and node.running:
                        return node
                await anyio.sleep(PAUSE_SECONDS)

    async def followers(self, bus: NatsBus) -> list[Node]:
        leader = await self.leader(bus)
        return [node for node in self.nodes if node is not leader]

    async def caught_up(self, bus: NatsBus) -> None:
        """Return when every node holds what the leader holds."""
        with anyio.fail_after(READY_SECONDS):
            while True:
                group = await _group(bus)
                peers = [peer for peer in group.replicas if peer.current and not peer.offline and not peer.lag]
                if group.leader and len(peers) == len(self.nodes) - 1:
                    return
                await anyio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def running_cluster(folder: Path, places: Sequence[Place], *, sync_interval: str = NOW) -> AsyncIterator[Cluster]:
    """Nodes at these places, provisioned; killed with the end of the block. `folder` takes configurations and logs."""
    program = await find_server(logging.getLogger(__name__))
    password = f"p{secrets.token_hex(8)}"
    known = {user.password.removeprefix("$"): password for user in USERS}
    nodes = [
        Node(program, place, node_config(place, places, sync_interval, password), folder, known) for place in places
    ]
    cluster = Cluster(nodes, password)
    try:
        for node in nodes:
            node.start()
        await cluster.provision()
        yield cluster
    finally:
        kill_all(nodes)


def loopback(folder: Path) -> list[Place]:
    """Places on 127.0.0.1, at ports that were free a moment ago."""
    ports = _free_ports(2 * len(NAMES))
    return [Place(name, ("127.0.0.1", ports.pop()), ("127.0.0.1", ports.pop()), folder / name) for name in NAMES]


def node_config(place: Place, places: Sequence[Place], sync_interval: str, password: str) -> dict[str, object]:
    """What we ship, at this place; for a proof that the proofs can fail, with another `sync_interval`."""
    host, port = place.route
    routes = [f"nats-route://{ROUTE_USER}:{password}@{peer.route[0]}:{peer.route[1]}" for peer in places]
    return {
        "server_name": place.name,
        "listen": f"{place.client[0]}:{place.client[1]}",
        **server_settings(store_dir=str(place.store), sync_interval=sync_interval),
        "authorization": {"users": [user_config(user) for user in USERS]},
        "cluster": cluster_settings(host=host, port=port, routes=routes, login=(ROUTE_USER, password)),
    }


async def _group(bus: NatsBus) -> _Group:
    """Who leads the bucket and how far its followers are, as far as anyone answers."""
    try:
        return (await ask(bus, f"STREAM.INFO.KV_{CREDENTIALS}", None, _Info, ASK_SECONDS)).cluster
    except (StoreUnavailable, ApiRefused):
        return _Group()


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
