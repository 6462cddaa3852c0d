"""The faults that a cluster of ours must stand, each as one run: a load, a fault again and again, the verdict."""

from __future__ import annotations

import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio

from sidecar.adapters.nats_bus import NatsBus
from sidecar.nats_server_config import NOW
from tests.cluster.cluster import NAMES, Cluster, loopback, running_cluster
from tests.cluster.disk import Disk, disk
from tests.cluster.node import Node, kill_all, pause_all
from tests.cluster.proof import Row, connections, judge, trial

ACKS_A_KILL = 5000
SETTLE_ACKS = 100
PAUSED_SECONDS = (5.0, 12.0)  # shorter than most elections, and longer than any
ORDERLY_PAUSE_SECONDS = 1.5
SERVER_DEFAULT = "2m"


async def kills(folder: Path, count: int) -> Row:
    """By kill -9: the leader, all, a follower, two (no majority is left), and so on."""
    async with running_cluster(folder, loopback(folder)) as cluster, connections(cluster) as buses:
        victims = _victims(cluster, buses[0])
        rounds = max(len(victims), count // ACKS_A_KILL)
        share = count // (rounds + 1)
        async with trial(buses, warm=share) as running:
            for choose in itertools.islice(itertools.cycle(victims), rounds):
                chosen = await choose()
                async with running.fault(acks=share):
                    kill_all(chosen)
                    if len(chosen) == 1:
                        await running.progress(SETTLE_ACKS)  # the others go on without it
                    for node in chosen:
                        node.start()
            await running.progress(max(0, count - len(running.load.acks)))
        return running.row("kill -9 of one, two, all", await judge(cluster, buses[0], running.load.ledger))


async def paused(folder: Path, count: int) -> Row:
    """The leader stands still (SIGSTOP), wakes up and believes that it still leads."""
    async with running_cluster(folder, loopback(folder)) as cluster, connections(cluster) as buses:
        async with trial(buses, warm=count // 3) as running:
            for seconds in PAUSED_SECONDS:
                leader = await cluster.leader(buses[0])
                async with running.fault(acks=count // 3):
                    await pause_all([leader])
                    await anyio.sleep(seconds)
                    leader.send(signal.SIGCONT)
        return running.row("leader paused 5 s, 12 s", await judge(cluster, buses[0], running.load.ledger))


async def orderly(folder: Path, count: int) -> Row:
    """SIGTERM of the leader, as an upgrade sends it: another leads at once."""
    return await _sent_away(folder, count, "SIGTERM of the leader", signal.SIGTERM)


async def lame_duck(folder: Path, count: int) -> Row:
    """Lame duck mode of the leader, which sends its clients away one by one."""
    return await _sent_away(folder, count, "lame duck of the leader", signal.SIGUSR2)


async def _sent_away(folder: Path, count: int, scenario: str, number: signal.Signals) -> Row:
    async with running_cluster(folder, loopback(folder)) as cluster, connections(cluster) as buses:
        async with trial(buses, warm=count // 4) as running:
            for _ in range(3):
                leader = await cluster.leader(buses[0])
                async with running.fault(acks=count // 4):
                    leader.send(number)
                if number == signal.SIGTERM:
                    await leader.ended()
                leader.kill()  # a lame duck takes minutes to send all away
                leader.start()
                await cluster.caught_up(buses[0])
        verdict = await judge(cluster, buses[0], running.load.ledger)
        slow = [f"nobody could write for {pause:.2f} s" for pause in running.pauses if pause > ORDERLY_PAUSE_SECONDS]
        return running.row(scenario, verdict, broken=slow)


async def power_cut(folder: Path, count: int) -> Row:
    """The power of all three nodes goes at once, the first time moments after the bucket was made."""
    async with _on_disks(folder, NOW) as (cluster, disks, buses):
        async with trial(buses, warm=count // 4) as running:
            for _ in range(3):
                async with running.fault(acks=count // 4):
                    await _cut(cluster, disks)
        return running.row("power cut of all", await judge(cluster, buses[0], running.load.ledger))


async def power_cut_control(folder: Path, count: int) -> Row:
    """The same on the server's own default, `sync_interval: 2m`, must lose writes: else the cut cuts nothing."""
    async with _on_disks(folder, SERVER_DEFAULT) as (cluster, disks, buses):
        async with trial(buses, warm=count // 4) as running:
            pass
        await _cut(cluster, disks)
        await cluster.provision()  # the bucket itself may be lost
        verdict = await judge(cluster, buses[0], running.load.ledger)
        broken = () if verdict.lost else ("nothing was lost",)
        return Row("control: power cut, sync 2m", 1, verdict, 0.0, broken, "must lose")


@asynccontextmanager
async def _on_disks(folder: Path, sync_interval: str) -> AsyncIterator[tuple[Cluster, list[Disk], list[NatsBus]]]:
    """A cluster of which each node has a disk of its own."""
    with ExitStack() as stack:
        disks = [stack.enter_context(disk(folder, name)) for name in NAMES]
        async with (
            running_cluster(folder, loopback(folder), sync_interval=sync_interval) as cluster,
            connections(cluster) as buses,
        ):
            yield cluster, disks, buses


async def _cut(cluster: Cluster, disks: list[Disk]) -> None:
    """The power goes, and comes again. Nothing is acknowledged after the cut: all stand still before it."""
    await pause_all(cluster.nodes)
    for drive in disks:
        drive.cut()
    kill_all(cluster.nodes)
    for drive in disks:
        drive.power_on()
    for node in cluster.nodes:
        node.start()


def _victims(cluster: Cluster, bus: NatsBus) -> list[Callable[[], Awaitable[list[Node]]]]:
    async def leader() -> list[Node]:
        return [await cluster.leader(bus)]

    async def everyone() -> list[Node]:
        return list(cluster.nodes)

    async def follower() -> list[Node]:
        return (await cluster.followers(bus))[:1]

    async def two() -> list[Node]:
        return [await cluster.leader(bus), *(await cluster.followers(bus))[:1]]

    return [leader, everyone, follower, two]
