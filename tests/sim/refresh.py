"""The refresh protocol: processes die and stand still, the store is in trouble, the server takes reuse as theft."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from sidecar.auth.refresh import Phase
from sidecar.credential import Credential
from sidecar.store.credential_form import stored_form
from tests.sim.cluster import Climate, Cluster, climate
from tests.sim.grants import Grants
from tests.sim.kv import Write
from tests.sim.network import Network, Weather
from tests.sim.renewer import RefreshStep, Renewer, refresh_step, tokens_of
from tests.sim.token_server import TokenServer
from tests.sim.world import World

Ambush = Callable[[Renewer], None]

RUN_SECONDS = 100.0
SETTLE_SECONDS = 120.0
AWAY_SECONDS = (20.0, 70.0)
LIFETIMES = (5.0, 20.0, 60.0)
DOWN_SECONDS = (0.1, 20.0)
STILL_SECONDS = (0.1, 60.0)


def simulate(seed: int, step: RefreshStep = refresh_step) -> World:
    """The world of this seed after its run. Raises Violated when a promise was not kept."""
    world = World(seed)
    kind = world.random.choice(("fair", "store", "rough", "rough"))
    weather = climate(world, RUN_SECONDS) if kind == "rough" else Climate(clustered=True, seconds=RUN_SECONDS)
    cluster, grants = Cluster(world, weather), Grants(world)
    force = world.random.choice((0.0, 0.02, 0.08)) if kind == "rough" else 0.0
    network = Network(world, Weather(force, force / 4, force, force))
    grace = world.random.choice((0.0, 0.0, 60.0)) if kind == "rough" else 0.0
    server = TokenServer(world, network, lifetime=world.random.choice(LIFETIMES), grace=grace)
    renewers = [
        Renewer(world, cluster, server, grants, step, f"p{number}") for number in range(world.random.randint(2, 4))
    ]
    for number in range(world.random.randint(1, 2)):
        _connect(world, cluster, server, f"u{number}")
    for renewer in renewers:
        renewer.peers = [peer for peer in renewers if peer is not renewer]
        renewer.refusals = 0.0 if kind != "rough" else world.random.choice((0.0, 0.1))
        renewer.live()
    _make_trouble(world, kind, cluster, renewers, server)
    world.run(RUN_SECONDS)
    cluster.calm()
    network.weather = Weather()
    for renewer in renewers:
        renewer.busy, renewer.refusals, renewer.ambushes = False, 0.0, []
    world.run(RUN_SECONDS + SETTLE_SECONDS)
    for renewer in renewers:  # whatever was left half done is found by the next call
        for user in server.families:
            renewer.call(user)
    world.run(RUN_SECONDS + 2 * SETTLE_SECONDS)
    grants.settle(cluster.bucket, server, fair=kind == "fair", excused=kind == "rough")
    return world


def _connect(world: World, cluster: Cluster, server: TokenServer, user: str) -> None:
    tokens = tokens_of(server.authorise(user), world.now)
    first = Credential(kind="oauth2", fields={}, created=0.0, changed=0.0, tokens=tokens)
    cluster.bucket.publish(Write(user, msgspec.json.encode(stored_form(first)), 0, f"connect {user}"), world.now)


def _make_trouble(world: World, kind: str, cluster: Cluster, renewers: list[Renewer], server: TokenServer) -> None:
    dice = world.random
    for number in range(dice.randint(0, 3)):
        user, mark = dice.choice(list(server.families)), f"https://{number}.example"
        world.after(dice.uniform(0, RUN_SECONDS), partial(dice.choice(renewers).mark, user, mark))
    ambushes: list[tuple[Phase, Ambush]] = []
    for _ in range(dice.randint(1, 3)):
        phase = dice.choice((Phase.FENCE, Phase.LOOKING, Phase.RESULT))
        if kind == "store":
            trouble, seconds = dice.choice(("nobody", "silence", "unavailable", "full")), dice.uniform(*AWAY_SECONDS)
            ambushes.append((phase, partial(_away, cluster, trouble, seconds)))
        elif kind == "rough":
            ambushes.append((phase, dice.choice((_die, _stand_still))))
    for renewer in renewers:
        renewer.ambushes = ambushes
        if kind == "rough" and world.chance(0.5):
            world.after(dice.uniform(0, RUN_SECONDS), partial(dice.choice((_die, _stand_still)), renewer))


def _away(cluster: Cluster, trouble: str, seconds: float, _renewer: Renewer) -> None:
    cluster.go_away(trouble, seconds)


def _die(renewer: Renewer) -> None:
    """And come back."""
    world = renewer.actor.world
    if renewer.actor.alive:
        renewer.actor.kill()
        world.after(world.random.uniform(*DOWN_SECONDS), renewer.come_back)


def _stand_still(renewer: Renewer) -> None:
    renewer.actor.pause(renewer.actor.world.random.uniform(*STILL_SECONDS))
