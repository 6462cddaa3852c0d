"""The process that refreshes dies, or stands still, at the worst moments: what the others do, and what is lost.

The moments are made by a gate before the token endpoint: it has the request, and the provider has it not, or the
provider has rotated the token, and nobody has the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from sidecar.auth.refresh import NOTICE_SECONDS, PATIENCE_SECONDS
from tests.auth_real.expiries import OVER, connected, refused
from tests.auth_real.fleet import Fleet, Reply, fleet
from tests.auth_real.gate import Gate, Side, Waiting, gate_before, owner_of
from tests.auth_real.scene import Scene
from tests.auth_real.strict import StrictServer, strict_server
from tests.figure import Figure, at_most, equal, listed, told
from tests.fixtures_nats import frozen

TTL = 600
TAKE_OVER = PATIENCE_SECONDS + NOTICE_SECONDS  # how long another process's attempt is left alone
MARGIN = 0.5
CALL_MS = 2_000
PAUSE = 0.25  # between the calls of one that waits
AGAIN_SECONDS = 2.0
GIVE_UP = TAKE_OVER + 60.0
FINAL = {None, "REFRESH_LOST", "REAUTH_REQUIRED", "CREDENTIAL_REJECTED"}
NOBODY = "TimeoutError"  # the dead one's share of the calls, until NATS knows
SETTLED = 3.0  # seconds in which a process that goes on does what it still has to do


class Back(NamedTuple):
    """How a connection came through: after how many seconds a call had a final outcome, since the first call that a
    living process took, and since the death; which outcome, and what failed before.
    """

    seconds: float
    since_death: float
    reason: str | None
    failed: Counter[str]


async def before_it_sends(scene: Scene) -> list[Figure]:
    """SIGKILL while the provider does not have the request yet."""
    async with _place(scene) as (server, gate, here):
        killed = await _killed(here, server, gate, Side.BEFORE, scene.counts.kills)
        backs = [await back for _, back in killed]
        calls = await server.refreshes()
        return [
            equal("kills", len(killed), scene.counts.kills),
            equal("grants lost", sum(back.reason is not None for back in backs), 0),
            equal("invalid_grant", refused(calls), 0),
            at_most("others go on after", max(back.seconds for back in backs), TAKE_OVER + MARGIN, " s"),
            told("  since the death", f"{max(back.since_death for back in backs):.2f} s"),
            told("failed meanwhile, of calls with 2 s each", listed(_sum(backs))),
        ]


async def after_rotation(scene: Scene) -> list[Figure]:
    """SIGKILL when the provider has rotated the token, and the answer is not here yet."""
    async with _place(scene) as (server, gate, here):
        killed = await _killed(here, server, gate, Side.BEHIND, scene.counts.kills)
        victims = len(killed)
        backs = [await back for _, back in killed]
        again = [await here.call(name) for name, _ in killed]
        further = len(await server.refreshes()) - 3 * victims  # at the import, ours, and before each kill
        lost = Counter(back.reason or "alive" for back in backs)
        return [
            equal("kills", victims, scene.counts.kills),
            at_most("grants lost", sum(back.reason is not None for back in backs), victims),
            Figure("told as", listed(lost), "REFRESH_LOST", set(lost) <= {"REFRESH_LOST", "alive"}),
            Figure("and after that as", listed(Counter(reply.reason or "alive" for reply in again))),
            at_most("token calls after a kill, of all", further, victims),
            at_most("told after", max(back.seconds for back in backs), TAKE_OVER + MARGIN, " s"),
        ]


async def paused_for_a_moment(scene: Scene) -> list[Figure]:
    """SIGSTOP between rotation and store, for less time than others wait: nobody else sends, nothing is lost."""
    async with _place(scene) as (server, gate, here):
        name, waiting, pid = await _held(here, server, gate, Side.BEHIND)
        before = len(await server.refreshes())
        async with frozen(pid):
            waiting.release()
            back = asyncio.create_task(_back(here, name))
            await asyncio.sleep(SETTLED)
            spent = gate.passed
        outcome = await back
        return [
            equal("token calls while it stood", spent, 1),
            equal("token calls of others", len(await server.refreshes()) - before, 0),
            Figure("it goes on, and the grant is", outcome.reason or "alive", "alive", outcome.reason is None),
            told("failed meanwhile, of calls with 2 s each", listed(outcome.failed)),
        ]


async def paused_for_long(scene: Scene) -> list[Figure]:
    """SIGSTOP, for longer than others wait, before the provider had the request: what others stored since stays."""
    async with _place(scene) as (server, gate, here):
        name, waiting, pid = await _held(here, server, gate, Side.BEFORE)
        gate.open()
        async with frozen(pid):
            back = await _back(here, name)
            stored, _ = await here.record(name)
            waiting.drop()
        await asyncio.sleep(SETTLED)
        now, _ = await here.record(name)
        after = await _back(here, name)
        overwritten = now.tokens != stored.tokens or now.status != stored.status
        return [
            Figure("others took over, and the grant is", back.reason or "alive", "alive", back.reason is None),
            at_most("  after", back.seconds, TAKE_OVER + MARGIN, " s"),
            equal("stale overwrites when it goes on", int(overwritten and after.reason is not None), 0),
            Figure("the grant then is", after.reason or "alive", "alive", after.reason is None),
            equal("invalid_grant", refused(await server.refreshes()), 0),
        ]


async def paused_with_the_answer(scene: Scene) -> list[Figure]:
    """SIGSTOP, for longer than others wait, with the new token on its way: the strict server ends the grant when they
    try the old one, once, and the late one stores nothing over what they wrote.
    """
    async with _place(scene) as (server, gate, here):
        name, waiting, pid = await _held(here, server, gate, Side.BEHIND)
        gate.open()
        before = len(await server.refreshes())
        async with frozen(pid):
            back = await _back(here, name)
            stored, revision = await here.record(name)
            waiting.release()
        await asyncio.sleep(SETTLED)
        now, after = await here.record(name)
        again = await here.call(name)
        return [
            Figure("told as", back.reason or "alive", "REFRESH_LOST", back.reason == "REFRESH_LOST"),
            at_most("further token calls", len(await server.refreshes()) - before, 1),
            equal("stale overwrites when it goes on", int(now != stored), 0),
            told("writes of the record when it goes on", after - revision),
            Figure("a call then", again.reason or "ok", "REFRESH_LOST", again.reason == "REFRESH_LOST"),
        ]


@asynccontextmanager
async def _place(scene: Scene) -> AsyncIterator[tuple[StrictServer, Gate, Fleet]]:
    """Two sidecars, and a gate between them and the strict server."""
    async with (
        strict_server(scene.folder, ttl=TTL) as server,
        gate_before(server.url) as gate,
        fleet(scene.folder / "fleet") as here,
    ):
        await here.grow(2)
        yield server, gate, here


async def _killed(
    here: Fleet, server: StrictServer, gate: Gate, side: Side, number: int
) -> list[tuple[str, asyncio.Task[Back]]]:
    """So many processes, each killed with a connection's refresh at this side; and how each connection comes back."""
    backs: list[tuple[str, asyncio.Task[Back]]] = []
    names = await connected(here, server, number, gate.url)
    gate.shut(side)
    for name in names:
        await here.believe(name, server, OVER)
        waiting, pid = await caught(here, gate, name)
        await here.kill(pid)
        waiting.drop()
        backs.append((name, asyncio.create_task(_back(here, name))))
        await here.member()
    gate.open()
    return backs


