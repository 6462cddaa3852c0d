"""Shared quotas: sidecars start, die, stand still, are cut off, while providers that are strict at arrival count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.core.quota.event import Hinted, Told
from sidecar.core.quota.node import Node
from tests.sim.cluster import Climate, Cluster, climate
from tests.sim.judge import Strict
from tests.sim.mesh import Loss, Mesh
from tests.sim.pacer import Habit, MakeNode, Pacer
from tests.sim.shape import CROWDED, LOADS, LONGEST_DEADLINE, SHAPES, Draw, Shape, draw
from tests.sim.shares import SERVED, SILENT, VOID, Shares
from tests.sim.world import World

KINDS = ("fair", "mesh", "processes", "store", "takeover", "pauses", "all")
RUN_SECONDS = 14.0
OFFSETS = (0.0, 1e6)  # how far processes' clocks are apart, in seconds
STILL_SECONDS = (0.05, 8.0)
DOWN_SECONDS = (0.05, 8.0)
AWAY_SECONDS = (0.5, 9.0)
TOLD_SECONDS = (0.2, 4.0)
CALM_SECONDS = 7.0  # a lease's end, a new owner, and what it leaves free before it grants
IDLE_SECONDS = 100.0  # what is lent ends after a minute, and then the owner's term
SERVE_SECONDS = 12.0
SLOT_SECONDS = 70.0  # after which slots are free that nobody gave back, where it is not known who had them


@dataclass
class Company:
    """One world's sidecars, what they share, and what carries between them."""

    world: World
    shape: Shape
    cluster: Cluster
    mesh: Mesh
    strict: Strict
    shares: Shares
    make: MakeNode
    drift: float = 0.0
    calm: bool = False
    pacers: list[Pacer] = field(default_factory=list)

    def hire(self) -> Pacer:
        """One more sidecar."""
        name = f"p{len(self.pacers)}"
        pacer = Pacer(self.world, self.mesh, self.cluster, self.strict, self.shares, name, self.make)
        pacer.habit = self.shape.habit
        self.pacers.append(pacer)
        self.begin(pacer)
        return pacer

    def owner(self) -> Pacer | None:
        """The sidecar whom the store names as an owner."""
        bucket, now = self.cluster.bucket, self.world.now
        keys = {stored.write.key for stored in bucket.log if ".own." in stored.write.key}
        values = [held.write.value for key in sorted(keys) if (held := bucket.last(key, now)) is not None]
        named = [pacer for pacer in self.pacers if any(pacer.me.encode() in value for value in values)]
        return named[0] if named else None

    def begin(self, pacer: Pacer) -> None:
        dice = self.world.random
        rate = 1.0 + dice.uniform(-self.drift, self.drift)
        pacer.start(clock_offset=dice.uniform(*OFFSETS), clock_rate=rate)


def simulate(
    seed: int, make: MakeNode = Node, *, kinds: tuple[str, ...] = KINDS, shapes: tuple[Draw, ...] = SHAPES
) -> World:
    """The world of this seed after its run, of one of these kinds and shapes. Raises Violated when a promise was not
    kept.
    """
    world = World(seed)
    dice = world.random
    kind = dice.choice(kinds)
    shape = draw(world, shapes, CROWDED if kind in {"takeover", "pauses"} else LOADS)
    weather = climate(world, RUN_SECONDS) if kind in {"store", "all"} else Climate(clustered=True)
    drift = dice.choice((0.0, 0.0, 0.01))
    loss = Loss(*(dice.choice((0.0, 0.02, 0.2)) for _ in range(3))) if kind in {"mesh", "all"} else Loss()
    cluster = Cluster(world, weather)
    strict = Strict(world, [*shape.demands], slack=3 * drift)
    company = Company(world, shape, cluster, Mesh(world, loss), strict, Shares(world, cluster), make, drift)
    company.shares.peaceful = kind == "fair"
    world.tell(f"{shape.name}, {kind}, {shape.rate:.1f} a second, {loss}, drift {drift}")
    for _ in range(dice.choice((1, 2, 2, 3, 4))):
        company.hire()
    _call(company)
    for _ in range(dice.randint(0, 4) if kind != "fair" else 0):
        world.after(dice.uniform(0.0, RUN_SECONDS), _accident(company, dice.choice(ACCIDENTS[kind])))
    for _ in range(dice.choice((0, 0, 0, 2))):
        world.after(dice.uniform(0.0, RUN_SECONDS), lambda: _tell(company))
    for _ in range(dice.choice((0, 0, 0, 8))):
        world.after(dice.uniform(0.0, RUN_SECONDS), lambda: _hint(company))
    world.run(RUN_SECONDS)
    _calm(company)
    world.run(RUN_SECONDS + CALM_SECONDS + LONGEST_DEADLINE)
    _serve(company)
    if world.chance(0.1):
        _idle(company)
    company.shares.settle()
    return world


