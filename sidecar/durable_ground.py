"""What every part of durable calls stands on, as one value, and what is counted of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sidecar.ports import Bus, Clock, Queue, Random
from sidecar.run import Observer
from sidecar.stop import Stop
from sidecar.store.durable import DurableStore
from sidecar.wire.subject import CancelAddress


class Counters(Protocol):
    """What is counted of durable calls."""

    def durable_in_flight(self, number: int) -> None: ...

    def durable_ended(self, how: str) -> None:
        """Of one run: `done`, `dead`, or `later`."""

    def refused(self, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class DurableGround:
    """`in_flight`: the calls under way, durable or not, by what a cancel names them. `ending`: those that wait and are
    being ended.
    """

    queue: Queue
    store: DurableStore
    bus: Bus
    prefix: str
    observer: Observer
    counters: Counters
    clock: Clock
    random: Random
    in_flight: dict[CancelAddress, Stop]
    ending: set[CancelAddress] = field(default_factory=set)
