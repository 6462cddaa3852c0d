"""JetStream goes away: who has a token goes on, and what was refreshed meanwhile is neither lost nor spent twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar.credential import Credential
from tests.app.fleet import Member
from tests.auth_real.deaths import caught
from tests.auth_real.expiries import Load, connected, refused
from tests.auth_real.fleet import Fleet, fleet
from tests.auth_real.gate import Gate, Side, gate_before
from tests.auth_real.scene import Scene
from tests.auth_real.strict import StrictServer, strict_server
from tests.figure import Figure, equal, listed, told

TTL = 600
IN_WINDOW = 120.0  # seconds that the record still gives a token: it is due for a refresh, whatever the dice say
SHARE = 0.999
THINK_SECONDS = 0.05
WITH_TOKENS = 10
WARM = 20
UNDER_WAY = 3
PERSISTED_SECONDS = 30.0
POLL_SECONDS = 0.2
GOES_ON = 3.0  # seconds between SIGTERM and JetStream's return


async def jetstream_away(scene: Scene) -> list[Figure]:
    """Sixty seconds without JetStream, refreshes under way as it goes."""
    async with (
        strict_server(scene.folder, ttl=TTL) as server,
        gate_before(server.url) as gate,
        fleet(scene.folder / "fleet") as here,
    ):
        await here.grow(2)
        names = await connected(here, server, WITH_TOKENS, gate.url)
        due = names[:UNDER_WAY]
        for name in names * WARM:  # so that every sidecar knows every connection
            await here.call(name)
        before = await _refreshed_into_the_outage(here, server, gate, due)
        load = Load(here, names, think=THINK_SECONDS)
        await asyncio.sleep(scene.counts.outage_seconds)
        await load.stop()
        here.jetstream(on=True)
        await here.jetstream_is(on=True)
        waited = await _persisted(here, due, before)
        spent = len(await server.refreshes()) - WITH_TOKENS - UNDER_WAY  # at the import, and ours
        share = load.outcomes["ok"] / load.outcomes.total()
        alive = [await here.call(name) for name in names]
        return [
            Figure("calls with valid tokens", listed(load.outcomes), ">= 99.9 % ok", share >= SHARE),
            told("  longest", f"{load.longest:.2f} s"),
            equal("refreshes whose result could not be stored", spent, UNDER_WAY),
            equal("  stored after", sum(seconds is not None for seconds in waited), UNDER_WAY),
            told("  within", f"{max((seconds for seconds in waited if seconds is not None), default=0):.1f} s"),
            equal("refresh tokens used twice, or refused", refused(await server.refreshes()), 0),
            equal("grants lost", sum(reply.reason is not None for reply in alive), 0),
        ]


async def killed_with_results(scene: Scene) -> list[Figure]:
    """SIGKILL with a result that is in memory and on the disk alone: who starts with that disk takes it up."""
    async with (
        strict_server(scene.folder, ttl=TTL) as server,
        gate_before(server.url) as gate,
        fleet(scene.folder / "fleet") as here,
    ):
        member = await here.member()
        names = await connected(here, server, UNDER_WAY, gate.url)
        before = await _refreshed_into_the_outage(here, server, gate, names)
        state = here.states[member.child.pid]
        spilled = await _spilled(Path(state), len(names))
        kept = b"".join(file.read_bytes() for file in Path(state).rglob("*") if file.is_file())
        await here.kill(member.child.pid)
        here.jetstream(on=True)
        await here.jetstream_is(on=True)
        await here.member(SIDECAR_STATE_DIR=state)
        figures = await _kept(here, server, names, before)
        readable = [word for name in names for word in (await here.record(name))[0].revealed().values()]
        return [
            told("on the disk after", f"{spilled:.1f} s"),
            equal("  tokens that can be read there", sum(word.encode() in kept for word in readable), 0),
            *figures,
        ]


async def ended_with_results(scene: Scene) -> list[Figure]:
    """SIGTERM with a result that is not stored yet: the process waits until it is."""
    async with (
        strict_server(scene.folder, ttl=TTL) as server,
        gate_before(server.url) as gate,
        fleet(scene.folder / "fleet") as here,
    ):
        member = await here.member()
        names = await connected(here, server, UNDER_WAY, gate.url)
        before = await _refreshed_into_the_outage(here, server, gate, names)
        member.signal(signal.SIGTERM)
        await asyncio.sleep(GOES_ON)
        waits = member.child.returncode is None
        here.jetstream(on=True)
        await here.jetstream_is(on=True)
        code = await _exit_code(member)
        figures = await _kept(here, server, names, before, live=False)
        return [Figure("the process waits", str(waits), "True", waits), equal("  exit code", code, 0), *figures]


async def _kept(
    here: Fleet, server: StrictServer, names: Sequence[str], before: Sequence[Credential], *, live: bool = True
) -> list[Figure]:
    waited = await _persisted(here, names, before)
    if not live:
        await here.member()
    alive = [await here.call(name) for name in names]
    return [
        equal("results stored", sum(seconds is not None for seconds in waited), len(names)),
        equal("refreshes", len(await server.refreshes()) - 2 * len(names), len(names)),
        equal("grants lost", sum(reply.reason is not None for reply in alive), 0),
        equal("refresh tokens used twice, or refused", refused(await server.refreshes()), 0),
    ]


async def _refreshed_into_the_outage(
    here: Fleet, server: StrictServer, gate: Gate, names: Sequence[str]
) -> list[Credential]:
    """Refreshes that the provider has answered when JetStream is gone; the records as they were."""
    gate.shut(Side.BEHIND)
    for name in names:
        await here.believe(name, server, IN_WINDOW)
        await caught(here, gate, name)
    gate.open()
    records = [(await here.record(name))[0] for name in names]
    here.jetstream(on=False)
    await here.jetstream_is(on=False)
    for waiting in list(gate.waiting):
        waiting.release()
    return records


async def _spilled(folder: Path, number: int) -> float:
    """Seconds until so many results lie there; sealed, which another test looks at."""
    began = time.monotonic()
    while sum(file.is_file() for file in folder.rglob("*")) < number:
        if time.monotonic() - began > PERSISTED_SECONDS:
            raise TimeoutError(f"{folder} has no result of a refresh")
        await asyncio.sleep(POLL_SECONDS / 10)
    return time.monotonic() - began


async def _persisted(here: Fleet, names: Sequence[str], before: Sequence[Credential]) -> list[float | None]:
    """After how many seconds each record held other tokens; None where it never did."""
    began = time.monotonic()

    async def one(name: str, old: Credential) -> float | None:
        while (seconds := time.monotonic() - began) < PERSISTED_SECONDS:
            now, _ = await here.record(name)
            if now.tokens and old.tokens and now.tokens.access != old.tokens.access:
                return seconds
            await asyncio.sleep(POLL_SECONDS)
        return None

    return await asyncio.gather(*(one(name, old) for name, old in zip(names, before, strict=True)))


async def _exit_code(member: Member) -> int:
    async with asyncio.timeout(60):
        return await member.child.wait()
