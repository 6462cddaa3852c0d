"""The process's clock and dice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time

DRAW = 4_096  # bytes


class SystemClock:
    """Monotonic and wall time. `now` is the running loop's clock, so that a deadline means the same everywhere."""

    def now(self) -> float:
        # uvloop's own time stands still within a loop turn. On Linux both count CLOCK_MONOTONIC: take the finer one.
        return time.monotonic() if sys.platform == "linux" else asyncio.get_running_loop().time()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep at least that long: uvloop's timers may fire up to a millisecond early."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:  # noqa: ASYNC110  # waits for time, not for an event
            await asyncio.sleep(left)


class SystemRandom:
    """Dice of the operating system for ids, of a fast generator for jitter."""

    def jitter(self) -> float:
        return random.random()  # noqa: S311  # spreads retries; nothing secret hangs on it

    def __init__(self) -> None:
        self._drawn = b""

    def token(self, size: int) -> bytes:
        # Drawn by the page: asking the kernel for every call costs as much as decoding it.
        if len(self._drawn) < size:
            self._drawn = os.urandom(max(DRAW, size))
        token, self._drawn = self._drawn[:size], self._drawn[size:]
        return token