def _call(company: Company) -> None:
    """An exchange now, at one of the sidecars; and another one later."""
    world, shape = company.world, company.shape
    if world.now >= RUN_SECONDS:
        return
    pacer = world.random.choice(company.pacers)
    pacer.ask(world.random.choice(shape.demands), world.random.uniform(0.02, shape.deadline))
    world.after(world.random.expovariate(shape.rate), lambda: _call(company))


def _tell(company: Company) -> None:
    """An answer of the provider says "not before", or what it believes is left."""
    world, pacer = company.world, company.world.random.choice(company.pacers)
    demand = world.random.choice(company.shape.demands)
    key = world.random.choice(demand.keys)
    if pacer.node is None:
        return
    told = Told((key,), world.random.uniform(*TOLD_SECONDS))

    def hear() -> None:
        company.shares.told(company.pacers, pacer, told)
        pacer.on(told)

    pacer.actor.hear(pacer.actor.life, hear)


def _hint(company: Company) -> None:
    """An answer says what is left of a limit, and lies."""
    world, dice = company.world, company.world.random
    sent = [one for one in company.shares.kept[-20:] if one.sent and one.demand.wants]
    if not sent:
        return
    exchange = dice.choice(sent)
    limit = dice.choice(exchange.demand.wants).limit
    units = limit.windows[0].units if limit.windows else 1
    reset = dice.choice((None, dice.uniform(0.0, company.shape.longest_window)))
    world.fault("lying hint")
    hinted = Hinted(exchange.name, limit.key, units, dice.randint(0, units), reset)
    exchange.pacer.actor.hear(exchange.pacer.actor.life, lambda: exchange.pacer.on(hinted))


def _accident(company: Company, what: Callable[[Company, Pacer], None]) -> Callable[[], None]:
    def happen() -> None:
        pacer = company.owner() if what in OWNERS else company.world.random.choice(company.pacers)
        if pacer is not None and pacer.node is not None and not pacer.ending and not company.calm:
            what(company, pacer)

    return happen


def _die(company: Company, pacer: Pacer) -> None:
    pacer.kill()
    company.world.after(company.world.random.uniform(*DOWN_SECONDS), lambda: _come_back(company, pacer))


def _come_back(company: Company, pacer: Pacer) -> None:
    if pacer.node is None:
        company.begin(pacer)


def _stand_still(company: Company, pacer: Pacer) -> None:
    pacer.actor.pause(company.world.random.uniform(*STILL_SECONDS))


def _freeze(company: Company, pacer: Pacer) -> None:
    pacer.freeze(company.world.random.uniform(*STILL_SECONDS))


def _leave(company: Company, pacer: Pacer) -> None:
    """A deploy: it ends in order, and comes back."""
    pacer.leave()
    company.world.after(LONGEST_DEADLINE + company.world.random.uniform(2.5, 5.0), lambda: _come_back(company, pacer))


def _join(company: Company, pacer: Pacer) -> None:
    company.world.fault("late starter")
    company.hire()


