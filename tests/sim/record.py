"""The record's write protocol under many clients and a cluster in trouble."""

from __future__ import annotations

from tests.sim.client import Client
from tests.sim.cluster import Cluster, climate
from tests.sim.ledger import Ledger
from tests.sim.world import World
from tests.sim.writer import WriteStep, record_step

RUN_SECONDS = 20.0
SETTLE_SECONDS = 40.0  # longer than the longest write and the latest message
DOWN_SECONDS = (0.1, 6.0)
STILL_SECONDS = (0.1, 15.0)


def simulate(seed: int, step: WriteStep = record_step) -> World:
    """The world of this seed after its run. Raises Violated when a promise was not kept."""
    world = World(seed)
    weather = climate(world, RUN_SECONDS)
    cluster, ledger = Cluster(world, weather), Ledger(world)
    clients = [Client(world, cluster, ledger, step, f"client{number}") for number in range(world.random.randint(2, 5))]
    for client in clients:
        client.live()
    rough = weather.outages > 0 or any(weather.weather)
    if rough:
        for _ in range(world.random.randint(0, 4)):
            _have_an_accident(world, world.random.choice(clients))
    world.run(RUN_SECONDS)
    cluster.calm()
    for client in clients:
        client.busy = False
    world.run(RUN_SECONDS + SETTLE_SECONDS)
    ledger.settle(cluster.bucket, fair=not rough)
    world.outcomes.update(ledger.outcomes)
    return world


def _have_an_accident(world: World, client: Client) -> None:
    """Some time in the run it stands still, or dies and comes back."""

    def die() -> None:
        if client.actor.alive:
            client.actor.kill()
            world.after(world.random.uniform(*DOWN_SECONDS), client.come_back)

    def stand_still() -> None:
        client.actor.pause(world.random.uniform(*STILL_SECONDS))

    world.after(world.random.uniform(0, RUN_SECONDS), world.random.choice((die, stand_still)))
