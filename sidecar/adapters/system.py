"""The process's clock and dice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable

DRAW = 4_096  # bytes
_dice = random.Random()  # noqa: S311  # of its own: spreads retries; nothing secret hangs on it
TICK = 0.001  # seconds


class SystemClock:
    """Monotonic and wall time. `now` is the running loop's clock, so that a deadline means the same everywhere."""

    if sys.platform == "linux":  # uvloop's own time stands still within a loop turn: both count CLOCK_MONOTONIC
        now = staticmethod(time.monotonic)
    else:

        def now(self) -> float:
            return asyncio.get_running_loop().time()

    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Sleep at least that long: uvloop's timers may fire up to a millisecond early."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:  # noqa: ASYNC110  # waits for time, not for an event
            await asyncio.sleep(left)


def elapsed() -> float:
    """Seconds that count while the machine sleeps, too, where the system has such a clock.

    https://man7.org/linux/man-pages/man2/clock_gettime.2.html
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class LoopTimer:
    """One moment of `elapsed` at which something is called, by a timer of the running loop."""

    def __init__(self, now: Callable[[], float] = elapsed) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = now
        self._at: float | None = None
        self._armed: asyncio.Handle | None = None
        self._armed_at = 0.0
        self._woke: Callable[[], None]

    def attach(self, woke: Callable[[], None]) -> None:
        self._woke = woke

    def wake(self, at: float | None) -> None:
        """A later moment leaves the timer as it is: making one costs more than finding that it is not time yet."""
        self._at = at
        if at is not None and (self._armed is None or at < self._armed_at):
            self._arm(at)

    async def until(self, settled: asyncio.Future[None]) -> None:
        await settled

    def stop(self) -> None:
        """Nothing is called any more."""
        self._at = None
        if self._armed is not None:
            self._armed.cancel()

    def _arm(self, at: float) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._armed_at = at
        left = at - self._now()
        # A timer of uvloop counts whole milliseconds and may fire one too early: it is then set again.
        self._armed = self._loop.call_later(max(left, TICK), self._due) if left > 0 else self._loop.call_soon(self._due)

    def _due(self) -> None:
        self._armed = None
        if self._at is None:
            return
        if self._at > self._now():
            self._arm(self._at)
        else:
            self._at = None
            self._woke()


class SystemRandom:
    """Dice of the operating system for ids, of a fast generator for jitter."""

    def jitter(self) -> float:
        return _dice.random()

    def __init__(self) -> None:
        self._drawn = b""

    def token(self, size: int) -> bytes:
        # Drawn by the page: asking the kernel for every call costs as much as decoding it.
        if len(self._drawn) < size:
            self._drawn = os.urandom(max(DRAW, size))
        token, self._drawn = self._drawn[:size], self._drawn[size:]
        return token
