"""The quotas of this process: its buckets, and the calls that wait for them. `core/limit.py` decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sidecar.core.limit import SOON, Bucket, Budgets, Key, Reservation, close, idle, leave, reserve
from sidecar.model import Failure, Reason
from sidecar.ports import Clock

MAX_BUCKETS = 50_000

Told = Callable[[Reservation, float], Awaitable[None]]


class Quotas:
    """Buckets in memory, made when they are first needed and dropped when they say no more than a new one would."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[Key, Bucket] = {}

    async def reserve(self, wanted: Budgets, deadline: float, told: Told) -> Failure | None:
        """Wait for a unit of every budget; None when the exchange may start now.

        Before each wait `told` gets the reservation and the seconds to wait.
        """
        lines: frozenset[Key] = frozenset()
        try:
            while True:
                now = self._clock.now()
                if now >= deadline:
                    return Failure(reason=Reason.BEFORE_SEND, detail="the deadline passed before anything was sent")
                reserved = reserve(wanted, self._buckets, now, deadline, lines)
                if isinstance(reserved, Failure):
                    return reserved
                self._keep(reserved.buckets, now)
                lines, wait = reserved.lines, reserved.at - now
                if wait <= 0:
                    return None
                await told(reserved, wait)
                await self._clock.sleep(wait)
        finally:
            self._buckets.update(leave(lines, self._buckets))

    def closed(self, wanted: Budgets) -> bool:
        """Whether the provider said to wait, and the time has not come."""
        until = self._clock.now() + SOON
        return any(self._buckets.get(key, Bucket()).closed_until > until for key, _ in wanted)

    def close(self, wanted: Budgets, seconds: float) -> None:
        """Obey what the provider said, for every call of that budget."""
        now = self._clock.now()
        self._keep(close(wanted, self._buckets, now + seconds), now)

    def _keep(self, changed: Mapping[Key, Bucket], now: float) -> None:
        self._buckets.update(changed)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if not idle(bucket, now)}
