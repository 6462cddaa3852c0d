"""Durable calls: what was acknowledged is done or told, whoever dies; nobody's queue holds up another's."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nats.errors import Error as NatsError

from tests.app.fleet import FAILED
from tests.chaos.kills import BUSY, killing
from tests.chaos.place import TENANT, Place, place
from tests.chaos.scene import Scene
from tests.chaos.told import Plan, Told, quantile
from tests.figure import Figure, at_least, at_most, equal, listed, told
from tests.upstream import Behaviour

AGENTS = 32
ASKING = 32
PATIENCE = 300.0
PUT_OFF = 1_500.0  # a call that failed often is tried again minutes later, and is not lost while it waits for that
POLL = 0.25
NOT_YET = {"IN_PROGRESS", "STORE_UNAVAILABLE", "SHUTTING_DOWN", "UNAVAILABLE"}
FULL_HANDED = 20  # submits of the tenant that has little to do
BUSY_TENANT, IDLE_TENANT = "busy", "idle"
WITHIN = 1.0


async def kept(scene: Scene) -> list[Figure]:
    """Sidecars are killed, by one nats-server."""
    return await _kept(scene, nodes=1)


async def kept_on_a_cluster(scene: Scene) -> list[Figure]:
    """Sidecars are killed, and one after the other of three nats-servers."""
    return await _kept(scene, nodes=3)


async def _kept(scene: Scene, nodes: int) -> list[Figure]:
    async with place(scene.folder, BUSY, nodes=nodes, SIDECAR_QUEUE_DEPTH="100000") as here:
        await here.grow(scene.counts.members)
        await here.connect("plain")
        plan = Plan(
            subjects=(_submit(TENANT),),
            agents=AGENTS,
            timeout_ms=(10_000, 10_000),
            call_ids=True,
            keys=True,
            until_final=True,
        )
        async with here.load(plan) as load:
            await killing(here, scene.counts.kills, nodes=nodes > 1)
            while load.succeeded < scene.counts.submits:
                await killing(here, 1)
            answers = await load.stop()
        acknowledged = [each for each in answers.told if not each.reason]
        ended = time.monotonic()
        results = await _results(here, acknowledged)
        return [
            at_least("acknowledged submits", len({each.call_id for each in acknowledged}), scene.counts.submits),
            told("the last result after the last submit", f"{time.monotonic() - ended:.0f} s"),
            told(f"answers to submits, under {scene.counts.kills} kills and more", listed(answers.outcomes)),
            *_judged(here, acknowledged, results),
        ]


def _judged(here: Place, acknowledged: Sequence[Told], results: dict[str, tuple[str, str]]) -> list[Figure]:
    """Every acknowledged call has a result, and it is the truth by the upstream's log."""
    done = here.up.log().done
    rows = [(done[each.title], *results.get(each.call_id, ("none yet", ""))) for each in acknowledged]
    return [
        equal("lost: no result", sum(reason == "none yet" for _, reason, _ in rows), 0),
        told("results", listed(Counter(reason or "ok" for _, reason, _ in rows))),
        equal("done twice", sum(times > 1 for times, _, _ in rows), 0),
        equal("told as done, and not done", sum(not times and not reason for times, reason, _ in rows), 0),
        equal("told as not done, and done", sum(bool(times) and side == "none" for times, _, side in rows), 0),
    ]


async def _results(here: Place, calls: Sequence[Told]) -> dict[str, tuple[str, str]]:
    """Reason (empty: success) and side effect of each call, by its id; asked for until it is there."""
    found: dict[str, tuple[str, str]] = {}
    waiting = iter({each.call_id for each in calls})
    ends = time.monotonic() + PUT_OFF

    async def ask() -> None:
        for call_id in waiting:
            while time.monotonic() < ends:
                result = await _result(here, TENANT, call_id)
                if result is not None:
                    found[call_id] = result
                    break
                await asyncio.sleep(POLL)

    await asyncio.gather(*(ask() for _ in range(ASKING)))
    return found


async def _result(here: Place, tenant: str, call_id: str) -> tuple[str, str] | None:
    try:
        headers, body = await here.ask(f"sidecar.read.{tenant}.shop.-.result.get", {"call_id": call_id})
    except NatsError:
        return None
    if FAILED not in headers:
        return "", "done"
    failure: dict[str, Any] = body
    return None if failure["reason"] in NOT_YET else (str(failure["reason"]), str(failure["side_effect"]))


async def beside_a_long_queue(scene: Scene) -> list[Figure]:
    """One tenant has thousands of calls waiting; another submits one now and then."""
    slow = Behaviour(delay=0.4)
    tenants = (BUSY_TENANT, IDLE_TENANT)
    async with place(scene.folder, slow, tenants=tenants, SIDECAR_QUEUE_DEPTH="100000") as here:
        await here.grow(2)
        for tenant in tenants:
            await here.connect("plain", tenant=tenant)
        many = Plan(subjects=(_submit(BUSY_TENANT),), name="busy", agents=AGENTS, calls=scene.counts.waiting)
        async with here.load(many) as load:
            taken = await load.done(PATIENCE)
        few = Plan(subjects=(_submit(IDLE_TENANT),), name="idle", rate=4.0, calls=FULL_HANDED)
        async with here.load(few) as load:
            asked = await load.done(PATIENCE)
        await asyncio.sleep(WITHIN * 2)
        log = here.up.log()
        came = {each.title: each.at for each in reversed(log.arrived)}
        waits = [came.get(each.title, float("inf")) - each.began for each in asked.told]
        left = scene.counts.waiting - sum(number for title, number in log.done.items() if title.startswith("busy"))
        return [
            equal("taken in of the one tenant", taken.outcomes["ok"], scene.counts.waiting),
            at_least("  still waiting at the end", left, scene.counts.waiting // 10),
            told("submits of the other", listed(asked.outcomes)),
            at_most("  the last of them at the provider within", max(waits), WITHIN, " s"),
            told("  half of them within", f"{quantile(0.5, waits):.3f} s"),
        ]


def _submit(tenant: str) -> str:
    return f"sidecar.submit.{tenant}.shop.plain.items.create"
