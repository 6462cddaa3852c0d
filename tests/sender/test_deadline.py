"""Deadlines that share timers: never early, at most 20 ms late, and no cancellation is taken for another."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.adapters.deadline import Deadlines, Later

pytestmark = pytest.mark.anyio


async def test_a_scope_ends_at_its_deadline() -> None:
    """What still waits at the deadline gets TimeoutError, not before it."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    start = loop.time()
    with pytest.raises(TimeoutError), deadlines.at(start + 0.05):
        await loop.create_future()
    assert 0.05 <= loop.time() - start < 2


async def test_many_scopes_end_each_at_its_own() -> None:
    """Scopes side by side, in one step of the timer or in several, all end and none early."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    start = loop.time()

    async def wait(seconds: float) -> float:
        with pytest.raises(TimeoutError), deadlines.at(start + seconds):
            await loop.create_future()
        return loop.time() - start - seconds

    late = await asyncio.gather(*(wait(n / 1000) for n in range(1, 100)))
    assert min(late) > -1e-6  # the sums of two floats


async def test_a_scope_left_in_time_is_forgotten() -> None:
    """After the scope its deadline does nothing to the task."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    with deadlines.at(loop.time() + 0.01):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_a_cancellation_from_elsewhere_passes() -> None:
    """Who cancels the task sees it cancelled, not timed out."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()

    async def wait() -> None:
        with deadlines.at(loop.time() + 60):
            await loop.create_future()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_the_deadline_wins() -> None:
    """Cancelled by another and by the deadline in one turn of the loop, the task is cancelled, not timed out."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    scope = deadlines.at(loop.time() + 60)

    async def wait() -> None:
        with scope:
            await loop.create_future()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    scope.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timed_out_task_goes_on() -> None:
    """After its own TimeoutError a task is not cancelled any more: it may wait again."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    for _ in range(2):
        with pytest.raises(TimeoutError), deadlines.at(loop.time() + 0.01):
            await loop.create_future()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_an_error_within_stays_itself() -> None:
    """Another error that leaves the scope is not turned into a TimeoutError."""
    deadlines = Deadlines()
    with pytest.raises(ZeroDivisionError), deadlines.at(asyncio.get_running_loop().time() + 60):
        raise ZeroDivisionError


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_deadline_may_become_a_later_one(allowed: bool) -> None:
    """Where at its moment there is reason for that, and never a second time."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    start, asked = loop.time(), []

    def ask() -> bool:
        asked.append(loop.time() - start)
        return allowed

    with pytest.raises(TimeoutError), deadlines.at(start + 0.02, Later(start + 0.2, ask)):
        await loop.create_future()
    assert (loop.time() - start >= 0.2) is allowed
    assert len(asked) == 1


async def test_a_scope_whose_deadline_became_later_is_forgotten() -> None:
    """Left between the two moments, it does nothing to its task."""
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    start = loop.time()
    with deadlines.at(start + 0.01, Later(start + 0.1, lambda: True)):
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.1)
