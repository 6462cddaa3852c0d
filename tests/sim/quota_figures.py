"""How much of a quota is used, and what that costs: worlds of one shape each, with a load as in production."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sidecar.core.quota.limit import Demand
from sidecar.core.quota.node import Node
from tests.sim.cluster import Climate, Cluster
from tests.sim.judge import Strict
from tests.sim.mesh import Mesh
from tests.sim.pacer import Habit, MakeNode, Pacer
from tests.sim.quota import Company
from tests.sim.shape import Shape, demand, limit
from tests.sim.shares import Exchange, Shares
from tests.sim.world import World

SEED = 1
WARM_SECONDS = 3.0
PHASES = 8
AGAIN = 0.9
HABIT = Habit(seconds=(0.01, 0.1), variation=0.01, punctual=0.0)  # waits are those of quotas alone
Trouble = Callable[[Company], None]


@dataclass(frozen=True)
class Scene:
    """`load`: of what the limit allows, in units; `bar`: the share of the quota that must be used, where there is one.

    `trouble` begins `WARM_SECONDS` into the run.
    """

    name: str
    demands: tuple[Demand, ...]
    load: float
    seconds: float = 12.0
    sidecars: int = 4
    deadline: float = 2.0
    bar: float | None = None
    habit: Habit = HABIT
    trouble: Trouble | None = None
    quick: bool = False  # soon simulated, and so in every run of the tests


@dataclass(frozen=True)
class Figure:
    """`used` of what the limit allows; waits in seconds from asking to the first byte; messages and writes a second."""

    scene: Scene
    used: float
    worst: float  # of all whole seconds (or windows, where they are longer)
    p50: float
    p99: float
    messages: float
    writes: float
    refused: int
    shares: tuple[int, ...]
    again: float | None  # how long after the trouble began nine tenths were used for good

    def __str__(self) -> str:
        bar = "" if self.scene.bar is None else f"(bar {self.scene.bar:.0%})"
        again = "" if self.again is None else f"  90 % again after {self.again:.0f} s"
        return (
            f"{self.scene.name:<44} {self.used:7.1%} used {bar:<10} worst {self.worst:6.1%}"
            f"  wait p50 {self.p50 * 1e3:8.2f} p99 {self.p99 * 1e3:8.2f} ms"
            f"  {self.messages:6.1f} messages/s {self.writes:4.1f} writes/s  refused {self.refused}{again}"
        )


def run(scene: Scene, make: MakeNode = Node) -> Figure:
    """The figures of a scene. Raises Violated where the quota was not kept."""
    world = World(SEED)
    company = _company(world, scene, make)
    end = WARM_SECONDS + scene.seconds
    _load(company, end)
    if scene.trouble is not None:
        trouble = scene.trouble
        world.after(WARM_SECONDS, lambda: trouble(company))
    world.run(end)
    return _figure(scene, company, end)


def alone(world: World, what: Demand) -> Company:
    """A company of one."""
    return _company(world, Scene("alone", (what,), 1.0, sidecars=1), Node)


def _company(world: World, scene: Scene, make: MakeNode) -> Company:
    cluster = Cluster(world, Climate())
    strict = Strict(world, [*scene.demands], phases=PHASES)
    judge = next(iter(strict.judges.values()))
    cost = sum(one.wants[0].cost for one in scene.demands) / len(scene.demands)
    shape = Shape(scene.name, scene.demands, scene.load * judge.rate / cost, scene.deadline, scene.habit)
    company = Company(world, shape, cluster, Mesh(world), strict, Shares(world, cluster), make)
    for _ in range(scene.sidecars):
        company.hire()
    return company


def _load(company: Company, until: float) -> None:
    world, shape = company.world, company.shape
    if world.now >= until:
        return
    living = [pacer for pacer in company.pacers if pacer.node is not None and not pacer.ending]
    world.random.choice(living).ask(world.random.choice(shape.demands), shape.deadline)
    world.after(world.random.expovariate(shape.rate), lambda: _load(company, until))


def _figure(scene: Scene, company: Company, end: float) -> Figure:
    judge = next(iter(company.strict.judges.values()))
    slot = max([1.0, *(window.seconds for window in judge.limit.windows)])
    used = judge.units(WARM_SECONDS, end) / (judge.rate * (end - WARM_SECONDS))
    each = [judge.units(since, since + slot) / (judge.rate * slot) for since in _slots(WARM_SECONDS, end, slot)]
    sent = [one for one in company.shares.kept if one.sent and one.began >= WARM_SECONDS]
    waits = sorted(one.sent_at - one.began for one in sent) or [0.0]
    refused = sum(one.ended is not None and one.ended.startswith("refused") for one in company.shares.kept)
    return Figure(
        scene,
        used,
        min(each, default=used),
        waits[len(waits) // 2],
        waits[len(waits) * 99 // 100],
        company.mesh.sent / end,
        sum(pacer.written for pacer in company.pacers) / end,
        refused,
        tuple(_sent_by(sent, pacer) for pacer in company.pacers),
        None
        if scene.trouble is None
        else slot * max((at for at, part in enumerate(each, 1) if part < AGAIN), default=0),
    )


def _slots(since: float, end: float, slot: float) -> Iterator[float]:
    while since + slot <= end:
        yield since
        since += slot


def _sent_by(sent: list[Exchange], pacer: Pacer) -> int:
    return sum(one.pacer is pacer for one in sent)


def owner(company: Company) -> Pacer:
    found = company.owner()
    assert found is not None
    return found


def kill_owner(company: Company) -> None:
    owner(company).kill()


def kill_another(company: Company) -> None:
    next(pacer for pacer in company.pacers if pacer is not owner(company)).kill()


def pause_another(company: Company) -> None:
    next(pacer for pacer in company.pacers if pacer is not owner(company)).actor.pause(5.0)


def owner_leaves(company: Company) -> None:
    owner(company).leave()


def store_away(company: Company) -> None:
    company.cluster.go_away("nobody", 20.0)


def units(rate: int, seconds: float = 1.0, cost: int = 1) -> tuple[Demand, ...]:
    return (demand(limit(f"{rate} in {seconds:g} s", (rate, seconds)), cost=cost),)


TWO = limit("two", (250, 1.0), (1_000, 5.0))
BUCKET = limit("bucket", tokens=(50.0, 10))
SCENES = (
    Scene("250/s, 120 % load", units(250), 1.2, bar=0.95, quick=True),
    Scene("250/s, 300 % load", units(250), 3.0, bar=0.95),
    Scene("250/s, 120 % load, 1 sidecar", units(250), 1.2, sidecars=1, bar=0.95, quick=True),
    Scene("250/s, 120 % load, 8 sidecars", units(250), 1.2, sidecars=8, bar=0.95),
    Scene("250/s, 80 % load", units(250), 0.8),
    Scene("250/s, 1 call a second", units(250), 1 / 250, seconds=60.0),
    Scene("250/s, cost 100 (ceiling 80 %)", units(250, cost=100), 1.2, bar=0.7, quick=True),
    Scene("5/s", units(5), 1.5, seconds=60.0, bar=0.94, quick=True),
    Scene("1/s", units(1), 2.0, seconds=60.0, deadline=5.0, bar=0.9, quick=True),
    Scene("6000 in 60 s", units(6_000, 60.0), 1.2, seconds=120.0, deadline=5.0, bar=0.95),
    Scene("bucket of 50/s, burst 10, 300 % load", (demand(BUCKET),), 3.0, bar=0.94, quick=True),
    Scene("250/s and 1000 in 5 s, 120 % load", (demand(TWO),), 1.2, seconds=20.0, bar=0.93),
    Scene("250/s, a sidecar killed", units(250), 1.2, seconds=8.0, trouble=kill_another, bar=0.92),
    Scene("250/s, a sidecar paused 5 s", units(250), 1.2, seconds=8.0, trouble=pause_another),
    Scene("250/s, the owner killed", units(250), 1.2, seconds=10.0, trouble=kill_owner),
    Scene("250/s, the owner leaves in order", units(250), 1.2, seconds=8.0, trouble=owner_leaves, bar=0.9),
    Scene("250/s, the store away for 20 s", units(250), 1.2, seconds=26.0, trouble=store_away),
)


def figures(scenes: tuple[Scene, ...] = SCENES) -> Iterator[str]:
    """A line for each scene."""
    for scene in scenes:
        yield str(run(scene))
