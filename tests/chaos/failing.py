"""A provider that fails every request: it is left alone, and called again when it answers again."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.place import TENANT, Place, place
from tests.chaos.scene import Scene
from tests.chaos.told import NO_REPLY, NOBODY, Plan, quantile
from tests.figure import Figure, at_most, equal, listed, told
from tests.upstream import Behaviour

AMPLIFIED = 1.10
FAILURES = 5
OPEN = "CIRCUIT_OPEN"
CALLS_A_SECOND = 40.0
MEMBERS = 2
MARGIN = 5.0  # seconds beyond the breaker's own, as calls are made twice a second
READ = f"sidecar.read.{TENANT}.shop.plain.items.get"
WRITE = f"sidecar.write.{TENANT}.shop.plain.items.create"


async def provider_down(scene: Scene) -> list[Figure]:
    """All requests fail; then none does."""
    async with place(scene.folder) as here:
        alone = await here.member()
        await here.connect("plain")
        await here.up.become(Behaviour(fail=1.0))
        before_open = await _until_open(here)
        await here.kill(alone)
        await here.grow(MEMBERS)
        began = len(here.up.log().arrived)
        plan = Plan(subjects=(READ, WRITE), name="down", rate=CALLS_A_SECOND, seconds=scene.counts.seconds)
        async with here.load(plan) as load:
            answers = await load.done(scene.counts.seconds + 60)
        requests = len(here.up.log().arrived) - began
        refusals = [each.seconds for each in answers.told if each.reason == OPEN]
        figures = [
            at_most("requests until the breaker opens, one sidecar, one call after the other", before_open, FAILURES),
            told(f"calls in {scene.counts.seconds:g} s, {MEMBERS} sidecars", listed(answers.outcomes)),
            equal("calls without a reply", answers.outcomes[NO_REPLY] + answers.outcomes[NOBODY], 0),
            at_most("requests for each call", requests / max(1, len(answers.told)), AMPLIFIED),
            told("requests in all", requests),
            told("a refusal takes, p50", f"{quantile(0.5, refusals) * 1000:.2f} ms"),
        ]
        if scene.counts.opens_again:
            figures.append(await _closed_again(here, scene.counts.opens_again))
        return figures


async def _until_open(here: Place) -> int:
    """The requests that it took until a call was refused."""
    for _ in range(4 * FAILURES):
        _, answer = await here.ask(READ, {"title": "x"}, {"Timeout-Ms": "5000"})
        if answer["reason"] == OPEN:
            break
    return len(here.up.log().arrived)


async def _closed_again(here: Place, after: float) -> Figure:
    """How long after the provider's return a call succeeds."""
    await here.up.become(Behaviour())
    began, succeeded = time.monotonic(), 0
    while succeeded < MEMBERS * 2 and time.monotonic() - began < 2 * (after + MARGIN):
        _, answer = await here.ask(READ, {"title": "x"}, {"Timeout-Ms": "5000"})
        succeeded = succeeded + 1 if answer.get("reason") != OPEN else 0
        await asyncio.sleep(0.25)
    return at_most("all serve again after its return", time.monotonic() - began, after + MARGIN, " s")