async def _held(here: Fleet, server: StrictServer, gate: Gate, side: Side) -> tuple[str, Waiting, int]:
    """A connection, its refresh that is held at this side, and the process that wants it."""
    (name,) = await connected(here, server, 1, gate.url)
    await here.believe(name, server, OVER)
    gate.passed = 0
    gate.shut(side)
    waiting, pid = await caught(here, gate, name)
    return name, waiting, pid


async def caught(here: Fleet, gate: Gate, name: str) -> tuple[Waiting, int]:
    """A call on a token that is over makes a process refresh; its request, and that process. What was changed in the
    store may reach a process after the call did, which then went on with what it knew: it is called again.
    """
    already = list(gate.waiting)
    async with asyncio.timeout(GIVE_UP):
        while len(gate.waiting) == len(already):
            here.begin(name)
            with contextlib.suppress(TimeoutError):
                await gate.has(len(already) + 1, AGAIN_SECONDS)
    waiting = next(one for one in gate.waiting if one not in already)
    pid = owner_of(waiting.port, here.pids)
    assert pid is not None
    return waiting, pid


async def _back(here: Fleet, name: str) -> Back:
    """Call again and again, no call waiting for the one before, until it is known what became of the connection."""
    began, failed, calls = time.monotonic(), Counter[str](), set[asyncio.Task[Reply]]()
    taken = math.inf
    try:
        while time.monotonic() - began < GIVE_UP:
            calls.add(asyncio.create_task(here.call(name, ms=CALL_MS)))
            done, calls = await asyncio.wait(calls, timeout=PAUSE)
            now = time.monotonic()
            for reply in [call.result() for call in done]:
                if reply.reason != NOBODY:
                    taken = min(taken, now - reply.seconds)
                if reply.reason in FINAL:
                    return Back(now - taken, now - began, reply.reason, failed)
                failed[reply.reason or "ok"] += 1
        return Back(GIVE_UP, GIVE_UP, "nothing in all that time", failed)
    finally:
        for call in calls:
            call.cancel()


def _sum(backs: Sequence[Back]) -> Counter[str]:
    return sum((back.failed for back in backs), Counter())
