"""Calls with idempotency keys in bad weather: processes die and stand still, the store goes away, answers are lost."""

from __future__ import annotations

from functools import partial

from tests.sim.cluster import Climate, Cluster, climate
from tests.sim.deeds import Deeds, Job
from tests.sim.keyed import ClaimStep, Keyed, SettleStep, claim_step, settle_step
from tests.sim.network import Network, Weather
from tests.sim.provider import Provider, Temper
from tests.sim.world import World

RUN_SECONDS = 60.0
SETTLE_SECONDS = 150.0
FINAL_SECONDS = 60.0
AWAY_SECONDS = (5.0, 40.0)
DOWN_SECONDS = (0.1, 20.0)
STILL_SECONDS = (0.1, 60.0)


def simulate(seed: int, claim: ClaimStep = claim_step, settle: SettleStep = settle_step) -> World:
    """The world of this seed after its run. Raises Violated when a promise was not kept."""
    world = World(seed)
    kind = world.random.choice(("fair", "store", "rough", "rough"))
    weather = climate(world, RUN_SECONDS) if kind == "rough" else Climate(clustered=True, seconds=RUN_SECONDS)
    cluster = Cluster(world, weather)
    force = world.random.choice((0.02, 0.08)) if kind == "rough" else 0.0
    network = Network(world, Weather(force, force / 4, force, force))
    trouble = world.random.choice((0.0, 0.1, 0.2))
    provider = Provider(world, network, Temper(trouble, trouble / 2, trouble / 2, trouble / 2, keys=True))
    deeds = Deeds(world, provider)
    jobs = [_job(number, world) for number in range(world.random.randint(2, 6))]
    processes = [
        Keyed(world, cluster, deeds, jobs, f"p{number}", claim=claim, settle=settle)
        for number in range(world.random.randint(2, 4))
    ]
    for process in processes:
        process.live()
    _make_trouble(world, kind, cluster, processes)
    world.run(RUN_SECONDS)
    cluster.calm()
    network.weather = Weather()
    provider.calm()
    for process in processes:
        process.busy, process.ambush = False, None
    world.run(RUN_SECONDS + SETTLE_SECONDS)
    alive = [process for process in processes if process.actor.alive]
    for job in jobs:  # whoever asks now has an answer
        world.random.choice(alive).call(job, "a", FINAL_SECONDS, final=True)
    world.run(RUN_SECONDS + 2 * SETTLE_SECONDS)
    deeds.settle()
    return world


def _job(number: int, world: World) -> Job:
    again = world.chance(0.5)
    return Job(f"k{number}", again, again and world.chance(0.7))


def _make_trouble(world: World, kind: str, cluster: Cluster, processes: list[Keyed]) -> None:
    dice = world.random
    if kind == "store":
        for _ in range(dice.randint(1, 2)):
            trouble, seconds = dice.choice(("nobody", "silence", "unavailable", "full")), dice.uniform(*AWAY_SECONDS)
            world.after(dice.uniform(0, RUN_SECONDS), partial(cluster.go_away, trouble, seconds))
    if kind != "rough":
        return
    for process in processes:
        if world.chance(0.7):
            process.ambush = dice.choice((_die, _stand_still))
        if world.chance(0.5):
            world.after(dice.uniform(0, RUN_SECONDS), partial(dice.choice((_die, _stand_still)), process))


def _die(process: Keyed) -> None:
    """And come back."""
    world = process.actor.world
    if process.actor.alive:
        process.actor.kill()
        world.after(world.random.uniform(*DOWN_SECONDS), process.come_back)


def _stand_still(process: Keyed) -> None:
    process.actor.pause(process.actor.world.random.uniform(*STILL_SECONDS))
