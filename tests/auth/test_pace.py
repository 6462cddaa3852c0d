"""The pace of token endpoints: each its own, held before the endpoint's limit, halted by what it says."""

from __future__ import annotations

import pytest

from sidecar.auth.pace import Pace, Rate
from sidecar.model import Failure, Reason
from sidecar.sandbox.scripted import ManualClock

pytestmark = pytest.mark.anyio

FOR_EVER = 1e9


async def test_more_than_a_burst_waits() -> None:
    """Two at once, then one each half second."""
    clock = ManualClock()
    pace = Pace(clock, Rate(requests=2, seconds=1, burst=2))
    began = [clock.now() - 1000 for _ in range(5) if await pace.turn("a", FOR_EVER) is None]
    assert began == pytest.approx([0, 0, 0.5, 1, 1.5])


async def test_endpoints_do_not_share() -> None:
    """What one has used up another has."""
    clock = ManualClock()
    pace = Pace(clock, Rate(requests=1, seconds=60, burst=1))
    assert [await pace.turn(name, FOR_EVER) for name in "abc"] == [None] * 3
    assert clock.slept == []


async def test_what_would_be_too_late_is_refused_at_once() -> None:
    """With the time after which it could be asked, and nothing is taken for it."""
    clock = ManualClock()
    pace = Pace(clock, Rate(requests=1, seconds=10, burst=1))
    await pace.turn("a", FOR_EVER)
    for _ in range(2):
        refused = await pace.turn("a", clock.now() + 5)
        assert isinstance(refused, Failure)
        assert (refused.reason, refused.retry_after) == (Reason.LOCAL_RATE_LIMITED, 10)
    assert clock.slept == []


async def test_what_the_endpoint_says_holds_for_whoever_comes() -> None:
    """Closed for 7 seconds: within them it is refused or waited for, as the deadline allows."""
    clock = ManualClock()
    pace = Pace(clock, Rate())
    pace.close("a", 7)
    refused = await pace.turn("a", clock.now() + 5)
    assert isinstance(refused, Failure)
    assert (refused.reason, refused.retry_after) == (Reason.PROVIDER_RATE_LIMITED, 7)
    assert await pace.turn("a", clock.now() + 8) is None
    assert clock.slept == [7]


class HaltedWhileAsleep(ManualClock):
    """Somebody else is told to wait while we sleep, once."""

    pace: Pace
    halts = 1

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.halts:
            self.halts -= 1
            self.pace.close("a", 3)


async def test_it_is_halted_for_those_who_wait() -> None:
    """Whoever waited for a turn meanwhile waits on."""
    clock = HaltedWhileAsleep()
    pace = clock.pace = Pace(clock, Rate(requests=1, seconds=1, burst=1))
    await pace.turn("a", FOR_EVER)
    assert await pace.turn("a", FOR_EVER) is None
    assert clock.slept == [1, 3]
