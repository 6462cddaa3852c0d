"""A cancel of a durable call in a simulated world: every sidecar hears it, and does as `withdraw.py` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sidecar.core.durable import Stored
from sidecar.durable import DurableCall, Stage

if TYPE_CHECKING:
    from tests.sim.durable import Place, Sidecar

STALE_SECONDS = 1.0  # for so long a record may not be seen that is there


class Withdraw(Protocol):
    """How a call that waits stands after a cancel; None: as it was."""

    def __call__(self, call: DurableCall, *, begun: bool) -> DurableCall | None: ...


def cancel(place: Place, call_id: str, withdraw: Withdraw) -> None:
    """Somebody cancels the call. Who stands still hears of it later, who is dead never."""
    place.world.fault("cancel", call_id)
    for sidecar in place.sidecars:
        Hearing(place, sidecar, call_id, withdraw).later(0.01, lambda hearing: hearing.begin())


class Hearing:
    """One sidecar that heard it."""

    def __init__(self, place: Place, sidecar: Sidecar, call_id: str, withdraw: Withdraw) -> None:
        self.place, self.sidecar, self.call_id, self.withdraw = place, sidecar, call_id, withdraw
        self.life = sidecar.life

    def later(self, seconds: float, act: Callable[[Hearing], None]) -> None:
        """Go on after so much time, and not while standing still or after death."""
        world = self.place.world

        def go_on() -> None:
            if self.life != self.sidecar.life:
                return
            if world.now < self.sidecar.still_until:
                world.at(self.sidecar.still_until, go_on)
                return
            act(self)

        world.after(seconds, go_on)

    def soon(self, act: Callable[[Hearing], None]) -> None:
        self.later(self.place.world.random.uniform(0.001, 0.2), act)

    def begin(self) -> None:
        """Who runs the call tells it to stop; the others look whether it waits."""
        running = self.sidecar.held.get(self.call_id)
        if running is not None:
            running.stopped = True
        elif self.call_id not in self.sidecar.ending:
            self.sidecar.ending.add(self.call_id)
            self.soon(Hearing.look)

    def look(self) -> None:
        revision, found = self.place.shelf.read(self.call_id, stale=self.place.trouble("stale read", 0.15))
        if found is None or found.stage is not Stage.WAITING or self.place.trouble("store away", 0.05):
            self.end()
        else:
            self.soon(lambda hearing: hearing.look_at_key(found, revision))

    def look_at_key(self, found: DurableCall, revision: int) -> None:
        once = self.place.once
        young = self.place.world.now - once.since.get(self.call_id, 0.0) < STALE_SECONDS
        unseen = self.place.trouble("stale look at a key", 0.1) and young
        begun = self.call_id in once.pending or self.call_id in once.done
        ended = self.withdraw(found, begun=begun and not unseen)
        if ended is None:
            self.end()
        else:
            self.soon(lambda hearing: hearing.write(ended, revision))

    def write(self, ended: DurableCall, revision: int) -> None:
        stored = isinstance(self.place.write(self.call_id, ended, revision), Stored)
        if stored and not self.place.once.troubled:
            self.place.withdrawn.add(self.call_id)
        if stored:
            self.place.told.add(self.call_id)
        self.end()

    def end(self) -> None:
        self.sidecar.ending.discard(self.call_id)
