"""Several sidecars under one quota, an upstream that is strict at arrival: nothing is refused, little left over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.app.fleet import Member
from tests.chaos.place import TENANT, Place, place
from tests.chaos.scene import Scene
from tests.chaos.told import Answers, Plan, quantile
from tests.figure import Figure, at_least, at_most, equal, listed, told
from tests.fixtures_nats import frozen
from tests.limiter import Bucket, Limit, Sliding, Taken, most_within, refused_in_any_phase, units_a_second
from tests.upstream import Behaviour

A_SECOND = Sliding(250, 1.0)
BUCKET = Bucket(50, 10)
TIMES = 3  # as much demand as quota
TIME_MS = (1_500, 1_500)
LATE = 0.010  # seconds that a request may be under way
ANSWERS = 0.005
WARM = 3.0  # seconds from the first call until the figures count
PAUSED = 5.0
SKEW = 2.0
BACK_WITHIN = 6.0
SMOOTH = 3  # seconds over which a dip is looked for: a single one holds more or less by dice


@dataclass
class Fleet:
    """Sidecars that share a quota; each is known by the name that it has among the others."""

    here: Place
    provider: str
    named: dict[str, Member]

    async def view(self) -> dict[str, object]:
        _, answer = await self.here.ask(f"sidecar.admin.{TENANT}.-.{self.provider}.quota")
        return dict(answer)

    async def join(self, **variables: str) -> Member:
        """One more sidecar."""
        member = await self.here.member(**variables)
        async with asyncio.timeout(30):
            while True:
                view = await self.view()
                names = view["sidecars"]
                assert isinstance(names, list)
                new = [name for name in names if name not in self.named]
                if new:
                    self.named[new[0]] = member
                    return member

    async def owner(self) -> str:
        """Who owns the quota."""
        async with asyncio.timeout(30):
            while True:
                budgets = (await self.view())["budgets"]
                assert isinstance(budgets, list)
                if budgets:
                    return str(budgets[0]["owner"])

    async def other(self) -> Member:
        """One that does not own it."""
        owner = await self.owner()
        return next(member for name, member in self.named.items() if name != owner)


Fault = Callable[[Fleet], Awaitable[float]]  # does it, and gives the moment


@dataclass(frozen=True)
class Run:
    """What came of a load. `began` is when the figures count from, `struck` when the fault was done."""

    answers: Answers
    arrivals: list[Taken]
    limited: int
    began: float
    ended: float
    struck: float
    stopped: float

    @property
    def seconds(self) -> list[float]:
        """Units in each second, from where the figures count."""
        return units_a_second(self.arrivals, self.began, self.ended)

    def used(self, rate: float, since: float, until: float) -> float:
        """Percent of the quota between two moments."""
        units = sum(taken.units for taken in self.arrivals if since <= taken.at < until)
        return 100 * units / (rate * (until - since))

    def least(self, rate: float, since: float) -> float:
        """Percent of the quota in the poorest few seconds."""
        seconds = units_a_second(self.arrivals, since, self.ended)
        sums = [sum(seconds[at : at + SMOOTH]) for at in range(len(seconds) - SMOOTH + 1)]
        return 100 * min(sums, default=0.0) / (rate * SMOOTH)


async def sliding(scene: Scene) -> list[Figure]:
    """Three times as much demand as 250 in any second."""
    run = await _run(scene, "window", (A_SECOND,))
    return [
        *_never_limited(run, A_SECOND),
        at_least("used, %", run.used(250, run.began, run.ended), 95 * scene.counts.full),
    ]


async def bucket(scene: Scene) -> list[Figure]:
    """Three times as much as a bucket of 50 a second with a burst of 10."""
    run = await _run(scene, "bucket", (BUCKET,), rate=50 * TIMES)
    return [*_never_limited(run), at_least("used, %", run.used(50, run.began, run.ended), 94 * scene.counts.full)]


async def two_windows(scene: Scene) -> list[Figure]:
    """60 in any second and 400 in any ten."""
    limits = (Sliding(60, 1.0), Sliding(400, 10.0))
    run = await _run(scene, "two", limits, rate=60 * TIMES)
    whole = (run.ended - run.began) // 10 * 10
    return [
        *_never_limited(run),
        told("most in a second, in ten", f"{most_within(1, run.arrivals):g}, {most_within(10, run.arrivals):g}"),
        told(
            "used of the ten seconds' window, %", f"{run.used(40, run.ended - whole, run.ended):.1f}" if whole else "-"
        ),
    ]


async def costly(scene: Scene) -> list[Figure]:
    """Calls of 100 units each of 250: two of them fit into a second."""
    run = await _run(scene, "costly", (A_SECOND,), rate=2.5 * TIMES)
    return [*_never_limited(run), at_least("used, %", run.used(250, run.began, run.ended), 70 * scene.counts.full)]


async def killed(scene: Scene) -> list[Figure]:
    """SIGKILL of a sidecar that does not own the quota."""

    async def kill(fleet: Fleet) -> float:
        member = await fleet.other()
        moment = time.monotonic()
        await fleet.here.kill(member)
        return moment

    run = await _run(scene, "window", (A_SECOND,), kill)
    return [
        *_never_limited(run, A_SECOND),
        at_least(f"used in the poorest {SMOOTH} s since, %", run.least(250, run.struck), 92 * scene.counts.full),
        told("used since, %", f"{run.used(250, run.struck, run.ended):.1f}"),
    ]


async def owner_killed(scene: Scene) -> list[Figure]:
    """SIGKILL of the owner: another takes over when its lease is over."""

    async def kill(fleet: Fleet) -> float:
        member = fleet.named[await fleet.owner()]
        moment = time.monotonic()
        await fleet.here.kill(member)
        return moment

    run = await _run(scene, "window", (A_SECOND,), kill)
    seconds = units_a_second(run.arrivals, run.struck, run.ended)
    back = next((at for at, units in enumerate(seconds) if at > 0 and units >= 0.9 * 250), len(seconds))
    return [
        *_never_limited(run, A_SECOND),
        told("units in each second since", " ".join(f"{units:g}" for units in seconds[:10])),
        at_most("90 % again after", back, BACK_WITHIN, " s"),
        at_least("used from then on, %", run.used(250, run.struck + BACK_WITHIN, run.ended), 94 * scene.counts.full),
    ]


async def paused(scene: Scene) -> list[Figure]:
    """SIGSTOP for 5 s of a sidecar that does not own the quota, then of the one that does."""

    async def pause(fleet: Fleet) -> float:
        moment = time.monotonic()
        for member in (await fleet.other(), fleet.named[await fleet.owner()]):
            async with frozen(member.child.pid):
                await asyncio.sleep(PAUSED)
        return moment

    run = await _run(scene, "window", (A_SECOND,), pause)
    return [*_never_limited(run, A_SECOND), told("used since, %", f"{run.used(250, run.struck, run.ended):.1f}")]


async def skewed(scene: Scene) -> list[Figure]:
    """One wall clock two seconds ahead, one two behind."""
    run = await _run(scene, "window", (A_SECOND,), skews=(SKEW, -SKEW))
    return [
        *_never_limited(run, A_SECOND),
        at_least("used, %", run.used(250, run.began, run.ended), 94 * scene.counts.full),
    ]


async def store_away(scene: Scene) -> list[Figure]:
    """JetStream goes for 20 s and comes again; core NATS stays."""
    seconds = scene.counts.outage_seconds

    async def away(fleet: Fleet) -> float:
        fleet.here.nats.jetstream(on=False)
        await asyncio.sleep(seconds)
        fleet.here.nats.jetstream(on=True)
        return time.monotonic()

    run = await _run(scene, "window", (A_SECOND,), away)
    return [
        *_never_limited(run, A_SECOND),
        told("used while it was away, %", f"{run.used(250, run.struck - seconds, run.struck):.1f}"),
        told("used after its return, %", f"{run.used(250, run.struck, run.ended):.1f}"),
    ]


TURNS = 6  # with a quota and without one: the speed of a shared machine drifts


async def cheap(scene: Scene) -> list[Figure]:
    """What the quota adds where there is enough of it: at 80 % of it, and at one call a second."""
    figures: list[Figure] = []
    for rate, bar, seconds in ((200.0, 1.0, scene.counts.seconds / 2), (1.0, 0.3, scene.counts.seconds)):
        async with _fleet(scene.folder / f"at-{rate:g}", "window", scene.counts.members, (A_SECOND,)) as fleet:
            await fleet.here.connect("plain")
            names = ("plain", "window")
            took: dict[str, list[float]] = {name: [] for name in names}
            for together in ((name,) for _ in range(TURNS) for name in names) if rate > 1 else (names,):
                plans = [_plan(name, rate, seconds / TURNS if rate > 1 else seconds) for name in together]
                answers = await asyncio.gather(*(_answers(fleet.here, plan) for plan in plans))
                for name, answered in zip(together, answers, strict=True):
                    took[name] += [told.seconds for told in answered.told]
            with_quota, without = quantile(0.5, took["window"]), quantile(0.5, took["plain"])
            figures += [
                equal(f"429s at {rate:g} calls a second", fleet.here.up.log().limited, 0),
                at_most("  added to a call, p50", (with_quota - without) * 1000, bar, " ms"),
                told("  a call's p50 with and without", f"{with_quota * 1000:.2f} ms, {without * 1000:.2f} ms"),
            ]
    return figures


async def _answers(here: Place, plan: Plan) -> Answers:
    async with here.load(plan) as load:
        return await load.done(plan.seconds + 60)


def _plan(provider: str, rate: float, seconds: float = 0.0) -> Plan:
    subject = f"sidecar.write.{TENANT}.shop.{provider}.items.create"
    return Plan(subjects=(subject,), name=provider, rate=rate, seconds=seconds, timeout_ms=TIME_MS)


def _never_limited(run: Run, window: Sliding | None = None) -> list[Figure]:
    """The one promise of all these scenes; and what other limits would have said to the same arrivals."""
    figures = [
        told("calls", listed(run.answers.outcomes)),
        equal("429s", run.limited, 0),
        told("the upstream itself stood still for up to", f"{run.stopped:.3f} s"),
        told("units in each second", " ".join(f"{units:g}" for units in run.seconds)),
    ]
    if window is not None:
        phases = refused_in_any_phase(window.units, window.seconds, run.arrivals)
        figures.append(equal("429s by fixed windows of any phase", phases, 0))
    return figures


async def _run(
    scene: Scene,
    provider: str,
    limits: tuple[Limit, ...],
    fault: Fault | None = None,
    *,
    rate: float = 250 * TIMES,
    skews: tuple[float, ...] = (),
) -> Run:
    """A load of the scene's seconds, and the fault at a third of them."""
    seconds = scene.counts.seconds
    async with (
        _fleet(scene.folder, provider, scene.counts.members, limits, skews) as fleet,
        fleet.here.load(_plan(provider, rate)) as load,
    ):
        began = time.monotonic() + WARM
        await asyncio.sleep(WARM + seconds / 3)
        struck = await fault(fleet) if fault else began
        await asyncio.sleep(max(seconds * 2 / 3, 0.0))
        ended = time.monotonic()
        answers = await load.stop()
        log = fleet.here.up.log()
        return Run(answers, log.taken(), log.limited, began, ended, struck, log.longest_stop)


@asynccontextmanager
async def _fleet(
    folder: Path, provider: str, members: int, limits: tuple[Limit, ...], skews: tuple[float, ...] = ()
) -> AsyncIterator[Fleet]:
    async with place(folder, Behaviour(limits=limits, late=LATE, delay=ANSWERS)) as here:
        fleet = Fleet(here, provider, {})
        for number in range(members):
            await fleet.join(**({"CLOCK_AHEAD": str(skews[number])} if number < len(skews) else {}))
        await here.connect(provider)
        yield fleet
