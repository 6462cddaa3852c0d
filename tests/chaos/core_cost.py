"""What the pure part of shared quotas costs a call: time in it alone, of all sidecars together."""

from __future__ import annotations

import time

from sidecar.core.quota.event import Began, Effect, Ended, Event, Go
from sidecar.core.quota.node import Node
from tests.chaos.scene import Scene
from tests.core.quota.company import Company, demand, limit
from tests.figure import Figure, at_most

MOST_US = 40.0
CALLS = 6_000
READINGS = 10_000
QUOTA = 250
ROUNDS = 3  # the best of them: others use this machine too


class Timed(Node):
    """`spent`: seconds of the processor in it so far."""

    spent = 0.0
    reading = 0.0  # seconds that it takes to read this clock

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        began = time.thread_time()
        effects = super().on(event, now, jitter)
        self.spent += time.thread_time() - began - self.reading
        return effects


def _reading() -> float:
    began = time.thread_time()
    for _ in range(READINGS):
        time.thread_time()
    return (time.thread_time() - began) / READINGS


async def core(scene: Scene) -> list[Figure]:
    """One sidecar, and two that share; less demand than there is, and three times as much."""
    calls = int(CALLS * min(1.0, scene.counts.seconds / 10))
    Timed.reading = min(_reading() for _ in range(ROUNDS))
    return [
        at_most(f"{members} sidecars, {share:.0%} of the quota asked for", best, MOST_US, " us a call")
        for members in (1, 2, 4)
        for share in (0.8, 3.0)
        if (best := min(_cost(members, share * QUOTA, calls) for _ in range(ROUNDS)))
    ]


def _cost(members: int, rate: float, calls: int) -> float:
    """Microseconds for each call."""
    company, wanted = Company(), demand(limit(QUOTA))
    names = [f"n{number}" for number in range(members)]
    for name in names:
        company.nodes[name] = Timed(name, "-")
    for name in names:  # somebody owns it, and all know who
        company.ask(name, wanted)
        company.move(2.0)
    before = sum(node.spent for node in company.nodes.values() if isinstance(node, Timed))
    for number in range(calls):
        company.ask(names[number % members], wanted, seconds=1.0)
        company.move(1 / rate)
        going = [(name, effect.call) for _, name, effect in company.said if isinstance(effect, Go)]
        company.said.clear()
        for name, call in going:
            company.do(name, Began(((call, company.now),)))
            company.do(name, Ended(call))
    spent = sum(node.spent for node in company.nodes.values() if isinstance(node, Timed))
    return (spent - before) / calls * 1e6
