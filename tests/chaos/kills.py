"""SIGKILL of sidecars under load: what agents know is true, and nothing is done twice."""

from __future__ import annotations

import asyncio
import itertools

from tests.chaos.place import TENANT, Place, place
from tests.chaos.scene import Scene
from tests.chaos.told import Answers, Plan, reconciled
from tests.figure import Figure, at_least, equal, listed, told
from tests.upstream import Behaviour

BETWEEN = 1.0  # seconds between two kills
BREATH = 6.0  # the same, where each of four has to live for the 15 s after which a dead one's key is taken over
BUSY = Behaviour(delay=0.02, lose=0.02)
AGENTS = 16


def create(provider: str) -> str:
    return f"sidecar.write.{TENANT}.shop.{provider}.items.create"


async def plain_calls(scene: Scene) -> list[Figure]:
    """Writes without a key, each sent once: whoever has no reply knows nothing, whoever has one knows the truth."""
    async with place(scene.folder, BUSY) as here:
        await here.grow(scene.counts.members)
        await here.connect("plain")
        async with here.load(
            Plan(subjects=(create("plain"),), agents=AGENTS, timeout_ms=(scene.counts.call_ms,) * 2, margin=1.0)
        ) as load:
            await killing(here, scene.counts.kills)
            answers = await load.stop()
        return judged(here, answers, scene.counts.kills)


async def keyed_calls(scene: Scene) -> list[Figure]:
    """Writes with a key, asked again until the answer is final, by one nats-server."""
    return await _keyed(scene, nodes=1)


async def keyed_calls_on_a_cluster(scene: Scene) -> list[Figure]:
    """The same on three nodes, of which one after the other is killed too."""
    return await _keyed(scene, nodes=3)


async def _keyed(scene: Scene, nodes: int) -> list[Figure]:
    """Half of them to a provider that takes the key itself, half to one that does not."""
    async with place(scene.folder, Behaviour(delay=BUSY.delay, lose=BUSY.lose, keys=True), nodes=nodes) as here:
        await here.grow(scene.counts.members)
        for provider in ("plain", "keyed"):
            await here.connect(provider)
        plan = Plan(
            subjects=(create("plain"), create("keyed")),
            agents=AGENTS,
            timeout_ms=(scene.counts.call_ms,) * 2,
            margin=1.0,
            keys=True,
            until_final=True,
        )
        async with here.load(plan) as load:
            kills = scene.counts.kills
            await killing(here, kills, nodes=nodes > 1)
            while load.succeeded < scene.counts.posts:
                await asyncio.sleep(BREATH)
                await killing(here, 1)
                kills += 1
            answers = await load.stop()
        first, second = (_those_of(answers, parity) for parity in (0, 1))
        return [
            at_least("POSTs with a key", len(answers.last()), scene.counts.posts),
            *judged(here, answers, kills),
            told("  of a provider that takes no keys", listed(_final(first).outcomes)),
            told("  of one that does", listed(_final(second).outcomes)),
            told("answers that were replayed", sum(each.replayed for each in answers.told)),
        ]


async def killing(here: Place, number: int, *, nodes: bool = False) -> None:
    """So many sidecars, one after the other, each replaced; a nats-server with every third."""
    servers = itertools.cycle(here.nats.nodes)
    for count in range(number):
        await asyncio.sleep(BETWEEN)
        if nodes and count % 3 == 1:
            node = next(servers)
            node.kill()
            await asyncio.sleep(BETWEEN)
            node.start()
        await here.replace(here.members[0])


def judged(here: Place, answers: Answers, kills: int) -> list[Figure]:
    """What agents were told, against the log of the upstream."""
    truth = reconciled(answers, here.up.log())
    return [
        told(f"answers under {kills} kills", listed(answers.outcomes)),
        equal("done twice", truth.twice, 0),
        equal("told that nothing was done, though it was", truth.denied, 0),
        equal("told that it was done, though it was not", truth.missing, 0),
        told("told that it is not known", truth.unknown),
        told("no reply", truth.unanswered),
    ]


def _those_of(answers: Answers, parity: int) -> Answers:
    return Answers([each for each in answers.told if int(each.title.rpartition("-")[2]) % 2 == parity])


def _final(answers: Answers) -> Answers:
    return Answers(list(answers.last().values()))
