"""Grants that nobody uses are renewed long before their provider ends them, once, and nothing else is touched."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from sidecar.auth.sweep import DAY, Sweep, is_unused
from sidecar.credential import Credential, Status, Tokens
from sidecar.sandbox.scripted import ManualClock
from sidecar.secret import Secret
from tests.auth.renewing import DICE, OAUTH, WHO, Sidecar, StrictEndpoint, access, credential, settled
from tests.build import provider
from tests.store.test_credential import MemoryStore

pytestmark = pytest.mark.anyio

ENDING = provider(auth=[OAUTH | {"unused_days": 90}, {"kind": "bearer"}])
FOREVER = provider(auth=[OAUTH])


def aged(clock: ManualClock, days: float) -> Credential:
    """Last renewed so many days ago."""
    return credential(clock, left=3600 - days * DAY)


@pytest.mark.parametrize(
    ("days", "changes", "unused"),
    [
        (29, {}, False),
        (31, {}, True),
        (31, {"status": Status.DISABLED}, False),
        (31, {"status": Status.REAUTH_REQUIRED}, False),
        (31, {"tokens": None}, False),
        (31, {"tokens": Tokens(access=Secret("a"), refresh=Secret("r"))}, False),
        (31, {"kind": "bearer"}, False),
    ],
)
def test_what_counts_as_unused(days: float, changes: dict[str, object], unused: bool) -> None:
    """A third of the time, of a grant in use that can be renewed, and of which it is known when it last was."""
    clock = ManualClock()
    assert is_unused(ENDING, msgspec.structs.replace(aged(clock, days), **changes), clock.wall()) is unused


def test_a_provider_that_ends_nothing_is_left_alone() -> None:
    """However long it was not used."""
    clock = ManualClock()
    assert not is_unused(FOREVER, aged(clock, 900), clock.wall())


async def test_it_is_renewed_once_by_whoever_comes_first() -> None:
    """Two sidecars sweep; neither keeps in memory what no call used."""
    clock, memory = ManualClock(), MemoryStore()
    endpoint = StrictEndpoint(clock)
    sidecars = [Sidecar(memory, endpoint, clock, only=ENDING) for _ in range(2)]
    await sidecars[0].store.save(*WHO, aged(clock, 40))
    await sidecars[0].store.save("acme", "fresh", "acme", aged(clock, 1))
    async with sidecars[0].serving(), sidecars[1].serving(), anyio.create_task_group() as tasks:
        for sidecar in sidecars:
            sweep = Sweep(
                store=sidecar.store, refresher=sidecar.refresher, providers={"acme": ENDING}, clock=clock, random=DICE
            )
            tasks.start_soon(sweep.once)
    for sidecar in sidecars:
        await settled(sidecar)
    assert endpoint.asked == ["refresh-1"]
    assert sidecars[1].store.known("acme", "fresh", "acme") is None
    found = await sidecars[1].store.look(*WHO)
    assert access(getattr(found, "credential", None)) == "access-2"


async def test_without_such_a_provider_nothing_is_looked_at() -> None:
    """No read a day."""
    clock, memory = ManualClock(), MemoryStore()
    one = Sidecar(memory, StrictEndpoint(clock), clock)
    sweep = Sweep(store=one.store, refresher=one.refresher, providers={"acme": FOREVER}, clock=clock, random=DICE)
    await sweep.daily()
    assert clock.slept == []
