"""What an owner has just refused: who wants the same and has no more time than was too little need not ask it.

It is as if the owner had been asked together with that one. Nothing is ever granted that way, and what is known for
more than a moment is forgotten, since those who wait ahead may leave and units may come back.
"""

from __future__ import annotations

from sidecar.core.quota.limit import Demand
from sidecar.core.quota.message import Denial

FRESH = 0.05  # seconds since the owner said so
MOST = 256  # kept at once


class Denied:
    """Of one partition at one sidecar. Moments are this sidecar's."""

    def __init__(self) -> None:
        self._last: dict[Demand, tuple[float, Denial]] = {}

    def learn(self, demand: Demand, said: float, denial: Denial) -> None:
        """The owner said this at that moment, or later: it counts its seconds from then.

        A slot comes back when its exchange ends, and no owner knows when that is.
        """
        if not demand.slots:
            if len(self._last) >= MOST:
                self._last.clear()
            self._last[demand] = (said, denial)

    def refusal(self, demand: Demand, deadline: float, now: float) -> tuple[float, Denial] | None:
        """Seconds until this could be served, and what the owner said; None: it has to be asked."""
        last = self._last.get(demand)
        if last is None:
            return None
        said, denial = last
        if now - said > FRESH:
            del self._last[demand]
            return None
        opens = said + denial.retry_after
        return (opens - now, denial) if opens > deadline else None

    def forget(self) -> None:
        """Somebody else is asked from now on, or something came back."""
        self._last.clear()
