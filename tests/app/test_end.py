"""The end of a sidecar: nothing in flight fails, it ends in time whatever NATS does, and it can be hurried."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest

from tests.app.drain import drained
from tests.app.fleet import FAILED, PATIENCE, Fleet, Member, fleet
from tests.fixtures_nats import frozen, until
from tests.nats.proxy import proxy_before
from tests.processes import AS_INSTALLED

pytestmark = pytest.mark.anyio

FOREVER = 300.0  # of the upstream: longer than any test
OPERATIONS = {"SIDECAR_OPERATIONS_ADDRESS": "127.0.0.1:0"}
GRACE = {"SIDECAR_GRACE_SECONDS": "1"}
IN_TIME = 12.0  # grace, the drain of a link that is silent, the close, and a busy machine


async def in_flight(here: Fleet, title: str) -> asyncio.Task[Any]:
    """A call that the upstream has and does not answer yet."""
    call = asyncio.create_task(here.create(title))
    await until(lambda: title in here.upstream.seen)
    return call


async def page(member: Member, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{member.facts['operations_address']}{path}")
    return answer.status_code, answer.text


async def no_longer_ready(member: Member) -> str:
    """What `/readyz` says, once it is not ready."""
    while True:
        status, text = await page(member, "/readyz")
        if status != 200:
            return text
        await asyncio.sleep(0.01)


async def ready_again(member: Member) -> None:
    while True:
        if (await page(member, "/readyz"))[0] == 200:
            return
        await asyncio.sleep(0.01)


async def test_no_call_fails_while_sidecars_end(tmp_path: Path) -> None:
    """SIGTERM under load, five times: every call is answered with its outcome, none is sent twice, each has its end in
    the trace, and each process ends with 0.
    """
    result = await drained(tmp_path, 5)
    assert set(result.outcomes) == {"ok"}
    assert set(result.codes) == {0}
    assert (result.twice, result.untold) == (0, 0)


async def test_what_is_in_flight_is_finished_and_told_as_not_ready(tmp_path: Path) -> None:
    """After SIGTERM the call in flight gets its outcome. Until then the listener says alive and not ready, and a new
    call finds nobody.
    """
    async with fleet(tmp_path, delay=3.0) as (here, port):
        member = await here.member(**OPERATIONS)
        await here.connection(port)
        call = await in_flight(here, "slow")
        assert await page(member, "/readyz") == (200, "ok\n")
        member.signal()
        assert await no_longer_ready(member) == "ending: no more calls are taken\n"
        assert await page(member, "/healthz") == (200, "ok\n")
        with pytest.raises(nats.errors.NoRespondersError):
            await here.create("too late")
        assert not call.done()
        assert FAILED not in ((await call).headers or {})
        assert (await member.ended())[0] == 0


async def test_a_second_signal_gives_up_what_is_in_flight(tmp_path: Path) -> None:
    """Long before the grace is over each call in flight has its one reply, which says that the outcome is unknown; the
    exit code says that calls were given up.
    """
    async with fleet(tmp_path, delay=FOREVER) as (here, port):
        member = await here.member(**OPERATIONS, SIDECAR_GRACE_SECONDS="300")
        await here.connection(port)
        calls = [await in_flight(here, title) for title in ("a", "b")]
        member.signal()
        await no_longer_ready(member)
        assert not any(call.done() for call in calls)
        member.signal(signal.SIGINT)
        replies = [json.loads((await asyncio.wait_for(call, PATIENCE)).data) for call in calls]
        assert [reply["side_effect"] for reply in replies] == ["unknown", "unknown"]
        code, took, log = await member.ended()
        assert code == 75
        assert took < IN_TIME
        assert "2 calls were given up" in log


async def test_killed_while_it_ends(tmp_path: Path) -> None:
    """SIGTERM, then SIGKILL before the grace is over: what an operator was told is stored is there for the next one."""
    async with fleet(tmp_path, delay=FOREVER) as (here, port):
        member = await here.member(**OPERATIONS, SIDECAR_GRACE_SECONDS="300")
        await here.connection(port)
        call = await in_flight(here, "cut off")
        member.signal()
        await no_longer_ready(member)
        member.signal(signal.SIGKILL)
        assert (await member.ended())[0] == -signal.SIGKILL
        call.cancel()
        here.upstream.delay = 0.0
        await here.member()
        assert FAILED not in ((await here.create("after")).headers or {})


@pytest.mark.parametrize("away", ["stopped", "silent"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_ends_in_time_without_nats(tmp_path: Path, away: str, busy: bool) -> None:
    """SIGTERM while the nats-server is gone, or says nothing: the process ends within grace and a few seconds, with a
    code of its own choice.
    """
    async with fleet(tmp_path, delay=FOREVER) as (here, port):
        member = await here.member(**OPERATIONS, **GRACE)
        await here.connection(port)
        call = await in_flight(here, "lost") if busy else None
        if away == "stopped":
            here.server.kill()
            member.signal()
            code, took, _ = await member.ended()
        else:
            async with frozen(here.server.pid):
                member.signal()
                code, took, _ = await member.ended()
        assert code == (75 if busy else 0)
        assert took < IN_TIME
        if call is not None:
            call.cancel()


async def test_ends_when_nats_stays_away(tmp_path: Path) -> None:
    """When NATS cannot be had for SIDECAR_HEAL_SECONDS the process ends by itself: not with 0, and it says why. Until
    then it is alive and not ready.
    """
    async with fleet(tmp_path, delay=0) as (here, _):
        member = await here.member(**OPERATIONS, SIDECAR_HEAL_SECONDS="3")
        here.server.kill()
        assert await no_longer_ready(member) == "NATS does not answer: not connected\n"
        assert await page(member, "/healthz") == (200, "ok\n")
        code, _, log = await member.ended()
        assert code == 69
        assert "no connection to NATS could be had for 3 s" in log


async def test_a_partition_is_survived_without_a_restart(tmp_path: Path) -> None:
    """Cut off from NATS a sidecar is alive and, within 15 s, not ready; when NATS can be reached again it serves again,
    the same process.
    """
    async with fleet(tmp_path, delay=0) as (here, port), proxy_before(here.server.port) as proxy:
        member = await here.member(**OPERATIONS, SIDECAR_NATS_URL=f"nats://u:p@127.0.0.1:{proxy.port}")
        await here.connection(port)
        proxy.partition()
        began = time.monotonic()
        assert (await no_longer_ready(member)).startswith("NATS does not answer: ")
        assert time.monotonic() - began < 15
        assert await page(member, "/healthz") == (200, "ok\n")
        await until(lambda: proxy.accepted > 1)  # it left the dead connection
        proxy.release()
        await ready_again(member)
        assert FAILED not in ((await here.create("after")).headers or {})
        assert member.child.returncode is None


async def test_the_embedded_server_outlives_the_drain(tmp_path: Path) -> None:
    """Ctrl-C at `sidecar dev`: what is in flight is answered through its own server, which then ends too."""
    async with fleet(tmp_path, delay=2.0) as (here, port):
        environment = here.environment | {"SIDECAR_DATA_DIR": str(tmp_path / "dev")}
        del environment["SIDECAR_NATS_URL"], environment["SIDECAR_KEK_FILE"]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", AS_INSTALLED, "dev", "--json"), env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        try:
            facts = json.loads(await asyncio.wait_for(child.stdout.readline(), PATIENCE))
            agent = await nats.connect(facts["nats_url"])
            elsewhere = Fleet(here.server, here.upstream, agent, environment)
            await elsewhere.connection(port)
            call = await in_flight(elsewhere, "slow")
            os.kill(child.pid, signal.SIGINT)
            assert FAILED not in ((await call).headers or {})
            assert await asyncio.wait_for(child.wait(), PATIENCE) == 0
            await until(lambda: not agent.is_connected)
            await agent.close()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
