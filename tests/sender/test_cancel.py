"""Cancelled exchanges leave the sender whole: no slot, connection, task or file descriptor is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Failure, Reason
from tests.authority import Authority
from tests.sender.servers import LOOPBACK, OK, Served, answered, resolve_to_loopback, send, serving

pytestmark = pytest.mark.anyio
SLOTS = 16
STAGES = 24  # turns of the loop within which an exchange here passes through all its stages


async def lookup(host: str, port: int) -> Sequence[str]:
    """Takes a turn of the loop, so that a cancellation can come while it waits."""
    await asyncio.sleep(0)
    return await resolve_to_loopback(host, port)


@pytest.fixture
async def small(authority: Authority) -> AsyncIterator[Http1Sender]:
    """A sender with few connections, so that waiting for one is cancelled too."""
    sender = Http1Sender(
        allow=LOOPBACK, ssl_context=authority.client_context(), lookup=lookup, per_host=SLOTS, total=SLOTS
    )
    yield sender
    await sender.aclose()


async def unhurried(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers in three parts with turns of the loop between them, so that every stage can be cancelled."""
    while True:
        await served.request(reader)
        for part in (OK[:20], OK[20:-1], OK[-1:]):
            await asyncio.sleep(0)
            writer.write(part)
            await writer.drain()


async def cancelled_after(turns: int, sender: Http1Sender, url: str) -> bool:
    """Start one exchange and cancel it after some turns of the loop; whether it was cancelled in time."""
    task = asyncio.ensure_future(send(sender, httpx.Request("POST", url, content=b"{}"), within=60))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def storm(sender: Http1Sender, url: str, cancellations: int) -> None:
    """Exchanges side by side, each cancelled after another number of turns, until so many were cancelled."""
    cancelled = start = 0
    while cancelled < cancellations:
        turns = [(start * 7 + n * 3) % STAGES for n in range(4 * SLOTS)]
        cancelled += sum(await asyncio.gather(*(cancelled_after(turn, sender, url) for turn in turns)))
        start += 1


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def silent(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes whatever comes and never answers."""
    await reader.read()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_closing_waits_for_no_opening_that_was_cancelled(
    small: Http1Sender, authority: Authority, *, tls: bool
) -> None:
    """Cancelled at any turn while their connections come about, exchanges leave none: closing has nothing to do."""
    async with serving(silent, authority.server_context("api.test") if tls else None) as served:
        url = f"https://api.test:{served.port}/" if tls else served.url
        for n in range(10 * STAGES):
            assert await cancelled_after(n % STAGES, small, url)
        for _ in range(STAGES):
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(small.aclose())
        await asyncio.sleep(0)
        assert closing.done()


@pytest.mark.parametrize(("tls", "cancellations"), [(False, 10_000), (True, 500)], ids=["plain", "tls"])
async def test_a_storm_of_cancellations(
    small: Http1Sender, authority: Authority, *, tls: bool, cancellations: int
) -> None:
    """After thousands of exchanges cancelled at every stage, all later ones succeed, and nothing is left over."""
    async with serving(unhurried, authority.server_context("api.test") if tls else None) as served:
        url = f"https://api.test:{served.port}/" if tls else served.url
        await answered(small, httpx.Request("GET", url))
        tasks, open_before = len(asyncio.all_tasks()), descriptors()
        await storm(small, url, cancellations)
        requests = [answered(small, httpx.Request("GET", url), within=20) for _ in range(20 * SLOTS)]
        responses = await asyncio.gather(*requests)
        assert {response.content for response in responses} == {b"ok"}
        assert len(asyncio.all_tasks()) <= tasks + SLOTS  # the server's, one for each kept connection
        assert descriptors() <= open_before + 2 * SLOTS


async def test_deadlines_lose_nothing_either(small: Http1Sender) -> None:
    """Two hundred exchanges whose deadline passes, sent or waiting for a connection: all later ones succeed."""
    hanging = True

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            if hanging:
                await reader.read()
            writer.write(OK)

    async with serving(script) as served:
        late = [send(small, httpx.Request("GET", served.url), within=0.1) for _ in range(200)]
        reasons = {outcome.reason for outcome in await asyncio.gather(*late) if isinstance(outcome, Failure)}
        hanging = False
        requests = [answered(small, httpx.Request("GET", served.url)) for _ in range(4 * SLOTS)]
        assert len(await asyncio.gather(*requests)) == 4 * SLOTS
    assert reasons == {Reason.OUTCOME_UNKNOWN, Reason.BEFORE_SEND}
