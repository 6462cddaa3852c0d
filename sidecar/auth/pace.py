"""The pace of token endpoints in this process: so many requests a second each, and none while one says "not now".

A level as of a leaky bucket (GCRA, ITU-T I.371): the moment at which the endpoint could be asked in a burst again.
"""

from __future__ import annotations

import msgspec

from sidecar.model import Failure, Reason
from sidecar.ports import Clock

MAX_ENDPOINTS = 10_000


class Rate(msgspec.Struct, frozen=True):
    """So many requests in so many seconds, `burst` of them at once."""

    requests: int = 20
    seconds: float = 1.0
    burst: int = 20

    @property
    def interval(self) -> float:
        return self.seconds / self.requests


class Pace:
    """One level for each endpoint, which its "not now" raises for every connection."""

    def __init__(self, clock: Clock, rate: Rate) -> None:
        self._clock = clock
        self._rate = rate
        self._full_at: dict[str, float] = {}
        self._closed_until: dict[str, float] = {}

    async def turn(self, endpoint: str, deadline: float) -> Failure | None:
        """Wait for leave to ask; None when it is given, at once a failure where that would be past the deadline."""
        while True:
            now = self._clock.now()
            if now >= deadline:
                return Failure(reason=Reason.BEFORE_SEND, detail="the deadline passed before anything was sent")
            closed = self._closed_until.get(endpoint, 0.0)
            if closed <= now:
                return await self._booked(endpoint, now, deadline)
            if closed >= deadline:
                return _refused("the provider said to wait", closed - now, Reason.PROVIDER_RATE_LIMITED)
            await self._clock.sleep(closed - now)

    def close(self, endpoint: str, seconds: float) -> None:
        """Obey what the provider said, for everybody."""
        now = self._clock.now()
        self._keep(now)
        self._closed_until[endpoint] = max(self._closed_until.get(endpoint, 0.0), now + seconds)

    async def _booked(self, endpoint: str, now: float, deadline: float) -> Failure | None:
        interval = self._rate.interval
        full_at = max(self._full_at.get(endpoint, 0.0), now)
        wait = full_at - (self._rate.burst - 1) * interval - now
        if now + wait >= deadline:
            return _refused("its pace is used up", wait, Reason.LOCAL_RATE_LIMITED)
        self._keep(now)
        self._full_at[endpoint] = full_at + interval
        if wait > 0:
            await self._clock.sleep(wait)
            if self._closed_until.get(endpoint, 0.0) > self._clock.now():
                return await self.turn(endpoint, deadline)
        return None

    def _keep(self, now: float) -> None:
        """Forget what says no more than a new one would, where there are many."""
        if len(self._full_at) + len(self._closed_until) > MAX_ENDPOINTS:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
            self._closed_until = {name: at for name, at in self._closed_until.items() if at > now}


def _refused(why: str, wait: float, reason: Reason) -> Failure:
    detail = f"{why}; it may be asked in {wait:.1f} s, after the deadline"
    return Failure(reason=reason, detail=detail, retry_after=wait)
