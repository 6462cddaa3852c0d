"""Leave for one exchange, and the place of one that waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.core.quota.event import Ended, Event, Go, Refuse, Unused, Wait
from sidecar.core.quota.limit import Demand


class Giver(Protocol):
    """Who gave the leave. `begun`: calls whose first byte leaves now, until the node hears of them."""

    counts: Counts
    elapsed: Callable[[], float]
    begun: list[tuple[str, float]]

    def moment(self) -> float:
        """Now, after a look whether this machine slept."""

    def closed(self, keys: Iterable[str]) -> bool: ...

    def hear(self, event: Event) -> None: ...


@dataclass(slots=True)
class Counts:
    """What became of those who asked: leave at once, after a wait, refused (`closed`: the provider said so; `away`: for
    want of an owner); leave that ended before its exchange began; waits that are under way.
    """

    at_once: int = 0
    waited: int = 0
    refused: int = 0
    closed: int = 0
    away: int = 0
    void: int = 0
    jumps: int = 0


@dataclass(slots=True, eq=False)
class Line:
    """One exchange that asked, as `call`. `waits` are still to be told; `bucket` is for want of which it waits."""

    call: str
    run_id: str
    demand: Demand
    answer: Go | Refuse | None = None
    waits: deque[Wait] = field(default_factory=deque)
    bucket: str = ""
    settled: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something is there for whoever waits."""
        if self.settled is not None and not self.settled.done():
            self.settled.set_result(None)


class Permit:
    """Leave for one exchange, which ends where the provider closes any of `keys`. What no quota is about takes nothing:
    there is nothing to say of it afterwards.

    `call` is what the node knows the exchange by. `void`: it ended before the first byte left.
    """

    __slots__ = ("_keys", "_quotas", "call", "void")

    def __init__(self, quotas: Giver, keys: tuple[str, ...], call: str = "") -> None:
        self._quotas = quotas
        self._keys = keys
        self.call = call
        self.void = False

    def may_send(self) -> bool:
        """Whether the first byte may leave now. Asked once, with nothing to wait for between it and that byte."""
        return self.holds()

    def holds(self) -> bool:
        """Whether it is of use still."""
        self.void = self._quotas.closed(self._keys)
        return not self.void

    def unused(self) -> None:
        """Nothing was sent: what it took goes back."""

    def ended(self) -> None:
        """The exchange is over."""


class Dated(Permit):
    """Leave that took something. It ends by itself, after `latest` or where the machine slept; what became of it is
    said once, by `unused` or `ended`.
    """

    __slots__ = ("_jumps", "_latest", "_open")

    def __init__(self, quotas: Giver, call: str, keys: tuple[str, ...], latest: float) -> None:
        super().__init__(quotas, keys, call)
        self._open = True
        self._latest = latest
        self._jumps = quotas.counts.jumps

    def may_send(self) -> bool:
        allowed = self.holds()
        if allowed and self._open:
            self._quotas.begun.append((self.call, self._quotas.elapsed()))
        return allowed

    def holds(self) -> bool:
        quotas = self._quotas
        late = quotas.moment() > self._latest
        self.void = late or quotas.counts.jumps != self._jumps or quotas.closed(self._keys)
        return not self.void

    def unused(self) -> None:
        self._said(Unused(self.call))

    def ended(self) -> None:
        self._said(Ended(self.call))

    def _said(self, event: Unused | Ended) -> None:
        if self._open:
            self._open = False
            self._quotas.hear(event)