def _storeless(company: Company, pacer: Pacer) -> None:
    company.world.fault("store away for one", pacer.me)
    pacer.storeless = True

    def mend() -> None:
        pacer.storeless = False

    company.world.after(company.world.random.uniform(*AWAY_SECONDS), mend)


def _storeless_all(company: Company, pacer: Pacer) -> None:
    kind = company.world.random.choice(("nobody", "silence"))
    company.cluster.go_away(kind, company.world.random.uniform(*AWAY_SECONDS))


def _cut_off(company: Company, pacer: Pacer) -> None:
    """Its connection is half open: neither the others nor the store hear it, and nobody knows."""
    name, mesh = pacer.actor.name, company.mesh
    company.world.fault("cut off", name)
    mesh.cut_off.add(name)
    pacer.storeless = company.world.chance(0.7)

    def mend() -> None:
        mesh.cut_off.discard(name)
        pacer.storeless = False

    company.world.after(company.world.random.uniform(*AWAY_SECONDS), mend)


def _nats_away(company: Company, pacer: Pacer) -> None:
    seconds = company.world.random.uniform(*AWAY_SECONDS)
    company.cluster.go_away("silence", seconds)
    company.mesh.away = True

    def mend() -> None:
        company.mesh.away = False

    company.world.after(seconds, mend)


def _lose_owner(company: Company, owner: Pacer) -> None:
    """The store is away for the owner alone, or the owner dies or stands still, perhaps while another one cannot be
    asked what it holds.
    """
    others = [pacer for pacer in company.pacers if pacer is not owner and pacer.node is not None]
    if others and company.world.chance(0.5):
        _cut_off(company, company.world.random.choice(others))
    company.world.random.choice((_die, _stand_still, _freeze, _storeless, _storeless))(company, owner)


MESH = (_cut_off, _join)
PROCESSES = (_die, _die, _stand_still, _freeze, _leave, _join)
STORE = (_storeless, _storeless_all, _nats_away)
OWNERS = (_lose_owner,)
ACCIDENTS = {
    "mesh": MESH,
    "processes": PROCESSES,
    "store": STORE,
    "takeover": OWNERS,
    "pauses": (_stand_still,),
    "all": (*MESH, *PROCESSES, *STORE, *OWNERS),
}


def _calm(company: Company) -> None:
    """No new trouble from now on, and what there is ends."""
    company.calm = True
    company.cluster.calm()
    company.mesh.calm()
    for pacer in company.pacers:
        pacer.storeless = False
        pacer.habit = Habit(pacer.habit.seconds, pacer.habit.variation)


def _serve(company: Company) -> None:
    """Every sidecar that is there gets one exchange of each kind."""
    world, shape = company.world, company.shape
    seconds = SERVE_SECONDS + 2 * shape.longest_window + (SLOT_SECONDS if shape.slots else 0.0)
    living = [pacer for pacer in company.pacers if pacer.node is not None and not pacer.ending]
    before = len(company.shares.kept)
    for pacer in living:
        for demand in shape.demands:
            pacer.ask(demand, seconds)
    world.run(world.now + seconds + 1.0)
    asked = company.shares.kept[before:]
    world.check(SERVED, len(asked) >= len(living) * len(shape.demands), len(asked))
    for exchange in asked:
        world.check(SERVED, exchange.sent or exchange.ended == VOID, (exchange.name, exchange.ended))


def _idle(company: Company) -> None:
    """Nobody wants anything: after a minute nothing is said, written or waited for."""
    world = company.world
    world.run(world.now + IDLE_SECONDS)
    said = company.mesh.sent, sum(pacer.written for pacer in company.pacers)
    world.run(world.now + IDLE_SECONDS / 4)
    after = company.mesh.sent, sum(pacer.written for pacer in company.pacers)
    waits = [pacer.me for pacer in company.pacers if pacer.wakes is not None]
    world.check(SILENT, after == said and not waits, (said, after, waits))
