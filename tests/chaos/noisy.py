"""One tenant asks for ten times its share: it is refused what is beyond, at once, and the others do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.chaos.place import Place, place
from tests.chaos.scene import Scene
from tests.chaos.told import NO_REPLY, NOBODY, Answers, Plan, quantile
from tests.figure import Figure, at_most, equal, listed, told
from tests.upstream import Behaviour

QUIET = ("anna", "ben", "cleo")
NOISY = "noisy"
DELAY = 0.2  # seconds that the provider takes: so the sidecar's room is 200 calls a second, and a share of it 50
IN_FLIGHT = 40
SHARE = IN_FLIGHT / DELAY / (len(QUIET) + 1)
TIMES = 10
TIME_MS = (3_000, 3_000)
MOST = 1.2
REFUSED = {"QUEUE_FULL", "TENANT_LIMIT"}
AT_ONCE = 0.1


async def neighbours(scene: Scene) -> list[Figure]:
    """Three tenants at half of their share, first alone, then beside one at ten times its own."""
    tenants = (*QUIET, NOISY)
    slow = Behaviour(delay=DELAY)
    room = str(IN_FLIGHT)  # all of it for the one provider that is called here
    async with place(
        scene.folder, slow, tenants=tenants, SIDECAR_MAX_IN_FLIGHT=room, SIDECAR_MAX_PER_PROVIDER=room
    ) as here:
        await here.member()
        for tenant in tenants:
            await here.connect("plain", tenant=tenant)
        seconds = scene.counts.seconds / 2
        quiet = [_plan(tenant, SHARE / 2, seconds) for tenant in QUIET]
        alone = await _all(here, quiet)
        beside = await _all(here, [*quiet, _plan(NOISY, SHARE * TIMES, seconds)])
        noisy = beside.pop()
        before, after = (quantile(0.99, _seconds(answers)) for answers in (alone, beside))
        refusals = [each.seconds for each in noisy.told if each.reason in REFUSED]
        every = [*alone, *beside, noisy]
        return [
            told("the quiet ones alone", listed(_sum(alone).outcomes)),
            told("  beside the noisy one", listed(_sum(beside).outcomes)),
            equal("  not served", sum(bool(each.reason) for each in _sum(beside).told), 0),
            at_most("  their p99, of what it was", after / before, MOST, " x"),
            told("  it was and is", f"{before * 1000:.0f} ms, {after * 1000:.0f} ms"),
            told("the noisy one", listed(noisy.outcomes)),
            at_most("  a refusal within, p99.9", quantile(0.999, refusals) if refusals else 0.0, AT_ONCE, " s"),
            equal("without a reply", sum(each.outcomes[NO_REPLY] + each.outcomes[NOBODY] for each in every), 0),
        ]


async def _all(here: Place, plans: Sequence[Plan]) -> list[Answers]:
    async def one(plan: Plan) -> Answers:
        async with here.load(plan) as load:
            return await load.done(plan.seconds + 60)

    return list(await asyncio.gather(*(one(plan) for plan in plans)))


def _plan(tenant: str, rate: float, seconds: float) -> Plan:
    subject = f"sidecar.write.{tenant}.shop.plain.items.create"
    return Plan(subjects=(subject,), name=tenant, rate=rate, seconds=seconds, timeout_ms=TIME_MS)


def _seconds(answers: Sequence[Answers]) -> list[float]:
    return [each.seconds for each in _sum(answers).told]


def _sum(answers: Sequence[Answers]) -> Answers:
    return Answers([told for each in answers for told in each.told])
