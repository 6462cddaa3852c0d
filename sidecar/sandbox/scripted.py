"""The outside world by script: an HTTP sender, a clock and dice that give what they were told to give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import anyio.lowlevel
import httpx

from sidecar.model import Failure, Reason
from sidecar.ports import Clock, HttpSender
from sidecar.wire.event import Event

# Saturday, 21 November 2026, 10:00:00 UTC.
WALL = 1_795_255_200.0


class ScriptedSender(HttpSender):
    """Gives the answers in order and keeps what was `sent`. An exchange too many ends in a failure that says so."""

    def __init__(self, answers: Iterable[httpx.Response | Failure] = ()) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:  # noqa: ARG002  # a script knows no limits
        await anyio.lowlevel.checkpoint()
        self.sent.append(request)
        if not self.answers:
            return Failure(reason=Reason.BUG, detail="the script has no answer left for this exchange")
        return self.answers.pop(0)

    async def aclose(self) -> None:
        """Nothing to close."""


class ManualClock:
    """Time that moves when somebody sleeps, at once, or when it is told to. `slept` holds the sleeps in order."""

    def __init__(self, now: float = 1_000.0, wall: float = WALL) -> None:
        self.time = now
        self.slept: list[float] = []
        self._ahead = wall - now

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time + self._ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await anyio.lowlevel.checkpoint()

    def advance(self, seconds: float) -> None:
        self.time += seconds


class SleepTimer:
    """Sleeps by the clock while somebody waits for something, and not at all otherwise."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: float | None = None
        self._woke: Callable[[], None]

    def attach(self, woke: Callable[[], None]) -> None:
        self._woke = woke

    def wake(self, at: float | None) -> None:
        self._at = at

    async def until(self, settled: asyncio.Future[None]) -> None:
        while not settled.done():
            if self._at is None:
                await settled
            else:
                await self._clock.sleep(max(0.0, self._at - self._clock.now()))
                self._woke()


class FixedRandom:
    """Dice that always show the same jitter; tokens count up, so that no two are alike in any part."""

    def __init__(self, jitter: float = 0.5) -> None:
        self._jitter = jitter
        self._tokens = 0

    def jitter(self) -> float:
        return self._jitter

    def token(self, size: int) -> bytes:
        self._tokens += 1
        return (self._tokens.to_bytes(8, "big") * (size // 8 + 1))[:size]


class EventLog:
    """An observer that keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def later(self, tell: Callable[[], None]) -> None:
        tell()

    def emit(self, event: Event) -> bool:
        self.events.append(event)
        return True

    async def handed_over(self) -> bool:
        return True
